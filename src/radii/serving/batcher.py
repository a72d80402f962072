"""The desk at which images wait: one thread takes what is there and polls the model about all of it at once."""

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
class Request:
    """An image that waits for its answer."""

    number: int
    image: np.ndarray
    answer: "Future[Answer]" = field(default_factory=Future)


class Desk:
    """Answers about images, in the order in which they came, `places` at a time; some that wait are polled together.

    `images`, `passes`: how many were answered, and how many noisy copies that took. `pace`: seconds that the last
    images took.
    """

    def __init__(self, service: Service, places: int) -> None:
        self.service = service
        # as many as fill micro-batches in the smallest rounds, too: more would only wait for one another; and half of
        # those for whom there are places, so that the others can come meanwhile
        self.together = max(1, min(2 * service.sampler.rows // FIRST_ROUND, places // 2))
        self.images, self.passes, self.pace = 0, 0, 0.0
        self._begun: float | None = None
        self._waiting: SimpleQueue[Request | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="radii-desk", daemon=True)

    def open(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    @property
    def is_open(self) -> bool:
        """Whether anybody answers."""
        return self._thread.is_alive()

    @property
    def busy(self) -> float:
        """Seconds that the images at hand have taken so far."""
        return 0.0 if (begun := self._begun) is None else time.monotonic() - begun

    def ask(self, number: int, image: np.ndarray) -> "Future[Answer]":
        """The answer to come; one that is cancelled before its turn costs nothing."""
        asked = Request(number, image)
        self._waiting.put(asked)
        return asked.answer

    def _work(self) -> None:
        more = True
        while more:
            taken, more = self._take()
            self._begun = started = time.monotonic()
            self._answer([one for one in taken if one.answer.set_running_or_notify_cancel()])
            self._begun, self.pace = None, time.monotonic() - started

    def _take(self) -> tuple[list[Request], bool]:
        """The images that are polled next, at least one unless the desk closes, and whether it stays open."""
        taken: list[Request] = []
        while len(taken) < self.together:
            try:
                one = self._waiting.get(block=not taken)
            except Empty:
                break
            if one is None:
                return taken, False
            taken.append(one)
        return taken, True

    def _answer(self, taken: list[Request]) -> None:
        """Answer each; where that fails, each by itself, so that no image fails for another's sake."""
        if not taken:
            return
        # the same image needs to be polled once
        images = {one.number: one.image for one in taken}
        try:
            answers = self.service.answers(images)
        except Exception as error:  # of a model that anyone may have written: the next images may fare better
            if len(images) > 1:
                for number in images:
                    self._answer([one for one in taken if one.number == number])
                return
            if not isinstance(error, InputError):
                logging.getLogger(__name__).exception("the model failed")
            for one in taken:
                one.answer.set_exception(error)
            return
        self.images += len(images)
        self.passes += sum(one.passes for one in answers.values())
        for one in taken:
            one.answer.set_result(answers[one.number])

    @property
    def retry_after(self) -> int:
        """Whole seconds after which there is room again, as far as the last images tell."""
        return max(1, math.ceil(self.pace))
