"""Which copies of which images are polled next: images are mixed, so that no micro-batch waits for one of them."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from radii.votes.plans import Stopping


@dataclass(frozen=True, eq=False)
class Copies:
    """Noisy copies to make: of the images in rows `rows`, `(copies,)`, draw number `draws`; selection draws or not."""

    rows: np.ndarray
    draws: np.ndarray
    selects: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> "Copies":
        """Some of them."""
        return Copies(self.rows[part], self.draws[part], self.selects[part])


Span = tuple[int, int, int, bool]
"""Row of an image, draws [first, stop) of it, and whether they select."""


class Agenda:
    """The votes on all images so far, and the copies still to be polled.

    What is polled for an image depends on its own votes alone, never on the order in which copies come back. `label`:
    `(images,)` of those that the plan watches, or None for the ones that selection draws show.
    """

    def __init__(self, stopping: Stopping, images: int, classes: int, label: np.ndarray | None) -> None:
        self.stopping = stopping
        self.images = images
        self.finished = 0
        self.certified = np.zeros(images, dtype=np.int64)
        self.counts, self.selection = (np.zeros((images, classes), dtype=np.int64) for _ in range(2))
        self._given = label
        self._opened = 0
        self._spans: deque[Span] = deque()
        self._queued = 0
        self._stopped = False
        # of the copies that an image asked for last, so many have no answer yet
        self._open = np.zeros(images, dtype=np.int64)

    def take(self, size: int, whole: bool) -> Copies | None:
        """The next `size` copies; fewer when no more are known of, or with `whole` none then."""
        while self._opened < self.images and (self._queued < size or self.stopping.in_rounds):
            self._open_image(self._opened)
            self._opened += 1
        if not self._queued or (whole and self._queued < size):
            return None
        parts, left = [], min(size, self._queued)
        while left:
            row, start, stop, selects = self._spans.popleft()
            cut = min(stop, start + left)
            if cut < stop:
                self._spans.appendleft((row, cut, stop, selects))
            parts.append((row, start, cut, selects))
            left -= cut - start
            self._queued -= cut - start
        sizes = [stop - start for _, start, stop, _ in parts]
        return Copies(
            np.repeat([part[0] for part in parts], sizes),
            np.concatenate([np.arange(start, stop) for _, start, stop, _ in parts]),
            np.repeat([part[3] for part in parts], sizes),
        )

    def stop(self) -> None:
        """Ask about nothing more; what was taken is still to be recorded."""
        self._opened, self._stopped = self.images, True
        self._spans.clear()
        self._queued = 0

    def record(self, copies: Copies, winners: np.ndarray) -> None:
        """Count the answers to copies, `(copies,)` class numbers."""
        for table, mine in ((self.counts, ~copies.selects), (self.selection, copies.selects)):
            np.add.at(table, (copies.rows[mine], winners[mine]), 1)
        np.subtract.at(self._open, copies.rows, 1)
        answered = copies.rows[self._open[copies.rows] == 0]
        if answered.size and not self._stopped:
            self._look(np.unique(answered))

    @property
    def total(self) -> int | None:
        """The number of all copies, if that is known before any is polled."""
        each = self.stopping.each
        return None if each is None else self.images * each

    def _open_image(self, row: int) -> None:
        rows = np.array([row])
        wanted = self.stopping.choose(np.zeros((1, 1), dtype=np.int64))
        if wanted[0]:
            self._ask(rows, np.zeros(1, dtype=np.int64), wanted, selects=True)
        else:
            self._begin(rows)

    def _look(self, rows: np.ndarray) -> None:
        """All copies that these images asked for are answered: what next?"""
        judged = self.counts[rows].any(axis=1)
        if (choosing := rows[~judged]).size:
            taken = self.selection[choosing].sum(axis=1)
            wanted = self.stopping.choose(self.selection[choosing])
            more = wanted > taken
            self._ask(choosing[more], taken[more], wanted[more], selects=True)
            self._begin(choosing[~more])
        if (rows := rows[judged]).size:
            taken = self.counts[rows].sum(axis=1)
            self.certified[rows], wanted = self.stopping.judge(
                self.counts[rows], self.label(rows), self.certified[rows]
            )
            more = wanted > taken
            self._ask(rows[more], taken[more], wanted[more], selects=False)
            self.finished += int((~more).sum())

    def _begin(self, rows: np.ndarray) -> None:
        wanted = self.stopping.begin(self.selection[rows], self.label(rows))
        some = wanted > 0
        self._ask(rows[some], np.zeros(int(some.sum()), dtype=np.int64), wanted[some], selects=False)
        self.finished += int((~some).sum())

    def label(self, rows: np.ndarray) -> np.ndarray:
        """The labels that the plan watches."""
        if self._given is not None:
            return self._given[rows]
        return self.selection[rows].argmax(axis=1)

    def _ask(self, rows: np.ndarray, taken: np.ndarray, wanted: np.ndarray, selects: bool) -> None:
        first = 0 if selects else self.stopping.first
        for row, start, stop in zip(rows.tolist(), taken.tolist(), wanted.tolist(), strict=True):
            self._open[row] = stop - start
            self._queued += stop - start
            self._spans.append((row, first + start, first + stop, selects))
