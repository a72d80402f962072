"""The batcher: one thread takes the images that wait, and samples them together."""

import logging
import math
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import numpy as np

from radii.errors import InputError
from radii.serving.service import Answer, Service
from radii.votes.plans.anytime import FIRST_ROUND


@dataclass(frozen=True, eq=False)
class Waiting:
    """An image that waits for its answer."""

    number: int
    image: np.ndarray
    answer: "Future[Answer]" = field(default_factory=Future)


class Batcher:
    """Answers for images in the order of their arrival; some that wait are sampled together.

    `places`: how many requests are accepted at a time. `images`, `samples`: how many images were answered, and by how
    many noise samples. `pace`: seconds that the last images took.
    """

    def __init__(self, service: Service, places: int) -> None:
        self.service = service
        # Enough images to fill batches even in the smallest rounds; more would only wait for one another. At most half
        # of the places, so that the next images can arrive meanwhile.
        self.together = max(1, min(2 * service.sampler.rows // FIRST_ROUND, places // 2))
        self.images, self.samples, self.pace = 0, 0, 0.0
        self._started: float | None = None
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="radii-batcher", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Answer the images that wait, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    @property
    def is_open(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def busy(self) -> float:
        """Seconds that the present images have taken so far; 0 if there are none."""
        # read once: the thread may set it to None in between
        return 0.0 if (started := self._started) is None else time.monotonic() - started

    @property
    def retry_after(self) -> int:
        """Whole seconds until a place is free, as long as the last images took."""
        return max(1, math.ceil(self.pace))

    def submit(self, number: int, image: np.ndarray) -> "Future[Answer]":
        """Return the future answer for an image; one that is cancelled before its turn takes no sampling."""
        waiting = Waiting(number, image)
        self._queue.put(waiting)
        return waiting.answer

    def _work(self) -> None:
        more = True
        while more:
            taken, more = self._take()
            self._started = started = time.monotonic()
            self._answer([waiting for waiting in taken if waiting.answer.set_running_or_notify_cancel()])
            self._started, self.pace = None, time.monotonic() - started

    def _take(self) -> tuple[list[Waiting], bool]:
        """Wait for an image, and return it with those that wait beside it, and False once the batcher closes."""
        taken: list[Waiting] = []
        while len(taken) < self.together:
            try:
                waiting = self._queue.get(block=not taken)
            except Empty:
                break
            if waiting is None:
                return taken, False
            taken.append(waiting)
        return taken, True

    def _answer(self, taken: list[Waiting]) -> None:
        """Answer the images together; if that fails, one by one, so that no image fails because of another."""
        if not taken:
            return
        # requests with the same image share one answer
        images = {waiting.number: waiting.image for waiting in taken}
        try:
            answers = self.service.answers(images)
        except Exception as error:  # models may raise anything; the next images may succeed
            if len(images) > 1:
                for number in images:
                    self._answer([waiting for waiting in taken if waiting.number == number])
                return
            if not isinstance(error, InputError):
                logging.getLogger(__name__).exception("the model failed")
            for waiting in taken:
                waiting.answer.set_exception(error)
            return
        self.images += len(images)
        self.samples += sum(answer.samples for answer in answers.values())
        for waiting in taken:
            waiting.answer.set_result(answers[waiting.number])
