"""Stopping boundaries for the number of failures, and their operating characteristics."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from radii.errors import InputError
from radii.noises.norms import radii_array
from radii.votes.plans.failure_counts import NOTHING, START, most_failures

# At n_max = 10^7 the boundaries of each level take a fifth of a second (docs/log.md), in all a quarter of a minute: a
# file with more levels would keep its reader busy.
MOST_LEVELS = 64
"""Most levels that are tested on one stream."""


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Tests of rising levels on one stream of samples, at looks fixed in advance.

    `looks`: `(looks,)`, rising numbers of samples. `certify`, `futile`: `(levels, looks)`. With c levels certified so
    far, a look with at most `certify[c]` failures certifies the next level, and so on; then one with at least
    `futile[c]` ends the run. No level is certified before all below it are.
    """

    looks: np.ndarray
    certify: np.ndarray
    futile: np.ndarray

    def __post_init__(self) -> None:
        for name in ("looks", "certify", "futile"):
            array = np.array(getattr(self, name), dtype=np.int64)
            array.flags.writeable = False  # equal plans share them
            object.__setattr__(self, name, array)

    def decide(
        self, look: np.ndarray, failures: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return how many levels are certified now, and which runs are over.

        All are `(runs,)`: `look`, the numbers of the looks; `failures` so far; `certified`, levels before this look.
        """
        now = np.array(certified)
        levels = len(self.certify)
        # in rising order, so that one look may certify several levels, but none above one that fails (Theorem 2)
        for level in range(levels):
            now += (now == level) & (failures <= self.certify[level, look])
        done = now == levels
        return now, done | (failures >= self.futile[np.where(done, 0, now), look])

    def operating_characteristics(self, p: float) -> "OperatingCharacteristics":
        """Return the distribution of outcomes for a label of probability `p`, exact up to rounding (1e-9)."""
        if not 0 <= p <= 1:
            raise InputError(f"p is a probability, from 0 to 1; got {p!r}")
        levels, looks = self.certify.shape
        ended = np.zeros((levels + 1, looks))
        # running[c]: failures of the runs that have c levels certified. The number certified belongs to the state,
        # since the next boundary depends on it (docs/math/sequential.md, 'What it will cost').
        running = [START, *[NOTHING] * (levels - 1)]
        for look, samples in enumerate(np.diff(self.looks, prepend=0)):
            risen = NOTHING
            for level in range(levels):
                # runs that rise at this look face the next level's boundary at the same look
                here = running[level].after(int(samples), p).plus(risen)
                risen, left = here.split(int(self.certify[level, look]))
                running[level], over = left.split(int(self.futile[level, look]) - 1)
                ended[level, look] = over.total
            ended[levels, look] = risen.total
        return OperatingCharacteristics(p, self.looks, ended)


@dataclass(frozen=True, eq=False)
class OperatingCharacteristics:
    """The distribution of a plan's outcomes for a label of probability `p`.

    `ended`: `(levels + 1, looks)`; row c holds the probability to end at each look with c levels certified.
    """

    p: float
    looks: np.ndarray
    ended: np.ndarray

    @property
    def certified(self) -> np.ndarray:
        """Probability that each level is certified, `(levels,)`."""
        return np.cumsum(self.ended.sum(axis=1)[::-1])[::-1][1:]

    @property
    def futile(self) -> float:
        """Probability to give up before the last look, with a level left uncertified."""
        return float(self.ended[:-1, :-1].sum())

    @property
    def mean_samples(self) -> float:
        """Mean number of samples."""
        return float(self.ended.sum(axis=0) @ self.looks)

    def quantile(self, share: float) -> int:
        """Return the number of samples that is enough with probability at least `share`."""
        reached = np.cumsum(self.ended.sum(axis=0))
        # sums of probabilities miss a round share by their rounding, and the answer would be a whole look later
        enough = int(np.searchsorted(reached, share - 1e-12))
        return int(self.looks[min(enough, len(self.looks) - 1)])


def fixed_boundaries(levels: tuple[float, ...], n: int, alpha: float) -> Boundaries:
    """Return the tests by one look at `n` samples, with all of `alpha`: the Clopper-Pearson test of every level."""
    certify = most_failures(np.array(levels), n, alpha)[:, None]
    return Boundaries(np.array([n]), certify, certify + 1)


def check_levels(levels: tuple[float, ...]) -> None:
    """Raise `InputError` unless levels are probabilities that rise."""
    if not levels or not all(low < high for low, high in pairwise((0.0, *levels, 1.0))):
        raise InputError(f"levels must be probabilities that rise, above 0 and below 1; got {levels!r}")
    if len(levels) > MOST_LEVELS:
        raise InputError(f"at most {MOST_LEVELS} levels can be tested at once; got {len(levels)}")


def check_radii(radii: object) -> tuple[float, ...]:
    """Return radii as a tuple; raise `InputError` unless they are finite numbers above 0 that rise."""
    values = radii_array(radii)
    # NaN fails every comparison, and is thus rejected like a radius that does not rise
    if not values.size or not all(a < b for a, b in pairwise((0.0, *values, math.inf))):
        listed = ", ".join(f"{radius:.10g}" for radius in values) or "none"
        raise InputError(f"radii must be finite numbers that rise, above 0; got {listed}")
    return tuple(values.tolist())
