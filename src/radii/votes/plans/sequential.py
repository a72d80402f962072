"""The exact group-sequential plan: look now and then, stop as soon as the answer is clear.

Each level's error is spent look by look and counted exactly over the runs that are still on (Lan & DeMets 1983;
Armitage, McPherson & Rowe 1969); giving up early costs power and never validity (docs/math/sequential.md).
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from radii.errors import InputError
from radii.votes.bounds import check_alpha
from radii.votes.plans.base import (
    Counts,
    Decision,
    Rules,
    SequentialPlan,
    StoppingRule,
    next_look,
    until_clear,
)
from radii.votes.plans.boundaries import Boundaries, OperatingCharacteristics, check_levels
from radii.votes.plans.failure_counts import (
    CUT,
    MOST_SAMPLES,
    ROUNDING,
    START,
    least_samples,
    likely_level,
    most_failures,
)
from radii.votes.plans.fixed import check_whole

RATIO = 1.5  # the most by which a look lies beyond the one before
BEFORE_LAST = 0.5  # share of alpha that may be spent before the last look
AT_FIRST = 0.3  # share of that which may be spent at the first look
GIVEN_UP = 0.05  # probability to give up a run that the fixed test would certify with probability POWER
POWER = 0.9
FIRST_FUTILITY = 16
NEAR = 0.15  # a look for futility this near another one is left out
ALONE = 0.8  # past this share of the draws, a first look is not worth it


@dataclass(frozen=True)
class Sequential(SequentialPlan):
    """Group-sequential plan: is each of several levels below the label's probability?

    Parameters
    ----------
    levels : `(levels,)` probabilities, rising
        Each is tested at all of `alpha`, and certified only with all that lie below it.
    alpha : probability
        Error probability per image.
    n_max : noise samples
        Most per image; usually far fewer are taken.
    batch : noise samples
        Looks are at multiples of this, except the last.
    selection : noise samples
        Separate samples, at most, that choose the label; 0 takes the true one.
    decisions
        Radii that follow from how many certified levels.

    Raises
    ------
    InputError
        If a field is out of range, or `n_max` samples cannot certify the largest level.

    Notes
    -----
    Guarantee: whatever the label's probability, a level that is not below it is certified with probability
    at most `alpha`, also if sampling goes on where the plan gives up. The samples must be independent, the
    label fixed before them.

    References
    ----------
    Lan & DeMets (1983), Discrete sequential boundaries for clinical trials, Biometrika.
    Armitage, McPherson & Rowe (1969), Repeated significance tests on accumulating data, JRSS A
    (docs/math/sequential.md).

    Examples
    --------
    >>> import radii
    >>> plan = radii.Sequential(levels=(0.9,), n_max=1000)
    >>> outcome = plan.operating_characteristics(0.99)  # for a label of probability 0.99
    >>> outcome.certified.round(3), round(outcome.mean_samples)
    (array([1.]), 122)
    """

    name = "sequential"
    usual_method = "binary"
    levels: tuple[float, ...]
    alpha: float = 1e-3
    n_max: int = 100_000
    batch: int = 1
    selection: int = 0
    decisions: tuple[Decision, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(map(float, self.levels)))
        object.__setattr__(self, "decisions", tuple(self.decisions))
        check_levels(self.levels)
        check_alpha(self.alpha)
        check_whole("n_max", self.n_max, 1)
        check_whole("batch", self.batch, 1)
        check_whole("selection", self.selection, 0, MOST_SAMPLES)
        check_reach(self.levels[-1], self.n_max, self.alpha)
        if any(one.levels[-1] > len(self.levels) for one in self.decisions):
            raise InputError(f"decisions must be about the {len(self.levels)} levels; got {self.decisions}")

    @cached_property
    def boundaries(self) -> Boundaries:
        """The tests of all levels, at all their looks."""
        parts = [level_boundaries(level, self.alpha, self.n_max, self.batch) for level in self.levels]
        looks = np.unique(np.concatenate([part.looks for part in parts]))
        certify = np.full((len(parts), len(looks)), -1)
        futile = np.full((len(parts), len(looks)), self.n_max + 1)
        for level, part in enumerate(parts):
            own = np.searchsorted(looks, part.looks)
            certify[level, own], futile[level, own] = part.certify[0], part.futile[0]
        # failures do not go away: few enough now were few enough before, and too many now will be too many
        certify = np.maximum.accumulate(certify, axis=1)
        return Boundaries(looks, certify, np.minimum.accumulate(futile[:, ::-1], axis=1)[:, ::-1])

    @property
    def sample_sizes(self) -> np.ndarray:
        """Numbers of draws that an image can end with, rising."""
        return self.boundaries.looks

    def lower(self, certified: np.ndarray) -> np.ndarray:
        """Return the largest of the certified levels, or 0, from how many were certified.

        Guarantee: it reaches or exceeds the label's probability with probability at most `alpha`.
        """
        return np.array([0.0, *self.levels])[certified]

    def ends_with(self, n: np.ndarray, failures: np.ndarray, certified: np.ndarray) -> np.ndarray:
        """Tell whether a run can be over after `n` samples with these failures and levels; all `(runs,)`."""
        edges, levels = self.boundaries, len(self.levels)
        look = np.minimum(np.searchsorted(edges.looks, n), len(edges.looks) - 1)
        next_level = np.minimum(certified, levels - 1)
        missed = edges.certify[next_level, look] < failures
        over = edges.futile[next_level, look] <= failures
        return (edges.looks[look] == n) & np.where(certified == levels, ~missed, missed & over)

    @property
    def hypotheses(self) -> int:
        return len(self.levels)

    def document(self) -> dict[str, Any]:
        given = super().document()
        return given if self.decisions else {key: value for key, value in given.items() if key != "decisions"}

    def stopping_rule(self, rules: Rules, part: tuple[int, int] | None = None) -> StoppingRule:
        for decision in self.decisions:
            self._check(decision, rules)
        return ByFailures(self)

    def impossible_outcomes(
        self, counts: np.ndarray, tested: np.ndarray | None, certified: np.ndarray
    ) -> np.ndarray:
        if tested is None:
            raise InputError("these draws watched the true labels: votes without them prove nothing")
        n = counts.sum(axis=1)
        return ~self.ends_with(n, n - counts[np.arange(len(counts)), tested], certified)

    def bounds_from(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, method: str, rules: Rules
    ) -> tuple[np.ndarray, None]:
        assert votes.certified is not None
        return self.lower(votes.certified), None

    def decided(
        self, votes: Counts, norm: str, unit: str, k: int, reach: np.ndarray, rules: Rules, box: bool
    ) -> np.ndarray:
        assert votes.certified is not None
        radius = reach
        for decision in self.decisions:
            if not decision.answers(norm, unit, k, rules.exact):
                continue
            self._check(decision, rules)
            found = decision.radius(votes.certified)
            # a level is rounded up, and gives a hair more than the radius that it is for: that one is the answer
            just = np.isin(votes.certified, decision.levels) & (decision.k == k) & (not box)
            radius = np.where(just, found, np.maximum(radius, found))
        return radius

    def _check(self, decision: Decision, rules: Rules) -> None:
        """Refuse levels that do not give their radii under this noise: the plan was made for another one.

        Plans have levels with more room for rounding than this test asks for, so that every processor agrees.
        """
        levels, radii = np.array(self.levels)[np.array(decision.levels) - 1], np.array(decision.radii)
        held = rules.holds(decision.norm, decision.unit, decision.k, levels, None, radii)
        if (decision.exact or not rules.exact) and not held.all():
            raise InputError(
                f"the plan was made for other noise or images: a probability of {levels[~held][0]:.10g} does not "
                f"certify the {decision.norm} radius {radii[~held][0]:g} under {rules.description}; "
                "make the plan anew with radii.sequential"
            )

    def operating_characteristics(self, p: float) -> OperatingCharacteristics:
        """Compute the distribution of certified levels and samples for a label of probability `p`."""
        return self.boundaries.operating_characteristics(p)


@dataclass(frozen=True)
class ByFailures(StoppingRule):
    """The group-sequential test of levels."""

    plan: Sequential

    def next_selection(self, selection: np.ndarray) -> np.ndarray:
        return until_clear(selection, self.plan.selection)

    def first_look(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.plan.boundaries.looks[0])

    def look(
        self, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        looks, n = self.plan.boundaries.looks, counts.sum(axis=1)
        look = np.searchsorted(looks, n)
        failures = n - counts[np.arange(len(counts)), label]
        certified, done = self.plan.boundaries.decide(look, failures, certified)
        return certified, next_look(looks, n, done)


def check_reach(level: float, n: int, alpha: float) -> None:
    """Refuse a level that not even `n` successes in a row would reject."""
    if n > MOST_SAMPLES:
        raise InputError(f"n_max must be at most {MOST_SAMPLES}; got {n}")
    if most_failures(level, n, alpha) < 0:
        raise InputError(
            f"n_max = {n} draws cannot certify a probability above {level:.10g} at alpha = {alpha:g}: "
            f"take at least {least_samples(level, alpha)}"
        )


@lru_cache(maxsize=512)
def level_boundaries(level: float, alpha: float, n_max: int, batch: int = 1) -> Boundaries:
    """The exact test of one level, at its own looks."""
    looks, efficacy = choose_looks(level, alpha, n_max, batch)
    certify = efficacy_boundary(level, looks, error_spending(efficacy, alpha))
    hoped = likely_level(level, n_max, alpha, POWER)
    futile = futility_boundary(hoped, looks, GIVEN_UP * np.arange(1, len(looks) + 1) / len(looks))
    futile[-1] = certify[-1] + 1
    return Boundaries(looks, certify[None], futile[None])


def choose_looks(level: float, alpha: float, n_max: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of draws at which to look, `(looks,)`, and at which of them to certify."""
    first = least_samples(level, alpha * BEFORE_LAST * AT_FIRST)
    certifying = geometric(n_max if first >= ALONE * n_max else first, n_max)
    doubting = geometric(min(FIRST_FUTILITY, n_max), n_max)
    apart = np.abs(doubting[:, None] - certifying).min(axis=1) > NEAR * doubting
    certifying = whole_batches(certifying, n_max, batch)
    looks = np.union1d(certifying, whole_batches(doubting[apart], n_max, batch))
    return looks, np.isin(looks, certifying)


def geometric(first: int, last: int) -> np.ndarray:
    """Whole numbers from `first` to `last`, each at most about `RATIO` times the one before."""
    steps = math.ceil(math.log(last / first) / math.log(RATIO))
    return np.unique(np.rint(np.geomspace(first, last, steps + 1)).astype(np.int64))


def whole_batches(looks: np.ndarray, n_max: int, batch: int) -> np.ndarray:
    """Looks put off to the end of their batch."""
    return np.unique(np.minimum(-(-looks // batch) * batch, n_max))


def error_spending(efficacy: np.ndarray, alpha: float) -> np.ndarray:
    """Error that may be spent up to each look, `(looks,)`: none before the first that certifies, all by the last."""
    before = efficacy.sum() - 1
    number = np.cumsum(efficacy) - 1
    shares = BEFORE_LAST * (AT_FIRST + (1 - AT_FIRST) * number / max(before - 1, 1))
    allowed = np.where(efficacy, alpha * shares, 0.0)
    allowed[-1] = alpha
    return allowed


def efficacy_boundary(level: float, looks: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The most failures that certify at each look, `(looks,)`, -1 for never.

    Guarantee: at `level`, the probability to be certified up to each look at which error is allowed is at most
    `allowed` there, with all rounding, and all that was cut from the law, counted as if certified.
    """
    certify = np.full(len(looks), -1)
    # who has more failures than the fixed test bears cannot be certified any more
    bearable = int(most_failures(level, int(looks[-1]), float(allowed[-1])))
    running, spent, cut = START, 0.0, 0.0
    for look, draws in enumerate(np.diff(looks, prepend=0)):
        running, _ = running.after(int(draws), level).split(bearable)
        cut += CUT
        risk = (spent + np.cumsum(running.weights)) * (1 + ROUNDING) + cut
        affordable = int(np.searchsorted(risk, allowed[look], side="right"))
        if affordable:
            certify[look] = running.first + affordable - 1
        stopped, running = running.split(int(certify[look]))
        spent += stopped.total
    return certify


def futility_boundary(hoped: float, looks: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The fewest failures at each look, `(looks,)`, that runs at `hoped` reach by then with probability `allowed`."""
    futile = np.zeros(len(looks), dtype=np.int64)
    running, used = START, 0.0
    for look, draws in enumerate(np.diff(looks, prepend=0)):
        running = running.after(int(draws), hoped)
        risk = used + np.cumsum(running.weights[::-1])
        affordable = int(np.searchsorted(risk, allowed[look], side="right"))
        futile[look] = running.first + len(running.weights) - affordable
        running, stopped = running.split(int(futile[look]) - 1)
        used += stopped.total
    return futile
