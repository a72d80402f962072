"""The two-stage plan, for the radius itself: a pilot determines how many fresh samples each image gets.

The pilot chooses the label and the number of fresh samples. Only fresh samples bound the probability, so the bound is
as valid as one from a number of samples fixed in advance (docs/math/sequential.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from radii.errors import InputError, check_name
from radii.noises.norms import NORMS, UNITS, unit_of
from radii.votes.bounds import check_alpha, check_k, lower_bound
from radii.votes.plans.base import Counts, Plan, Rules, StoppingRule, sampled_bounds
from radii.votes.plans.boundaries import OperatingCharacteristics, check_levels
from radii.votes.plans.failure_counts import MOST_SAMPLES, most_failures, new_failures
from radii.votes.plans.fixed import check_whole

BY_PILOT_METHODS = ("binary", "two-event")
BY_PILOT = " or ".join(BY_PILOT_METHODS)
"""The usual method: for each image the one that gives the larger radius if the fresh samples repeat the pilot."""

# The number matters little: from 10 to 100, the mean of radius minus price, over probabilities of failure from 1e-9 to
# 0.3, is the same to 1e-5 sigma at the default price.
FEWEST = 50
"""Least number of fresh samples of an image that gets any."""
# Close enough together that the best of all is hardly better: with 1.01 that mean grows by 2e-5 sigma, and planning
# takes 10 times as long.
SIZE_RATIO = 1.1
"""Ratio of neighbouring numbers of fresh samples."""
# The prior on the probability of failure: uniform in the logarithm, with extra weight on 'practically never', which is
# frequent among networks trained under noise. It affects the number of samples, never the validity of bounds. The
# weight matters only where a pilot of 1000 has no failure and samples are cheap: none of 1, 40 and 1000 changes any
# number of samples at the default price; at 4e-7 sigma and n_max = 10^6 they give 351, 386 and 513 thousand.
PRIOR_VALUES = np.concatenate([[1e-9], np.geomspace(1e-7, 0.6, 300)])
PRIOR_WEIGHTS = np.concatenate([[40.0], np.ones(300)])

RadiusOf = Callable[[np.ndarray], np.ndarray]
"""Radius that follows from a lower bound on the label's probability, `(m,)` to `(m,)`."""


@dataclass(frozen=True)
class TwoStage(Plan):
    """Sampling plan with a pilot, after which each image gets as many fresh samples as pay.

    Parameters
    ----------
    price : radius per noise sample
        Mean radius that each fresh sample must add.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the radius.
    k
        Number of top classes within which the label must stay.
    pilot : noise samples
        Samples that choose the label and the number of fresh ones.
    n_max : noise samples
        Most fresh ones per image.
    alpha : probability
        Error probability per image.
    unit : "feature" or "pixel"
        Unit that l0 counts, as in `radii.certify`.

    Raises
    ------
    InputError
        If a field is out of range.

    Notes
    -----
    Guarantee: the Clopper-Pearson bound from the fresh samples alone, at `alpha`, exceeds the label's
    probability with probability at most `alpha`. The samples must be independent, and label and number
    depend on the pilot alone (docs/math/sequential.md).

    Examples
    --------
    >>> import radii
    >>> plan = radii.TwoStage(price=4e-7, norm="l2")
    >>> plan.sizes()[:3]
    array([50, 55, 60])
    """

    name = "two-stage"
    usual_method = BY_PILOT
    price: float
    norm: str
    k: int = 1
    pilot: int = 1000
    n_max: int = 100_000
    alpha: float = 1e-3
    unit: str = "pixel"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.price) and self.price > 0):
            raise InputError(f"price must be a finite radius per sample, above 0; got {self.price!r}")
        check_name("norm", self.norm, NORMS)
        object.__setattr__(self, "unit", unit_of(self.norm, check_name("unit", self.unit, UNITS)))
        check_k(self.k)
        check_whole("pilot", self.pilot, 1, MOST_SAMPLES)
        check_whole("n_max", self.n_max, FEWEST)
        check_alpha(self.alpha)
        if self.n_max > MOST_SAMPLES:
            raise InputError(f"n_max must be at most {MOST_SAMPLES}; got {self.n_max}")

    @property
    def selection(self) -> int:
        """Samples of the pilot, which also choose the label if it is not known."""
        return self.pilot

    def stopping_rule(self, rules: Rules, part: tuple[int, int] | None = None) -> StoppingRule:
        return AfterPilot(self.pilot, self.fresh_samples(partial(rules.radius, self.norm, self.unit, self.k)))

    def labels_from(self, labels: np.ndarray | None) -> np.ndarray | None:
        """Return true labels if they are known, since the pilot then counts their failures; else None."""
        return labels

    def last_test(self, alpha: float, method: str) -> tuple[str, float]:
        # unanimous votes give the larger radius by the label alone, which has all of alpha
        return "binary" if method == BY_PILOT else method, alpha

    def bounds_from(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, method: str, rules: Rules
    ) -> tuple[np.ndarray, np.ndarray]:
        if method != BY_PILOT:
            return sampled_bounds(votes.counts, label, k, alpha, method)
        # all of alpha for each: the pilot, independent of the fresh samples, decides which of them is used
        binary, two_event = (
            sampled_bounds(votes.counts, label, k, alpha, method) for method in BY_PILOT_METHODS
        )
        prefers_binary = self._prefers_binary(votes, label, k, alpha, rules)
        return (
            np.where(prefers_binary, binary[0], two_event[0]),
            np.where(prefers_binary[:, None], binary[1], two_event[1]),
        )

    def _prefers_binary(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, rules: Rules
    ) -> np.ndarray:
        """Return where the radius is likely to be larger from the votes of the label alone, `(images,)`.

        It depends on the pilot and the number of fresh samples alone, so the bounds hold whichever method is taken.
        """
        # the fresh votes if they repeated the pilot; what rounding down leaves over goes to the label
        n = votes.counts.sum(axis=1)
        expected = votes.selection * n[:, None] // self.pilot
        first = label.reshape(len(label), -1)[:, 0]
        expected[np.arange(len(label)), first] += n - expected.sum(axis=1)
        # a whole set competes with one class outside, so its radius is that of a top-1 question
        places = k if label.ndim == 1 else 1
        binary, two_event = (
            rules.radius(self.norm, self.unit, places, *sampled_bounds(expected, label, k, alpha, method))
            for method in BY_PILOT_METHODS
        )
        return binary > two_event

    @property
    def sample_sizes(self) -> np.ndarray:
        # any of these: which one follows from the rules of the noise, which votes do not store
        return np.concatenate([[0], self.sizes()])

    def sizes(self) -> np.ndarray:
        """Return the numbers of fresh samples to choose from, `(sizes,)`; an image not worth any gets 0."""
        steps = int(np.ceil(np.log(self.n_max / FEWEST) / np.log(SIZE_RATIO)))
        return np.unique(np.rint(np.geomspace(FEWEST, self.n_max, steps + 1)).astype(np.int64))

    def fresh_samples(self, radius_of: RadiusOf) -> np.ndarray:
        """Compute the number of fresh samples for each number of failures in the pilot, `(pilot + 1,)`.

        That is the one with the largest posterior mean of `radius - price * samples`, or 0 if none is above 0.
        """
        sizes = self.sizes()
        # the bound from the mean number of successes, a fraction, in place of the mean bound: one evaluation instead of
        # a sum over all counts, and only the choice of a number depends on it
        lower = lower_bound((1 - PRIOR_VALUES)[:, None] * sizes, sizes, self.alpha)
        gain = self.posterior() @ radius_of(lower.ravel()).reshape(lower.shape) - self.price * sizes
        best = gain.argmax(axis=1)
        return np.where(gain.max(axis=1) > 0, sizes[best], 0)

    def posterior(self) -> np.ndarray:
        """Compute the posterior of `PRIOR_VALUES` after each number of failures in the pilot, `(pilot + 1, values)`."""
        failures = np.arange(self.pilot + 1)[:, None]
        log = failures * np.log(PRIOR_VALUES) + (self.pilot - failures) * np.log1p(-PRIOR_VALUES)
        log += np.log(PRIOR_WEIGHTS)
        # relative to the largest, or all of them underflow
        weights = np.exp(log - log.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def operating_characteristics(
        self, p: float, fresh: np.ndarray, levels: tuple[float, ...]
    ) -> OperatingCharacteristics:
        """Compute the distribution of outcomes for a label of probability `p` by the table `fresh`, to 1e-9.

        Outcomes are the number of samples, pilot included, and how many of `levels` lie below the bound.
        """
        check_levels(levels)
        sizes, chance = self._chances(p, fresh)
        below = np.zeros((len(levels) + 1, len(sizes)))
        below[0] = 1
        for column, size in enumerate(sizes):
            if size:
                low, weights = new_failures(int(size), p)
                cumulative = np.concatenate([[0.0], np.cumsum(weights)])
                most = most_failures(np.array(levels), size, self.alpha)
                below[1:, column] = cumulative[np.clip(most + 1 - low, 0, len(weights))]
        exactly = below - np.concatenate([below[1:], np.zeros((1, len(sizes)))])
        return OperatingCharacteristics(p, self.pilot + sizes, exactly * chance)

    def mean_radius(self, p: float, fresh: np.ndarray, radius_of: RadiusOf) -> float:
        """Compute the mean radius that a label of probability `p` gets by the table `fresh`."""
        mean = 0.0
        for size, chance in zip(*self._chances(p, fresh), strict=True):
            if size:
                low, weights = new_failures(int(size), p)
                failures = np.arange(low, low + len(weights))
                mean += chance * float(weights @ radius_of(lower_bound(size - failures, size, self.alpha)))
        return mean

    def _chances(self, p: float, fresh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of fresh samples that occur, rising, and the probability of each, both `(sizes,)`."""
        # many numbers of failures share a number of samples, and each number costs a distribution of its own
        low, weights = new_failures(self.pilot, p)
        sizes, columns = np.unique(fresh[low : low + len(weights)], return_inverse=True)
        return sizes, np.bincount(columns, weights)


@dataclass(frozen=True)
class AfterPilot(StoppingRule):
    """A pilot, which are the selection samples, and then `fresh[failures in the pilot]` fresh samples."""

    pilot: int
    fresh: np.ndarray

    def next_selection(self, selection: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.pilot)

    def first_look(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return self.fresh[self.pilot - selection[np.arange(len(selection)), label]]
