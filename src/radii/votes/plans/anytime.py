"""The plan that may be stopped at any moment: a confidence bound that holds at all numbers of draws at once.

For every probability p, alternatives above p are weighed by the arcsine law, cut off at p, and by an atom at 1. The
mixture of their likelihood ratios is a martingale under p, and hardly ever large (Ville 1939; Robbins 1970); p is
refuted while it is (docs/math/sequential.md).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincc, betaln

from radii.errors import InputError
from radii.noises.theory.bisection import bisect
from radii.votes.bounds import check_alpha, lower_bound
from radii.votes.plans.base import Counts, Plan, Rules, StoppingRule
from radii.votes.plans.boundaries import Boundaries, check_levels
from radii.votes.plans.failure_counts import MOST_SAMPLES, largest_count, likely_level, most_failures
from radii.votes.plans.fixed import check_whole
from radii.votes.plans.sequential import GIVEN_UP, POWER, check_reach

ATOM = 0.25  # weight of 'the label always wins'
# More than the rounding of the logarithm of a mixture over `MOST_SAMPLES` draws.
SLACK = 1e-6
FIRST_ROUND = 16
LARGEST_ALPHA = 0.5  # up to here the mixture crosses 1 / alpha once (docs/math/sequential.md)


@dataclass(frozen=True)
class Anytime(Plan):
    """Sampling plan with lower bounds that hold at every moment, for time limits and odd batches.

    Parameters
    ----------
    alpha : probability
        Error probability per image: half for the mixture, half for one Clopper-Pearson bound at exactly
        `n_max` samples.
    n_max : noise samples
        Most per image.
    selection : noise samples
        Separate samples that choose the label; 0 takes the true one.

    Raises
    ------
    InputError
        If `alpha` is no probability, or a number is out of range.

    Notes
    -----
    Guarantee: the probability that any of the bounds, at any number of samples, exceeds the label's
    probability is at most `alpha`. The samples must be independent, the label fixed before them; looks and
    the end may depend on them.

    References
    ----------
    Ville (1939); Robbins (1970), Statistical methods related to the law of the iterated logarithm, Annals
    of Mathematical Statistics (docs/math/sequential.md).

    Examples
    --------
    >>> import radii
    >>> float(radii.Anytime(n_max=1000).lower(500, 510).round(3))
    0.941
    """

    name = "anytime"
    usual_method = "binary"
    open_ended = True
    alpha: float = 1e-3
    n_max: int = 100_000
    selection: int = 0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_whole("n_max", self.n_max, 1)
        check_whole("selection", self.selection, 0, MOST_SAMPLES)
        if self.n_max > MOST_SAMPLES:
            raise InputError(f"n_max must be at most {MOST_SAMPLES}; got {self.n_max}")

    @property
    def sample_sizes(self) -> np.ndarray:
        return np.arange(self.n_max + 1)

    @property
    def selection_sizes(self) -> np.ndarray:
        # stopped at any moment, perhaps before the label was chosen
        return np.arange(self.selection + 1)

    def stopping_rule(self, rules: Rules, part: tuple[int, int] | None = None) -> StoppingRule:
        return InRounds(self)

    def resolve_method(self, labels: str | np.ndarray, k: int, alpha: float, method: str | None) -> str:
        if method not in (None, "binary"):
            raise InputError(f"a plan for any moment bounds the label alone: method 'binary', not {method!r}")
        return "binary"

    def last_test(self, alpha: float, method: str) -> tuple[str, float]:
        return "binary", alpha / 2

    def bounds_from(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, method: str, rules: Rules
    ) -> tuple[np.ndarray, None]:
        n = votes.counts.sum(axis=1)
        right = votes.counts[np.arange(len(label)), label]
        bound = replace(self, alpha=alpha).lower(right, np.maximum(n, 1))
        return np.where(n > 0, bound, 0.0), None

    def lower(self, successes: np.ndarray, n: np.ndarray | int) -> np.ndarray:
        """Compute the bound after `n` samples with some successes; the largest bound so far holds, too.

        Parameters
        ----------
        successes : 0 to n
            Votes for the label; broadcasts with `n`.
        n : noise samples
            Their number.

        Returns
        -------
        `(...)`
            Lower bounds on the probability of the label.
        """
        successes, n = np.broadcast_arrays(np.asarray(successes), n)
        if not ((n >= 1) & (n <= MOST_SAMPLES) & (successes >= 0) & (successes <= n)).all():
            raise InputError(
                f"give 0 to n successes of n = 1 to {MOST_SAMPLES} draws; got {successes!r} of {n!r}"
            )
        mixed = mixture_lower(successes, n, self.alpha / 2)
        return np.where(n == self.n_max, np.maximum(mixed, lower_bound(successes, n, self.alpha / 2)), mixed)

    def boundaries(self, levels: tuple[float, ...], looks: np.ndarray) -> Boundaries:
        """Return the tests of `levels` that `lower` amounts to at `looks`, the last of which is the end.

        The looks need not be fixed in advance for the bounds to hold, only to know what they will do.
        """
        check_levels(levels)
        check_reach(levels[-1], self.n_max, self.alpha / 2)
        looks, level = np.unique(looks), np.array(levels)[:, None]
        certify = most_refuting(level, looks, self.alpha / 2)
        tested = most_failures(level, looks, self.alpha / 2)
        certify = np.where(looks == self.n_max, np.maximum(certify, tested), certify)
        hoped = np.array([likely_level(one, self.n_max, self.alpha, POWER) for one in levels])[:, None]
        # successes and failures change places: few enough successes refute that the test could succeed
        futile = looks - most_refuting(1 - hoped, looks, GIVEN_UP)
        futile[:, -1] = certify[:, -1] + 1
        return Boundaries(looks, certify, futile)


@dataclass(frozen=True)
class InRounds(StoppingRule):
    """All images get the same number of draws, half as many again in each round, until someone stops them."""

    plan: Anytime

    @property
    def in_rounds(self) -> bool:
        return True

    @property
    def per_image(self) -> int:
        return self.plan.selection + self.plan.n_max

    def next_selection(self, selection: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.plan.selection)

    def first_look(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.full(len(selection), min(FIRST_ROUND, self.plan.n_max))

    def look(
        self, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return certified, np.minimum(counts.sum(axis=1) * 3 // 2, self.plan.n_max)


def log_mixture(successes: np.ndarray, failures: np.ndarray, p: np.ndarray | float) -> np.ndarray:
    """The logarithm of the mixture of likelihood ratios of alternatives above `p` to `p`; all broadcast."""
    a, b = successes + 0.5, failures + 0.5
    # of the arcsine law: all of it, and the part above p
    above = 2 * np.arcsin(np.sqrt(1 - p))
    likelihood = successes * np.log(p) + failures * np.log1p(-p)
    with np.errstate(divide="ignore"):
        spread = betaln(a, b) + np.log(betaincc(a, b, p)) - np.log(above) - likelihood
    sure = np.where(failures == 0, np.log(ATOM) - likelihood, -np.inf)
    return np.logaddexp(np.log1p(-ATOM) + spread, sure)


def mixture_lower(successes: np.ndarray, n: np.ndarray, alpha: float) -> np.ndarray:
    """The largest probability found to be refuted, with all below it, 0 where none is; arrays of one shape.

    Guarantee: the mixture was evaluated at every returned bound above 0, and is at least `1 / alpha` there.
    """
    check_mixture(alpha)

    def refuted(p: np.ndarray) -> np.ndarray:
        inside = np.clip(p, 1e-300, 1 - 1e-16)
        return (p > 0) & (log_mixture(successes, n - successes, inside) >= SLACK - np.log(alpha))

    return bisect(refuted, np.zeros(np.shape(n)), successes / n, 50)[0]


def most_refuting(level: np.ndarray | float, n: np.ndarray, alpha: float) -> np.ndarray:
    """The most failures in `n` draws with which the mixture refutes `level`, -1 if none do; broadcasts."""
    check_mixture(alpha)

    def refutes(failures: np.ndarray) -> np.ndarray:
        return log_mixture(n - failures, failures, level) >= SLACK - np.log(alpha)

    return largest_count(refutes, n, level)


def check_mixture(alpha: float) -> None:
    """Refuse an alpha at which the refuted probabilities may fall apart into two ranges."""
    check_alpha(alpha)
    if alpha > LARGEST_ALPHA:
        raise InputError(f"a mixture bounds at alpha up to {LARGEST_ALPHA}; got {alpha:g}")
