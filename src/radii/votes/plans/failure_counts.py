"""The distribution of the number of failures along a stream of noise samples, over the runs not yet stopped.

A *failure* is a sample that does not show the label. At each look some runs stop: their probability is removed from the
distribution, and the rest goes on (Armitage, McPherson & Rowe 1969; docs/math/sequential.md).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv

from radii.noises.theory.bisection import bisect_whole

# The distribution of new failures is cut where Bernstein's inequality leaves exp(-46) on each side, 1e-20: far below
# any error that is spent, and windows still grow like the square root of the number of samples.
CUT_EXPONENT = 46.0
CUT = 2 * math.exp(-CUT_EXPONENT)
# More than the relative rounding of any probability here, 1.2e-10: see docs/math/sequential.md, 'Rounding'.
ROUNDING = 1e-9
# Up to here that count of roundings holds.
MOST_SAMPLES = 10**7


@dataclass(frozen=True, eq=False)
class Mass:
    """Probabilities `weights`, `(width,)`, of `first`, `first + 1`, ... failures; they add up to at most 1."""

    first: int
    weights: np.ndarray

    @property
    def total(self) -> float:
        return float(self.weights.sum())

    def after(self, samples: int, p: float) -> "Mass":
        """Return the distribution after more samples of success probability `p`; loses at most `CUT` of it."""
        if not len(self.weights):
            return self
        # a plain convolution: its roundings are relative, while those of a Fourier transform are relative to the
        # largest weight and would swamp the tails, where the error is spent
        low, new = new_failures(samples, p)
        return Mass(self.first + low, np.convolve(self.weights, new))

    def split(self, most: int) -> tuple["Mass", "Mass"]:
        """Return the part with at most `most` failures, and the part with more."""
        cut = min(max(most + 1 - self.first, 0), len(self.weights))
        return Mass(self.first, self.weights[:cut]), Mass(self.first + cut, self.weights[cut:])

    def plus(self, other: "Mass") -> "Mass":
        """Return the sum over two disjoint sets of runs."""
        if not len(self.weights) or not len(other.weights):
            return self if len(self.weights) else other
        first = min(self.first, other.first)
        last = max(mass.first + len(mass.weights) for mass in (self, other))
        weights = np.zeros(last - first)
        for mass in (self, other):
            weights[mass.first - first :][: len(mass.weights)] += mass.weights
        return Mass(first, weights)


START = Mass(0, np.ones(1))
NOTHING = Mass(0, np.ones(0))


def new_failures(samples: int, p: float) -> tuple[int, np.ndarray]:
    """Return the binomial distribution of failures among samples of success probability `p`.

    That is the least number of failures that is kept, and the probabilities from there on. What is cut off has
    probability at most `CUT`. Weights are scaled to add up to 1, so none is below the truth by more than rounding.
    """
    # `p` is given rather than `q`: from the failure probability of a small level, the success probability would lose
    # digits
    q = 1 - p
    # Bernstein's inequality solved for the distance from the mean
    reach = CUT_EXPONENT / 3 + math.sqrt(CUT_EXPONENT**2 / 9 + 2 * CUT_EXPONENT * samples * q * p)
    low, high = max(0, math.ceil(samples * q - reach)), min(samples, math.floor(samples * q + reach))
    mode = min(max(math.floor((samples + 1) * q), low), high)
    # ratios of neighbours from the mode keep the digits that logarithms of large factorials lose: 1e-10 at n = 1e5
    below, above = np.arange(mode, low, -1.0), np.arange(mode + 1.0, high + 1)
    falling = np.cumprod(below * p / ((samples + 1 - below) * q))
    rising = np.cumprod((samples + 1 - above) * q / (above * p))
    weights = np.concatenate([falling[::-1], [1.0], rising])
    # Scaling makes probabilities of ratios to the mode, without its own weight, which has the digits of a factorial. It
    # spreads the mass that is cut off over the rest; callers count that mass as error all the same.
    return low, weights / weights.sum()


def most_failures(level: np.ndarray | float, n: np.ndarray | int, alpha: float) -> np.ndarray:
    """Return the most failures in `n` samples that reject 'the probability is at most `level`'; -1 if none do.

    All broadcast.

    Guarantee: at `level` and below it, the probability of at most that many failures is at most `alpha`.
    """
    return largest_count(lambda failures: at_most(failures, n, level) <= alpha * (1 - ROUNDING), n, level)


def at_most(failures: np.ndarray, n: np.ndarray | int, level: np.ndarray | float) -> np.ndarray:
    """Return the probability of at most `failures` in `n` samples of success probability `level`; all broadcast."""
    # betainc takes no shape parameter of 0
    all_fail = failures >= n
    return np.where(all_fail, 1.0, betainc(np.where(all_fail, 1, n - failures), failures + 1, level))


def largest_count(
    holds: Callable[[np.ndarray], np.ndarray], n: np.ndarray | int, level: np.ndarray | float
) -> np.ndarray:
    """Return the largest number up to `n` at which a test holds, in the shape of `n` and `level` broadcast.

    The test must not hold again once it failed at a smaller number. -1 where it fails at 0.
    """
    # The upper end is n + 1, which is never tested and stands for 'all'; the clip keeps tests of finished brackets
    # among possible counts.
    low = np.full(np.broadcast(n, level).shape, -1)
    return bisect_whole(lambda count: holds(np.clip(count, 0, n)), low, low + np.asarray(n) + 2)[0]


def least_samples(level: float, alpha: float) -> int:
    """Return the fewest samples that can reject 'the probability is at most `level`': all of them successes."""
    # rounding may make it one off, which is harmless: it places looks and completes messages, but decides no test
    return math.ceil(math.log(alpha) / math.log(level))


def likely_level(level: float, n: int, alpha: float, power: float) -> float:
    """Return the success probability at which the test of `n` samples at `alpha` rejects `level` with that power."""
    most = int(most_failures(level, n, alpha))
    assert most >= 0, "n samples cannot reject the level"
    # The probability of at most `most` failures, `at_most`, solved for the level. The inverse may be inexact: what
    # follows from it is power, not validity.
    return float(betaincinv(n - most, most + 1, power))
