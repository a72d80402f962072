"""Exponential linf noise against l2: a probability changes fastest along a cycloid (docs/math/ball-noises.md).

In units of the scale of the noise, the time that a probability needs to rise from u to v along a straight
perturbation is at least that of a cycloid. Two bounds hold at once, and the better one counts: the cycloid all the
way, or, below the probability 1 / 2d of one face of the cube, a rate of at most u, and the cycloid above.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from radii.noises.theory.bisection import bisect
from radii.noises.theory.tradeoffs import TradeOffs

# Angles are bracketed by a grid of ANGLES and STEPS halvings, to 3e-12. The end on the sound side is used. With 45
# halvings radii are within 2e-11 of these, with 20 within 6e-9.
ANGLES, STEPS = 2048, 28
# Smaller probabilities are raised to this one, whose logarithm is finite.
LEAST = 1e-300


@dataclass(frozen=True, eq=False)
class FastestPaths(TradeOffs):
    """Trade-off functions of exponential linf noise on `features` features against l2; times are `r / scale`."""

    features: int
    scale: float

    @property
    def start(self) -> float:  # type: ignore[override]
        return self.scale * math.sqrt(self.features)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, time = np.broadcast_arrays(p, r / self.scale)
        tail = np.maximum(np.minimum(p, 1 - p), LEAST)
        below, risen, rest = self.rise(p <= 0.5, tail, time)
        fallen = evaluate_where(p > 0.5, self.smallest, tail, time)
        return np.where(p > 0.5, 1 - fallen, np.where(below, risen, 1 - rest))

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, time = np.broadcast_arrays(p, r / self.scale)
        tail = np.maximum(np.minimum(p, 1 - p), LEAST)
        below, risen, rest = self.rise(p > 0.5, tail, time)
        fallen = evaluate_where(p <= 0.5, self.smallest, tail, time)
        return np.where(p > 0.5, np.where(below, 1 - risen, rest), fallen)

    def rise(
        self, mask: np.ndarray, u: np.ndarray, time: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return whether `u <= 1/2` stays below 1/2 for `time`, what it rises to if so, and else what is left of 1."""
        # a rise through 1/2 takes at least the time to 1/2 plus the time beyond, where `G(1 - u) = G(u)`
        to_half = evaluate_where(mask, self.least_time, u, np.full(u.shape, 0.5))
        below = time < to_half
        risen = evaluate_where(mask & below, self.largest, u, time)
        rest = evaluate_where(mask & ~below, self.smallest, np.full(u.shape, 0.5), time - to_half)
        return below, risen, rest

    @property
    def face(self) -> float:
        """Probability of one face of the cube: that the noise depends on a given feature from a given side."""
        return 1 / (2 * self.features)

    def least_time(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the least time in which a probability can rise from `u` to `v`, `u <= v <= 1/2`, rounded down."""
        start = np.maximum(u, np.minimum(self.face, v))
        whole = evaluate_where(start > u, self._cycloid_time, u, v)
        return np.maximum(whole, np.log(start / u) + self._cycloid_time(start, v))

    def largest(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return the largest probability, at most 1/2, to which `u` can rise in `time`, rounded up."""
        # below `face` at a rate of u, which is exponential growth, then along a cycloid; exp overflows beyond 709
        start = np.minimum(np.maximum(u, self.face), u * np.exp(np.minimum(time, 700)))
        left = np.maximum(time - np.log(start / u), 0)
        in_two = np.where(
            start < self.face, start, evaluate_where(start >= self.face, self._cycloid_rise, start, left)
        )
        whole = np.where(u < self.face, evaluate_where(u < self.face, self._cycloid_rise, u, time), 0.5)
        return np.minimum(np.minimum(whole, in_two), 0.5)

    def smallest(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return the smallest probability to which `u <= 1/2` can fall in `time`, rounded down."""
        end = np.minimum(u, self.face)
        left = time - self._cycloid_time(end, u)
        in_two = np.where(left > 0, end * np.exp(-np.maximum(left, 0)), 0)
        return np.maximum(self._cycloid_fall(u, time), in_two)

    def _cycloid_time(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return the time of the cycloid from `u` to `v`, rounded down."""
        growth = (v - u) / u
        low, _ = bracket(lambda h: growth_and_time(h)[0], growth)
        return np.where(growth > 0, np.sqrt(2 * self.features * u) * growth_and_time(low)[1], 0)

    def _cycloid_rise(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return the end of the cycloid that starts at `u`, rounded up; 1/2 where none takes that long."""
        wanted = time / np.sqrt(2 * self.features * u)
        _, high = bracket(lambda h: growth_and_time(h)[1], wanted)
        return np.where(high < np.pi / 2, u * (1 + growth_and_time(high)[0]), 0.5)

    def _cycloid_fall(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return the start of the cycloid that ends at `u`, rounded down; 0 where none takes that long."""
        wanted = time / np.sqrt(2 * self.features * u)

        def time_to_end(h: np.ndarray) -> np.ndarray:
            growth, time = growth_and_time(h)
            return time / np.sqrt(1 + growth)

        _, high = bracket(time_to_end, wanted)
        return np.where(high < np.pi / 2, u / (1 + growth_and_time(high)[0]), 0)


def growth_and_time(h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return growth `v / u - 1` and time over `sqrt(2 d u)` of the cycloid from u to v over an angle of `2 h`.

    It ends at its top. Both rise with h, from 0 at 0 to infinity at pi / 2.
    """
    # half of the angle that is left to the top: c and s of docs/math/ball-noises.md become 2 cos^2 and 2 sin cos,
    # products that keep their digits, and q is `pace`
    cos, arc = np.cos(h), 2 * h
    pace = np.sin(h) / (2 * cos**3)
    budget = 4 * cos**4 + 2 * cos**3 * (arc - np.sin(arc)) / np.sin(h)
    return pace * (arc + np.sin(arc)), pace * arc * np.sqrt(budget)


def bracket(rising: Callable[[np.ndarray], np.ndarray], wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return angles just below and just above the one at which `rising` reaches `wanted`; pi / 2 if it never does."""
    grid = np.linspace(0, np.pi / 2, ANGLES)
    grid[0] = 1e-12  # at 0 `growth_and_time` divides by 0
    after = np.clip(np.searchsorted(rising(grid), wanted), 1, ANGLES - 1)
    return bisect(lambda angle: rising(angle) < wanted, grid[after - 1], grid[after], STEPS)


def evaluate_where(
    mask: np.ndarray, function: Callable[..., np.ndarray], *arguments: np.ndarray
) -> np.ndarray:
    """Return `function` at the elements that `mask` picks, 0 elsewhere: it takes a bisection for each element."""
    values = np.zeros(mask.shape)
    if mask.any():
        values[mask] = function(*(argument[mask] for argument in arguments))
    return values
