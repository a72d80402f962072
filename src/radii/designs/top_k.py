"""The sequential plan with bounds on the rivals: the top k, or the runner-up, at looks fixed in advance.

The error is shared out over the looks, and the bounds of all looks hold together (docs/math/sequential.md).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from radii.designs.boundaries import check_levels, check_radii
from radii.designs.fixed import check_whole
from radii.designs.paths import MOST_DRAWS
from radii.designs.sequential import AT_FIRST, BEFORE_LAST, check_reach, choose_looks
from radii.errors import InputError, check_name
from radii.intervals import (
    bounds,
    check_alpha,
    check_counts,
    check_k,
    lower_bound,
    strongest_rivals,
    upper_bound,
)
from radii.norms import NORMS, UNITS

DOUBT = 0.01  # error of each optimistic bound, by which a run is given up


@dataclass(frozen=True)
class TopK:
    """Does the label stay in the top `k` up to each of `radii`? At most `n_max` draws, usually far fewer.

    `level` is the label's probability from which on it would be certified by itself, at the smallest radius: it
    places the looks, which are multiples of `batch` but for the last. What the bounds are worth as radii, in `norm`
    and `unit`, says `radii.planning.judge`. `selection` as in `Sequential`.

    Guarantee: with probability at least `1 - alpha`, all `bounds` at all looks hold together. The draws must be
    independent, the label fixed before them.
    """

    level: float
    norm: str
    radii: tuple[float, ...]
    k: int = 1
    alpha: float = 1e-3
    n_max: int = 100_000
    batch: int = 1
    selection: int = 0
    unit: str = "feature"

    def __post_init__(self) -> None:
        object.__setattr__(self, "radii", tuple(map(float, self.radii)))
        check_levels((self.level,))
        check_radii(self.radii)
        check_name("norm", self.norm, NORMS)
        check_name("unit", self.unit, UNITS)
        check_k(self.k)
        check_alpha(self.alpha)
        check_whole("n_max", self.n_max, 1)
        check_whole("batch", self.batch, 1)
        check_whole("selection", self.selection, 0, MOST_DRAWS)
        # of all error, the label's bound has half
        check_reach(self.level, self.n_max, self.alpha / 2)

    @cached_property
    def _schedule(self) -> tuple[np.ndarray, np.ndarray]:
        return choose_looks(self.level, self.alpha / 2, self.n_max, self.batch)

    @property
    def looks(self) -> np.ndarray:
        """Numbers of draws at which to look, `(looks,)`."""
        return self._schedule[0]

    @property
    def draws(self) -> np.ndarray:
        """Numbers of draws that an image can end with, rising."""
        return self.looks

    @cached_property
    def shares(self) -> np.ndarray:
        """Error of the bounds at each look, `(looks,)`; 0 where the plan only asks whether to give up."""
        at = np.flatnonzero(self._schedule[1])
        parts = np.full(len(at), BEFORE_LAST * (1 - AT_FIRST) / max(len(at) - 2, 1))
        parts[0] = BEFORE_LAST * AT_FIRST if len(at) > 2 else BEFORE_LAST
        parts[-1] = 1 - parts[:-1].sum()
        shares = np.zeros(len(self.looks))
        shares[at] = parts * (self.alpha * (1 - 1e-12))  # no rounding takes their sum past alpha
        return shares

    def bounds(self, counts: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Two-event bounds `lower`, `(images,)`, and `rivals`, `(images, k)`, from `counts`, `(images, classes)`.

        Each image may be at a look of its own. They say nothing, 0 and 1, at a look without error to spend.
        """
        counts, label = check_counts(counts, label)
        shares = self.shares[self._look_of(counts)]
        lower, rivals = np.zeros(len(counts)), np.ones((len(counts), self.k))
        for share in np.unique(shares[shares > 0]):
            rows = shares == share
            lower[rows], rivals[rows] = bounds(counts[rows], label[rows], k=self.k, alpha=share)
        return lower, rivals

    def hopes(self, counts: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Optimistic bounds, as `bounds` but the other way round: where even they fail, the plan gives up."""
        counts, label = check_counts(counts, label)
        n = counts.sum(axis=1)
        votes = counts[np.arange(len(counts)), label]
        rivals = lower_bound(np.cumsum(strongest_rivals(counts, label, self.k), axis=1), n[:, None], DOUBT)
        return np.minimum(upper_bound(votes, n, DOUBT), np.nextafter(1, 0)), rivals

    def _look_of(self, counts: np.ndarray) -> np.ndarray:
        n = counts.sum(axis=1)
        look = np.minimum(np.searchsorted(self.looks, n), len(self.looks) - 1)
        if (wrong := self.looks[look] != n).any():
            raise InputError(f"look at {self.looks.tolist()} draws only, as planned; got {n[wrong][0]}")
        return look
