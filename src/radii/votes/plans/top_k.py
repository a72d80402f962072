"""The sequential plan with bounds on the rivals: the top k, or the runner-up, at looks fixed in advance.

The looks share the error by a union bound, so the bounds of all looks hold together (docs/math/sequential.md).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from radii.errors import InputError, check_name
from radii.noises.norms import NORMS, UNITS, inner_radius, unit_of
from radii.votes.bounds import (
    bounds,
    check_alpha,
    check_counts,
    check_k,
    lower_bound,
    strongest_rivals,
    upper_bound,
)
from radii.votes.plans.base import Counts, Rules, SequentialPlan, StoppingRule, next_look, until_clear
from radii.votes.plans.boundaries import check_levels, check_radii
from radii.votes.plans.failure_counts import MOST_SAMPLES
from radii.votes.plans.fixed import check_whole
from radii.votes.plans.sequential import AT_FIRST, BEFORE_LAST, check_level_in_reach, choose_looks

Holds = Callable[[np.ndarray, np.ndarray | None, np.ndarray], np.ndarray]
"""Where bounds on the label, `(n,)`, and its rivals, `(n, k)`, certify radii, `(n,)`."""

# It costs power, never validity: certificates at later looks are simply not made.
FUTILITY_ERROR = 0.01
"""Error of each optimistic bound, by which a run is stopped for futility."""


@dataclass(frozen=True)
class TopK(SequentialPlan):
    """Sequential plan with bounds on the rivals: does the label stay in the top `k` up to each of `radii`?

    Parameters
    ----------
    level : probability
        Probability of the label that alone certifies the smallest radius. It places the looks.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations.
    radii : `(radii,)`, rising, in image units or whole changed units for l0
        Radii to decide.
    k
        Number of top classes within which the label must stay.
    alpha : probability
        Error probability per image.
    n_max : noise samples
        Most per image; usually far fewer are taken.
    batch : noise samples
        Looks are at multiples of this, except the last.
    selection : noise samples
        Separate samples, at most, that choose the label; 0 takes the true one.
    unit : "feature" or "pixel"
        Unit that l0 counts, as in `radii.certify`.

    Raises
    ------
    InputError
        If a field is out of range, or `n_max` samples cannot reach `level`.

    Notes
    -----
    Guarantee: with probability at least `1 - alpha`, all `bounds` at all looks hold together. The samples
    must be independent, the label fixed before them (docs/math/sequential.md).

    Examples
    --------
    >>> import radii
    >>> int(radii.TopK(0.8, "l2", (0.25,), k=2, n_max=10_000).looks[-1])
    10000
    """

    name = "top-k"
    level: float
    norm: str
    radii: tuple[float, ...]
    k: int = 1
    alpha: float = 1e-3
    n_max: int = 100_000
    batch: int = 1
    selection: int = 0
    unit: str = "pixel"

    def __post_init__(self) -> None:
        object.__setattr__(self, "radii", check_radii(self.radii))
        check_levels((self.level,))
        check_name("norm", self.norm, NORMS)
        object.__setattr__(self, "unit", unit_of(self.norm, check_name("unit", self.unit, UNITS)))
        check_k(self.k)
        check_alpha(self.alpha)
        check_whole("n_max", self.n_max, 1)
        check_whole("batch", self.batch, 1)
        check_whole("selection", self.selection, 0, MOST_SAMPLES)
        # two-event bounds give half of the error to the label
        check_level_in_reach(self.level, self.n_max, self.alpha / 2)

    @cached_property
    def _schedule(self) -> tuple[np.ndarray, np.ndarray]:
        return choose_looks(self.level, self.alpha / 2, self.n_max, self.batch)

    @property
    def looks(self) -> np.ndarray:
        """Numbers of samples at which to look, `(looks,)`."""
        return self._schedule[0]

    @property
    def sample_sizes(self) -> np.ndarray:
        return self.looks

    @cached_property
    def shares(self) -> np.ndarray:
        """Error of the bounds at each look, `(looks,)`; 0 at looks for futility alone."""
        # Shares of single looks, not of the sum up to a look as in `error_spending`: the counts of rivals have no exact
        # recursion, so a union bound adds up the looks. With two looks, the first has all that comes before the last.
        columns = np.flatnonzero(self._schedule[1])
        parts = np.full(len(columns), BEFORE_LAST * (1 - AT_FIRST) / max(len(columns) - 2, 1))
        parts[0] = BEFORE_LAST * AT_FIRST if len(columns) > 2 else BEFORE_LAST
        # after the first, which it overwrites where there is only one look
        parts[-1] = 1 - parts[:-1].sum()
        shares = np.zeros(len(self.looks))
        # no rounding takes their sum past alpha
        shares[columns] = parts * (self.alpha * (1 - 1e-12))
        return shares

    @property
    def hypotheses(self) -> int:
        return len(self.radii)

    def stopping_rule(self, rules: Rules, part: tuple[int, int] | None = None) -> StoppingRule:
        return ByBounds(self, partial(rules.holds, self.norm, self.unit, self.k))

    @property
    def fixed_settings(self) -> dict[str, Any]:
        # bounds on k rivals were compared with the radii: another k would have stopped at other looks
        return {**super().fixed_settings, "k": self.k}

    def last_test(self, alpha: float, method: str) -> tuple[str, float]:
        return "two-event", float(self.shares[-1])

    def bounds_from(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, method: str, rules: Rules
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.bounds(votes.counts, label)

    def decided_radius(
        self, votes: Counts, norm: str, unit: str, k: int, reach: np.ndarray, rules: Rules, box: bool
    ) -> np.ndarray:
        assert votes.certified is not None
        decided = np.array([0.0, *self.radii])[votes.certified]
        if (self.norm, self.unit) == (norm, unit):
            # A run ends when it certifies all radii, so its last bounds do, too, up to the tolerance of the search for
            # `reach`. Otherwise `certified` was edited: `impossible_outcomes` cannot tell without the rules of the
            # noise.
            certified_all = votes.certified == len(self.radii)
            if (wrong := certified_all & (reach < decided * (1 - 1e-9))).any():
                image = votes.index[np.flatnonzero(wrong)[0]]
                raise InputError(
                    f"image {image} cannot have ended with all radii certified: its votes give {reach[wrong][0]:g}"
                )
            # an earlier look may have certified more: the bounds of all looks hold together (Theorem 3)
            return np.maximum(reach, decided)
        # no ball of another norm lies within one of l0, and none of l0 within another
        if "l0" in (self.norm, norm):
            return reach
        return np.maximum(reach, inner_radius(decided, self.norm, norm, math.prod(rules.shape)))

    def look(
        self, holds: Holds, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return how many of the radii are certified at this look, `(images,)`, and which images are done.

        Parameters
        ----------
        holds
            Function that tells where bounds certify radii.
        counts : `(images, classes)`
            Counts of all samples so far.
        label : `(images,)`
            Labels that the plan looks at.
        certified : `(images,)`
            How many radii were certified before.

        Notes
        -----
        Guarantee: for each image, with probability at least `1 - alpha` over the noise samples, no radius
        certified at any look is larger than the true one.
        """
        lower, rivals = self.bounds(counts, label)
        passed = [holds(lower, rivals, np.full(len(lower), radius)) for radius in self.radii]
        # the bounds of all looks hold together, so earlier certificates stay; rounding must not skip a smaller radius
        now = np.maximum(certified, np.logical_and.accumulate(passed).sum(axis=0))
        done = now == len(self.radii)
        following = np.array(self.radii)[np.where(done, 0, now)]
        futile = ~holds(*self.optimistic_bounds(counts, label), following)
        return now, done | futile | (np.sum(counts, axis=1) == self.n_max)

    def bounds(self, counts: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute two-event bounds `lower`, `(images,)`, and `rivals`, `(images, k)`, from counts.

        Images may be at different looks. At looks for futility alone, bounds are the trivial 0 and 1.
        """
        counts, label = check_counts(counts, label)
        shares = self.shares[self._look_of(counts)]
        lower, rivals = np.zeros(len(counts)), np.ones((len(counts), self.k))
        for share in np.unique(shares[shares > 0]):
            rows = shares == share
            lower[rows], rivals[rows] = bounds(counts[rows], label[rows], k=self.k, alpha=share)
        return lower, rivals

    def optimistic_bounds(self, counts: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute bounds in the other direction, upper on the label and lower on rivals, by which runs are futile."""
        counts, label = check_counts(counts, label)
        n = counts.sum(axis=1)
        votes = counts[np.arange(len(counts)), label]
        rivals = lower_bound(
            np.cumsum(strongest_rivals(counts, label, self.k), axis=1), n[:, None], FUTILITY_ERROR
        )
        # the rules of noises take no probability of 1
        return np.minimum(upper_bound(votes, n, FUTILITY_ERROR), np.nextafter(1, 0)), rivals

    def _look_of(self, counts: np.ndarray) -> np.ndarray:
        # an unplanned look would have no share of alpha
        n = counts.sum(axis=1)
        look = np.minimum(np.searchsorted(self.looks, n), len(self.looks) - 1)
        if (wrong := self.looks[look] != n).any():
            raise InputError(f"look at {self.looks.tolist()} samples only, as planned; got {n[wrong][0]}")
        return look


@dataclass(frozen=True)
class ByBounds(StoppingRule):
    """Two-event bounds at each look, until all radii are certified or the next one is out of reach."""

    plan: TopK
    holds: Holds

    def next_selection(self, selection: np.ndarray) -> np.ndarray:
        return until_clear(selection, self.plan.selection)

    def first_look(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.plan.looks[0])

    def look(
        self, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        certified, done = self.plan.look(self.holds, counts, label, certified)
        return certified, next_look(self.plan.looks, counts.sum(axis=1), done)
