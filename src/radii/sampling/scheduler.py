"""The scheduler: which noise samples of which images come next.

Batches mix images, so that none has to wait for the votes of a single image.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from radii.votes.plans import StoppingRule


@dataclass(frozen=True, eq=False)
class NoiseSamples:
    """Noise samples to draw, `(samples,)` each: row of the image, number of the draw, whether it is for selection."""

    rows: np.ndarray
    draws: np.ndarray
    selects: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> "NoiseSamples":
        """Return some of them."""
        return NoiseSamples(self.rows[part], self.draws[part], self.selects[part])


Span = tuple[int, int, int, bool]
"""Row of an image, its draws [first, stop), and whether they are for selection."""


class Scheduler:
    """The votes on all images so far, and the noise samples that the plan still needs.

    Which noise samples an image gets depends on its own votes alone, never on the order in which votes come back.

    Parameters
    ----------
    stopping : the rules by which the plan continues or stops
    images : their number
    classes : their number
    labels : `(images,)`, the labels that the plan watches; None for those that selection samples predict
    """

    def __init__(self, stopping: StoppingRule, images: int, classes: int, labels: np.ndarray | None) -> None:
        self.stopping = stopping
        self.images = images
        self.finished = 0
        self.certified = np.zeros(images, dtype=np.int64)
        self.counts, self.selection = (np.zeros((images, classes), dtype=np.int64) for _ in range(2))
        self._labels = labels
        # images before this row have been scheduled; more are when a batch needs them
        self._opened = 0
        self._spans: deque[Span] = deque()
        self._queued = 0
        self._stopped = False
        # noise samples of each image that were scheduled and have no vote yet
        self._open = np.zeros(images, dtype=np.int64)

    def take(self, size: int, whole: bool) -> NoiseSamples | None:
        """Return the next `size` noise samples, or fewer; with `whole`, None rather than fewer.

        None also where no more are scheduled, which may change when votes come back.
        """
        # images are opened when they are needed, for memory; plans in rounds sample all images at the same time
        while self._opened < self.images and (self._queued < size or self.stopping.in_rounds):
            self._open_image(self._opened)
            self._opened += 1
        if not self._queued or (whole and self._queued < size):
            return None
        parts, left = [], min(size, self._queued)
        while left:
            row, start, stop, selects = self._spans.popleft()
            # the rest goes back to the front: draws of an image stay in order, and few images are open at a time
            cut = min(stop, start + left)
            if cut < stop:
                self._spans.appendleft((row, cut, stop, selects))
            parts.append((row, start, cut, selects))
            left -= cut - start
            self._queued -= cut - start
        sizes = [stop - start for _, start, stop, _ in parts]
        return NoiseSamples(
            np.repeat([part[0] for part in parts], sizes),
            np.concatenate([np.arange(start, stop) for _, start, stop, _ in parts]),
            np.repeat([part[3] for part in parts], sizes),
        )

    def stop(self) -> None:
        """Schedule no more noise samples; votes on those that were taken can still be recorded."""
        # images that were not opened count as opened, or `take` would open them
        self._opened, self._stopped = self.images, True
        self._spans.clear()
        self._queued = 0

    def record(self, samples: NoiseSamples, winners: np.ndarray) -> None:
        """Count the votes on noise samples, class numbers `(samples,)`, and schedule what their images need next."""
        for table, mask in ((self.counts, ~samples.selects), (self.selection, samples.selects)):
            # not +=, which would count an image and class once however often they occur
            np.add.at(table, (samples.rows[mask], winners[mask]), 1)
        np.subtract.at(self._open, samples.rows, 1)
        # Only when all scheduled samples of an image have votes is it looked at: a look at those that came back first
        # would depend on their order, and be at a number of samples that is not planned.
        complete = samples.rows[self._open[samples.rows] == 0]
        if complete.size and not self._stopped:
            self._continue(np.unique(complete))

    @property
    def total(self) -> int | None:
        """The number of all noise samples, if the plan fixes it."""
        per_image = self.stopping.per_image
        return None if per_image is None else self.images * per_image

    def _open_image(self, row: int) -> None:
        """Schedule the first noise samples of an image."""
        rows = np.array([row])
        # no votes yet, so that one class stands for all
        wanted = self.stopping.next_selection(np.zeros((1, 1), dtype=np.int64))
        if wanted[0]:
            self._schedule(rows, np.zeros(1, dtype=np.int64), wanted, selects=True)
        else:
            self._begin(rows)

    def _continue(self, rows: np.ndarray) -> None:
        """Schedule the next noise samples of images whose scheduled ones all have votes."""
        # an image without votes besides selection is still choosing its label, or has just chosen it
        judged = self.counts[rows].any(axis=1)
        if (choosing := rows[~judged]).size:
            taken = self.selection[choosing].sum(axis=1)
            wanted = self.stopping.next_selection(self.selection[choosing])
            more = wanted > taken
            self._schedule(choosing[more], taken[more], wanted[more], selects=True)
            # the label is final from here on: it follows from selection samples alone, before any that bound
            self._begin(choosing[~more])
        if (rows := rows[judged]).size:
            taken = self.counts[rows].sum(axis=1)
            self.certified[rows], wanted = self.stopping.look(
                self.counts[rows], self.label(rows), self.certified[rows]
            )
            more = wanted > taken
            self._schedule(rows[more], taken[more], wanted[more], selects=False)
            self.finished += int((~more).sum())

    def _begin(self, rows: np.ndarray) -> None:
        """Schedule the first noise samples after selection."""
        wanted = self.stopping.first_look(self.selection[rows], self.label(rows))
        more = wanted > 0
        self._schedule(rows[more], np.zeros(int(more.sum()), dtype=np.int64), wanted[more], selects=False)
        self.finished += int((~more).sum())

    def label(self, rows: np.ndarray) -> np.ndarray:
        """Return the labels that the plan watches, `(rows,)`."""
        if self._labels is not None:
            return self._labels[rows]
        return self.selection[rows].argmax(axis=1)

    def _schedule(self, rows: np.ndarray, taken: np.ndarray, wanted: np.ndarray, selects: bool) -> None:
        """Schedule the noise samples of images, `(rows,)`, from number `taken` to number `wanted` - 1."""
        # part of a fixed plan starts at a later draw, but with all selection samples
        first = 0 if selects else self.stopping.first_sample
        for row, start, stop in zip(rows.tolist(), taken.tolist(), wanted.tolist(), strict=True):
            self._open[row] = stop - start
            self._queued += stop - start
            self._spans.append((row, first + start, first + stop, selects))
