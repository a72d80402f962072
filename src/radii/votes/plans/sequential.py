"""The group-sequential plan: look at planned numbers of samples, stop as soon as the answer is clear.

Each level's error is spent look by look, over the runs that are still on (Lan & DeMets 1983; Armitage, McPherson &
Rowe 1969). Stopping for futility costs power and never validity (docs/math/sequential.md).
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
    MOST_SAMPLES,
    ROUNDING,
    START,
    cut,
    cut_exponent,
    least_samples,
    likely_level,
    most_failures,
)
from radii.votes.plans.fixed import check_whole

# None of these numbers affects the guarantee: they trade mean samples for power. Numbers below are for the level of 1
# sigma, n_max = 100,000 and alpha = 0.001, as `operating_characteristics` computes them.

# A run overshoots the number of samples that it needs by half at most. A label at 1.3 sigma takes 643 samples; with
# looks 1.1 apart it takes 581, with looks 2 apart 724. Every look costs a decision for each image.
RATIO = 1.5
"""Largest ratio of neighbouring looks."""
# The rest keeps the power of the test at `n_max`. A label at 1.03 sigma is certified with probability 0.975 after
# 52,006 samples; with 0.95 of alpha before the last look, with 0.969 after 48,251.
BEFORE_LAST = 0.5
"""Share of alpha that may be spent before the last look."""
# Less at the first look is better near a level, more is better far above it: with 0.1, a label at 1.3 sigma takes 616
# samples instead of 643, but at 2 sigma 106 instead of 100; with 0.6 they take 682 and 98.
AT_FIRST = 0.3
"""Share of that which may be spent at the first look, where unanimous votes are certified."""
# With 0.01, labels at 1.03 sigma are certified with probability 0.994 instead of 0.975, but labels at 0.7 sigma, which
# never are, take 254 samples instead of 174.
GIVEN_UP = 0.05
"""Probability to stop for futility at the success probability where the fixed test has power `POWER`."""
POWER = 0.9
# From 8 on, a label of probability 1/2 takes 18 samples instead of 21; from 32 on, 33.
FIRST_FUTILITY = 16
"""Samples at the first look for futility."""
# Efficacy looks test both. Without this distance, looks that lie side by side share what may be given up: a label at 1
# sigma takes 36 samples instead of 32 to fail at 2 sigma.
NEAR = 0.15
"""Relative distance to an efficacy look within which a look for futility is left out."""
# A first look so near the end saves little, and it can leave the last look no count to certify: that happened with 1
# instead of 0.8, at 2 sigma and n_max = 400. With 0.5, labels that are nearly certain take 602 samples instead of 387
# there at n_max = 602.
ALONE = 0.8
"""Share of `n_max` past which a first efficacy look is left out: then the only one is the last."""


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
        check_level_in_reach(self.levels[-1], self.n_max, self.alpha)
        if any(decision.levels[-1] > len(self.levels) for decision in self.decisions):
            raise InputError(f"decisions must be about the {len(self.levels)} levels; got {self.decisions}")

    @cached_property
    def boundaries(self) -> Boundaries:
        """The tests of all levels, on the union of their looks."""
        parts = [level_boundaries(level, self.alpha, self.n_max, self.batch) for level in self.levels]
        looks = np.unique(np.concatenate([part.looks for part in parts]))
        certify = np.full((len(parts), len(looks)), -1)
        futile = np.full((len(parts), len(looks)), self.n_max + 1)
        for level, part in enumerate(parts):
            columns = np.searchsorted(looks, part.looks)
            certify[level, columns], futile[level, columns] = part.certify[0], part.futile[0]
        # failures never decrease, so at the looks of other levels a level keeps its largest efficacy boundary so far,
        # which was crossed then, and takes the least futility boundary to come, which will be crossed
        certify = np.maximum.accumulate(certify, axis=1)
        return Boundaries(looks, certify, np.minimum.accumulate(futile[:, ::-1], axis=1)[:, ::-1])

    @property
    def sample_sizes(self) -> np.ndarray:
        return self.boundaries.looks

    def lower(self, certified: np.ndarray) -> np.ndarray:
        """Return the largest of the certified levels, or 0, from how many were certified.

        Guarantee: it reaches or exceeds the label's probability with probability at most `alpha`.
        """
        return np.array([0.0, *self.levels])[certified]

    def ends_with(self, n: np.ndarray, failures: np.ndarray, certified: np.ndarray) -> np.ndarray:
        """Return whether a run can end after `n` samples with these failures and certified levels; all `(runs,)`."""
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
        document = super().document()
        # a plan without decisions keeps the document that it had before plans stored any
        if not self.decisions:
            del document["decisions"]
        return document

    def stopping_rule(self, rules: Rules, part: tuple[int, int] | None = None) -> StoppingRule:
        # before the first sample: with levels for other noise, all votes would be drawn in vain
        for decision in self.decisions:
            self._check(decision, rules)
        return ByFailures(self)

    def impossible_outcomes(
        self, counts: np.ndarray, tested: np.ndarray | None, certified: np.ndarray
    ) -> np.ndarray:
        if tested is None:
            raise InputError("the looks at these votes tested the true labels: give the votes their labels")
        n = counts.sum(axis=1)
        return ~self.ends_with(n, n - counts[np.arange(len(counts)), tested], certified)

    def bounds_from(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, method: str, rules: Rules
    ) -> tuple[np.ndarray, None]:
        assert votes.certified is not None
        return self.lower(votes.certified), None

    def decided_radius(
        self, votes: Counts, norm: str, unit: str, k: int, reach: np.ndarray, rules: Rules, box: bool
    ) -> np.ndarray:
        assert votes.certified is not None
        radius = reach
        for decision in self.decisions:
            if not decision.answers(norm, unit, k, rules.exact):
                continue
            self._check(decision, rules)
            decided = decision.radius(votes.certified)
            # Levels are rounded up, so their bounds give a little more than the radius of the decision: report the
            # radius that was requested, which is the same on all processors. Within the box each image has its own
            # radius.
            same = np.isin(votes.certified, decision.levels) & (decision.k == k) & (not box)
            radius = np.where(same, decided, np.maximum(radius, decided))
        return radius

    def _check(self, decision: Decision, rules: Rules) -> None:
        """Raise `InputError` unless the levels give their radii under this noise.

        Planning leaves the levels a larger margin for rounding than this test has, so that all processors agree.
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
    """The group-sequential test: failures against the boundaries of the plan."""

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


def check_level_in_reach(level: float, n: int, alpha: float) -> None:
    """Raise `InputError` unless `n` successes in a row reject `level`."""
    # the margin for rounding was counted for so many samples alone (docs/math/sequential.md, 'Rounding')
    if n > MOST_SAMPLES:
        raise InputError(f"n_max must be at most {MOST_SAMPLES}; got {n}")
    if most_failures(level, n, alpha) < 0:
        raise InputError(
            f"n_max = {n} samples cannot certify a probability above {level:.10g} at alpha = {alpha:g}: "
            f"take at least {least_samples(level, alpha)}"
        )


# a fifth of a second at n_max = 10**7, and plans of the same levels are made for every file that is read
@lru_cache(maxsize=512)
def level_boundaries(level: float, alpha: float, n_max: int, batch: int = 1) -> Boundaries:
    """Return the test of one level, at looks chosen for it."""
    looks, efficacy = choose_looks(level, alpha, n_max, batch)
    certify = efficacy_boundary(level, looks, error_spending(efficacy, alpha))
    # an alpha so small that what is cut off the distribution exceeds it, or that rounding decides
    if certify.max() < 0:
        raise InputError(
            f"n_max = {n_max} samples cannot certify a probability above {level:.10g} at alpha = {alpha:g}: "
            "take more samples, or a larger alpha"
        )
    likely = likely_level(level, n_max, alpha, POWER)
    futile = futility_boundary(likely, looks, GIVEN_UP * np.arange(1, len(looks) + 1) / len(looks))
    # Every run ends at the last look, with or without a certificate. Runs with fewer failures were certified earlier if
    # the last look certifies none, as can be where batches put it just after another one.
    futile[-1] = certify.max() + 1
    return Boundaries(looks, certify[None], futile[None])


def choose_looks(level: float, alpha: float, n_max: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of samples at which to look, `(looks,)`, and at which of them levels may be certified."""
    # an earlier look could not certify even unanimous votes at its share of alpha
    first = least_samples(level, alpha * BEFORE_LAST * AT_FIRST)
    efficacy = geometric(n_max if first >= ALONE * n_max else first, n_max)
    futility = geometric(min(FIRST_FUTILITY, n_max), n_max)
    apart = np.abs(futility[:, None] - efficacy).min(axis=1) > NEAR * futility
    # after the distances, which batches would distort where looks lie close; whole batches may merge looks
    efficacy = whole_batches(efficacy, n_max, batch)
    looks = np.union1d(efficacy, whole_batches(futility[apart], n_max, batch))
    return looks, np.isin(looks, efficacy)


def geometric(first: int, last: int) -> np.ndarray:
    """Return whole numbers from `first` to `last`, each at most about `RATIO` times the one before."""
    steps = math.ceil(math.log(last / first) / math.log(RATIO))
    return np.unique(np.rint(np.geomspace(first, last, steps + 1)).astype(np.int64))


def whole_batches(looks: np.ndarray, n_max: int, batch: int) -> np.ndarray:
    """Return the looks, each moved to the end of its batch, so that no batch is partly filled."""
    return np.unique(np.minimum(-(-looks // batch) * batch, n_max))


def error_spending(efficacy: np.ndarray, alpha: float) -> np.ndarray:
    """Return the error that may be spent up to each look, `(looks,)`: 0 at looks for futility, alpha at the last."""
    # Equal steps from the first efficacy look to the one before the last; with a single look all of alpha is left for
    # it. What a look cannot spend, since counts are whole, is not lost: these are bounds on the sum up to each look.
    before = efficacy.sum() - 1
    number = np.cumsum(efficacy) - 1
    shares = BEFORE_LAST * (AT_FIRST + (1 - AT_FIRST) * number / max(before - 1, 1))
    allowed = np.where(efficacy, alpha * shares, 0.0)
    allowed[-1] = alpha
    return allowed


def efficacy_boundary(level: float, looks: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return the most failures that certify at each look, `(looks,)`, -1 for none.

    Guarantee: at `level`, the probability to be certified up to each look with `allowed` error is at most that error.
    Rounding, and what is cut off the distribution, count as certified.
    """
    certify = np.full(len(looks), -1)
    # no boundary exceeds that of the fixed test at the last look: runs beyond it are dropped, at no loss
    bearable = int(most_failures(level, int(looks[-1]), float(allowed[-1])))
    exponent = cut_exponent(float(allowed[-1]))
    running, spent = START, 0.0
    for look, samples in enumerate(np.diff(looks, prepend=0)):
        # what this look cuts off counts as error before the look spends any
        running, _ = running.after(int(samples), level, exponent).split(bearable)
        # nothing is stopped for futility here, so a run that goes on all the same stays within alpha
        risk = (spent + np.cumsum(running.weights)) * (1 + ROUNDING) + (look + 1) * cut(exponent)
        affordable = int(np.searchsorted(risk, allowed[look], side="right"))
        if affordable:
            certify[look] = running.first + affordable - 1
        stopped, running = running.split(int(certify[look]))
        spent += stopped.total
    return certify


def futility_boundary(likely: float, looks: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return the fewest failures that stop a run at each look, `(looks,)`.

    Runs at the success probability `likely` are stopped up to each look with probability at most `allowed`, `(looks,)`.
    """
    futile = np.zeros(len(looks), dtype=np.int64)
    running, used = START, 0.0
    for look, samples in enumerate(np.diff(looks, prepend=0)):
        running = running.after(int(samples), likely)
        # from the most failures down; without a margin for rounding, which could only cost or gain power
        risk = used + np.cumsum(running.weights[::-1])
        affordable = int(np.searchsorted(risk, allowed[look], side="right"))
        futile[look] = running.first + len(running.weights) - affordable
        running, stopped = running.split(int(futile[look]) - 1)
        used += stopped.total
    return futile
