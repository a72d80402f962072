"""A model that is checked again while it is polled, at a cost of less than one query in 200."""

import threading

import torch
from torch import Tensor

from radii.asking import WithinMemory
from radii.errors import InputError
from radii.independence import OTHER_SIZE, ROUNDING, Probe, check_same, distance, query

EVERY = 500
"""Batches between two re-checks during a run."""

LEAST_BETWEEN = 250
"""Batches for each re-check at least, those at the end of short runs included; only the first comes at any time."""

LOOKED_THROUGH = 16
"""Rows of a batch of which the one farthest outside [0, 1] is kept."""


class Rechecked:
    """A model whose logits pass through unchanged, and are compared now and then with later ones.

    A noise sample of every few batches is kept with its logits. After `EVERY` batches, and at the end of a run, those
    and some of the probe are queried again: elsewhere in a batch, beside extreme companions. Which samples these are
    follows from the number of batches, never from time. Several threads may share a model.

    Raises `InputError` where logits changed by more than rounding, and from then on for every batch.
    """

    def __init__(self, model: WithinMemory, probe: Probe, first: Tensor, precision: str) -> None:
        self.classes = first.shape[1]
        self._model, self._probe, self._precision = model, probe, precision
        self._pieces, self._room = model.pieces, probe.rows // 4
        self._known = list(zip(probe.samples, first, strict=True))[: self._room]
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._batches = self._checks = 0
        self._failed = ""
        self._lock = threading.Lock()

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits `(rows, classes)` of a batch of `rows` images."""
        if self._failed:
            raise InputError(self._failed)
        with self._lock:
            number = self._batches
            self._batches += 1
        if number % -(-EVERY // self._room):
            logits = self._model(images)
        else:
            row = _farthest(images, number)
            sample = images[row].clone()  # before the model, which may write into its images
            logits = self._model(images)
            self._kept.append((sample, logits[row].float().cpu().clone()))
        if number % EVERY == EVERY - 1:
            self._recheck()
        return logits

    def finish(self) -> None:
        """Re-check at the end of a run, unless that would exceed the cost."""
        if self._kept and self._checks < max(1, self._batches // LEAST_BETWEEN):
            self._recheck()

    def _recheck(self) -> None:
        """Query again what was kept, and the first samples of the probe, whose logits are those before the run."""
        with self._lock:
            kept, self._kept = self._kept, []
            self._checks += 1
            beside = self._probe.far if self._checks % 2 else self._probe.dark
        rows = self._probe.rows
        samples, first = map(torch.stack, zip(*[*kept, *self._known][: rows // 2], strict=True))
        again = query(self._model, samples, beside, rows - 1 - 2 * torch.arange(len(samples)), rows)
        # a batch that ran out of memory is queried in smaller ones from then on
        bounds = ROUNDING if self._model.pieces == self._pieces else OTHER_SIZE
        try:
            check_same(
                first, again, bounds[self._precision], "when noise samples of this run were queried again"
            )
        except InputError as error:
            self._failed = f"{error}; then sample all votes again"
            raise InputError(self._failed) from error


def _farthest(images: Tensor, number: int) -> int:
    """The row farthest outside [0, 1], of a few in another place for each number: heavy tails show most."""
    start = number * LOOKED_THROUGH % len(images)
    return start + int(distance(images[start : start + LOOKED_THROUGH]).argmax())
