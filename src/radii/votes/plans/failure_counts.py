"""The number of failures along a stream of draws: its exact law, over the runs that have not been stopped yet.

A *failure* is a draw that does not show the label. Plans look at the count now and then and stop some runs; what
they stop is taken away from the law, and the rest goes on (Armitage, McPherson & Rowe 1969).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv

from radii.noises.theory.bisection import bisect_whole

# The law of new failures is cut where Bernstein's inequality leaves exp(-REACH) on each side.
REACH = 46.0
CUT = 2 * math.exp(-REACH)
# More than the relative rounding of any probability here: see docs/math/sequential.md, 'Rounding'.
ROUNDING = 1e-9
MOST_SAMPLES = 10**7


@dataclass(frozen=True, eq=False)
class Mass:
    """Probabilities `weights`, `(width,)`, of `first`, `first + 1`, ... failures."""

    first: int
    weights: np.ndarray

    @property
    def total(self) -> float:
        return float(self.weights.sum())

    def after(self, draws: int, p: float) -> "Mass":
        """The law after so many more draws, each a success with probability `p`; loses at most `CUT` of it."""
        if not len(self.weights):
            return self
        low, new = new_failures(draws, p)
        return Mass(self.first + low, np.convolve(self.weights, new))

    def split(self, most: int) -> tuple["Mass", "Mass"]:
        """The parts with at most so many failures, and with more."""
        cut = min(max(most + 1 - self.first, 0), len(self.weights))
        return Mass(self.first, self.weights[:cut]), Mass(self.first + cut, self.weights[cut:])

    def plus(self, other: "Mass") -> "Mass":
        """The sum of two laws over different runs."""
        if not len(self.weights) or not len(other.weights):
            return self if len(self.weights) else other
        first = min(self.first, other.first)
        last = max(one.first + len(one.weights) for one in (self, other))
        weights = np.zeros(last - first)
        for one in (self, other):
            weights[one.first - first :][: len(one.weights)] += one.weights
        return Mass(first, weights)


START = Mass(0, np.ones(1))
NOTHING = Mass(0, np.ones(0))


def new_failures(draws: int, p: float) -> tuple[int, np.ndarray]:
    """The least number of failures among `draws` worth a thought, and the probabilities from there on.

    Each draw is a success with probability `p`. What is left out has probability at most `CUT`.

    Neighbours' ratios, started at the mode, keep the digits that factorials of large numbers lose. Weights add up to
    1, so that none is below the truth by more than rounding.
    """
    q = 1 - p
    reach = REACH / 3 + math.sqrt(REACH**2 / 9 + 2 * REACH * draws * q * p)
    low, high = max(0, math.ceil(draws * q - reach)), min(draws, math.floor(draws * q + reach))
    mode = min(max(math.floor((draws + 1) * q), low), high)
    below, above = np.arange(mode, low, -1.0), np.arange(mode + 1.0, high + 1)
    falling = np.cumprod(below * p / ((draws + 1 - below) * q))
    rising = np.cumprod((draws + 1 - above) * q / (above * p))
    weights = np.concatenate([falling[::-1], [1.0], rising])
    return low, weights / weights.sum()


def at_most(failures: np.ndarray, n: np.ndarray | int, level: np.ndarray | float) -> np.ndarray:
    """Probability of at most so many failures in `n` draws, each a success with probability `level`; all broadcast."""
    all_fail = failures >= n
    return np.where(all_fail, 1.0, betainc(np.where(all_fail, 1, n - failures), failures + 1, level))


def most_failures(level: np.ndarray | float, n: np.ndarray | int, alpha: float) -> np.ndarray:
    """The most failures in `n` draws that reject 'the probability is at most `level`', -1 if none do; broadcasts.

    Guarantee: so few failures have probability at most `alpha` at `level` and below it.
    """
    return largest_count(lambda failures: at_most(failures, n, level) <= alpha * (1 - ROUNDING), n, level)


def largest_count(
    holds: Callable[[np.ndarray], np.ndarray], n: np.ndarray | int, level: np.ndarray | float
) -> np.ndarray:
    """The largest number up to `n` at which a falling test holds, -1 where it fails at 0; as `n` and `level`."""
    low = np.full(np.broadcast(n, level).shape, -1)
    return bisect_whole(lambda count: holds(np.clip(count, 0, n)), low, low + np.asarray(n) + 2)[0]


def least_samples(level: float, alpha: float) -> int:
    """The fewest draws that can reject 'the probability is at most `level`': all of them successes."""
    return math.ceil(math.log(alpha) / math.log(level))


def likely_level(level: float, n: int, alpha: float, power: float) -> float:
    """The probability of success at which the test of `n` draws at `alpha` rejects `level` with chance `power`."""
    most = int(most_failures(level, n, alpha))
    assert most >= 0, "n draws cannot reject the level"
    return float(betaincinv(n - most, most + 1, power))
