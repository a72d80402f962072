"""The plan that may be stopped at any moment: an anytime-valid lower bound on the probability of the label.

For every probability p, alternatives above p are weighed by the arcsine distribution, cut off at p, and by an atom at
1. The mixture of their likelihood ratios is a nonnegative martingale under p, so it exceeds 1 / alpha with probability
at most alpha at any time (Ville 1939; Robbins 1970). Each p at which it does is refuted (docs/math/sequential.md).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincc, betaln

from radii.errors import InputError
from radii.noises.theory.bisection import bisect
from radii.votes.bounds import JOINT, check_alpha, joint_share, lower_bound
from radii.votes.plans.base import Counts, Plan, Rules, StoppingRule
from radii.votes.plans.boundaries import Boundaries, check_levels
from radii.votes.plans.failure_counts import MOST_SAMPLES, largest_count, likely_level, most_failures
from radii.votes.plans.fixed import check_whole
from radii.votes.plans.sequential import GIVEN_UP, POWER, check_level_in_reach

# After n unanimous votes at alpha = 0.0005 the bound is near 1 - 8.33 / n; Clopper-Pearson's is 1 - 7.60 / n. Without
# the atom it is 1 - 8.81 / n, with a weight of 0.9 it is 1 - 7.67 / n. Other votes pay for the weight: 990 of 1,000
# give 0.9702 without it, 0.9698 at 0.25 and 0.9669 at 0.9.
ATOM = 0.25
"""Weight of the alternative 1."""
# More than the rounding of the logarithm of a mixture over `MOST_SAMPLES` samples, which tests find below 2e-7.
SLACK = 1e-6
"""What the logarithm of a mixture must exceed `log(1 / alpha)` by."""
FIRST_ROUND = 16
"""Samples of each image in the first round."""
LARGEST_ALPHA = 0.5
"""Up to here the mixture crosses 1 / alpha once, so that bisection finds the bound (docs/math/sequential.md)."""


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
        # any number, as a time limit may pass before the label is chosen
        return np.arange(self.selection + 1)

    def stopping_rule(self, rules: Rules, part: tuple[int, int] | None = None) -> StoppingRule:
        return InRounds(self)

    def resolve_method(
        self, labels: str | np.ndarray, k: int, alpha: float, method: str | None, jointly: bool = False
    ) -> str:
        if method not in (None, "binary"):
            raise InputError(f"an anytime plan bounds the label alone: take method 'binary', not {method!r}")
        return JOINT if jointly else "binary"

    def last_test(self, alpha: float, method: str) -> tuple[str, float]:
        return "binary", alpha / 2

    def bounds_from(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, method: str, rules: Rules
    ) -> tuple[np.ndarray, None]:
        n = votes.counts.sum(axis=1)
        successes = np.take_along_axis(votes.counts, label.reshape(len(label), -1), axis=1).min(axis=1)
        # the event of a label alone serves all k; each k has a set of its own
        if method == JOINT and label.ndim == 2:
            alpha *= joint_share(k, votes.counts.shape[1])
        bound = replace(self, alpha=alpha).lower(successes, np.maximum(n, 1))
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
                f"give 0 to n successes of n = 1 to {MOST_SAMPLES} samples; got {successes!r} of {n!r}"
            )
        mixed = mixture_lower(successes, n, self.alpha / 2)
        # Clopper-Pearson's bound has the other half of alpha, and holds at this one number of samples, fixed in advance
        return np.where(n == self.n_max, np.maximum(mixed, lower_bound(successes, n, self.alpha / 2)), mixed)

    def boundaries(self, levels: tuple[float, ...], looks: np.ndarray) -> Boundaries:
        """Return the boundaries of `levels` that `lower` amounts to at `looks`, the last of which is the end.

        The bounds hold at looks that are not fixed in advance; only their operating characteristics need fixed ones.
        """
        check_levels(levels)
        check_level_in_reach(levels[-1], self.n_max, self.alpha / 2)
        looks, level = np.unique(looks), np.array(levels)[:, None]
        certify = most_refuting(level, looks, self.alpha / 2)
        tested = most_failures(level, looks, self.alpha / 2)
        certify = np.where(looks == self.n_max, np.maximum(certify, tested), certify)
        likely = np.array([likely_level(p, self.n_max, self.alpha, POWER) for p in levels])[:, None]
        # successes and failures exchanged: few enough successes refute that the label is as probable as `likely`
        futile = looks - most_refuting(1 - likely, looks, GIVEN_UP)
        futile[:, -1] = certify[:, -1] + 1
        return Boundaries(looks, certify, futile)


@dataclass(frozen=True)
class InRounds(StoppingRule):
    """The same number of samples for all images, larger by half in each round, until the time limit or `n_max`."""

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
        # rounds that grow by a ratio: their number, at each of which all images wait for one another, grows as
        # log(n_max)
        return certified, np.minimum(counts.sum(axis=1) * 3 // 2, self.plan.n_max)


def log_mixture(successes: np.ndarray, failures: np.ndarray, p: np.ndarray | float) -> np.ndarray:
    """Return the logarithm of the mixture of likelihood ratios of alternatives above `p` to `p`; all broadcast."""
    a, b = successes + 0.5, failures + 0.5
    # pi times the mass of the arcsine distribution above p; the beta integral below is pi times too large as well
    above = 2 * np.arcsin(np.sqrt(1 - p))
    likelihood = successes * np.log(p) + failures * np.log1p(-p)
    # the tail of the beta function may be 0, for p far above the share of successes: nothing is refuted at -inf
    with np.errstate(divide="ignore"):
        spread = betaln(a, b) + np.log(betaincc(a, b, p)) - np.log(above) - likelihood
    # one failure refutes the alternative 1 for good
    sure = np.where(failures == 0, np.log(ATOM) - likelihood, -np.inf)
    # added as logarithms: likelihood ratios of 10^7 samples are far beyond the largest float
    return np.logaddexp(np.log1p(-ATOM) + spread, sure)


def mixture_lower(successes: np.ndarray, n: np.ndarray, alpha: float) -> np.ndarray:
    """Return the largest probability found to be refuted, and with it all below; 0 where none is. One shape for all.

    Guarantee: the mixture was evaluated at every returned bound above 0, and is at least `1 / alpha` there.
    """
    check_mixture(alpha)

    def refuted(p: np.ndarray) -> np.ndarray:
        # where both logarithms are finite
        inside = np.clip(p, 1e-300, 1 - 1e-16)
        return (p > 0) & (log_mixture(successes, n - successes, inside) >= SLACK - np.log(alpha))

    # Nothing above the share of successes is refuted (docs/math/sequential.md, 'One crossing'). 50 halvings leave 1e-15
    # of that share; the low end was tested, so that stopping earlier would only make bounds smaller.
    return bisect(refuted, np.zeros(np.shape(n)), successes / n, 50)[0]


def most_refuting(level: np.ndarray | float, n: np.ndarray, alpha: float) -> np.ndarray:
    """Return the most failures in `n` samples with which the mixture refutes `level`, -1 if none do; broadcasts."""
    check_mixture(alpha)

    def refutes(failures: np.ndarray) -> np.ndarray:
        return log_mixture(n - failures, failures, level) >= SLACK - np.log(alpha)

    return largest_count(refutes, n, level)


def check_mixture(alpha: float) -> None:
    """Raise `InputError` for an alpha at which the refuted probabilities may not form one interval."""
    check_alpha(alpha)
    if alpha > LARGEST_ALPHA:
        raise InputError(f"an anytime plan has bounds at alpha up to {LARGEST_ALPHA}; got {alpha:g}")
