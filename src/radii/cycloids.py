"""Moves in l2 against noise that sees one feature at a time: the fastest follow cycloids (docs/math/ball-noises.md).

A straight move of l2 length 1 changes the probability u of a region at a rate of at most the integral of `a` from 0
to u, where the integral of `a^2` is at most `1 / 2d`: `a` is what the features give, the greatest first. The least time
in which any such `a` takes u to `X u` belongs to a cycloid. It is `sqrt(2 d u) T(X)`; X and T depend on one angle.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from radii.tradeoffs import TradeOffs

STEPS = 48
"""Halvings of the interval of angles."""

LEAST = 1e-300
"""Below all probabilities that can be told from 0."""


def growth_and_time(h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`X - 1` and `T` of the cycloid that starts the angle `2 h` before its top; both rise from 0 with h, to pi / 2."""
    cos, arc = np.cos(h), 2 * h
    pace = np.sin(h) / (2 * cos**3)
    budget = 4 * cos**4 + 2 * cos**3 * (arc - np.sin(arc)) / np.sin(h)
    return pace * (arc + np.sin(arc)), pace * arc * np.sqrt(budget)


def around(
    reached: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Angles just before and just after something that rises with them is `reached`; pi / 2 if it never is."""
    low, high = np.full(shape, 1e-12), np.full(shape, np.pi / 2)
    for _ in range(STEPS):
        middle = (low + high) / 2
        there = reached(middle)
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    return low, high


@dataclass(frozen=True, eq=False)
class FastestMoves(TradeOffs):
    """A region changes at a rate of at most `u`, and along a straight move as `a` says; times are `r / scale`."""

    features: int
    scale: float

    @property
    def start(self) -> float:  # type: ignore[override]
        return self.scale * math.sqrt(self.features)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, time = np.broadcast_arrays(p, r / self.scale)
        tail = np.maximum(np.minimum(p, 1 - p), LEAST)
        half = self.least_time(tail, 0.5)
        past = 1 - self.fallen(np.full(p.shape, 0.5), np.maximum(time - half, 0))
        return np.where(
            p > 0.5, 1 - self.fallen(tail, time), np.where(time < half, self.risen(tail, time), past)
        )

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, time = np.broadcast_arrays(p, r / self.scale)
        tail = np.maximum(np.minimum(p, 1 - p), LEAST)
        half = self.least_time(tail, 0.5)
        past = self.fallen(np.full(p.shape, 0.5), np.maximum(time - half, 0))
        return np.where(
            p > 0.5, np.where(time < half, 1 - self.risen(tail, time), past), self.fallen(tail, time)
        )

    @property
    def one(self) -> float:
        """The probability that the noise sees a given feature from a given side: below it a rate is at most `u`."""
        return 1 / (2 * self.features)

    def least_time(self, u: np.ndarray, v: float | np.ndarray) -> np.ndarray:
        """The least time in which a probability `u` can rise to `v`, `u <= v <= 1/2`, rounded down."""
        start = np.maximum(u, np.minimum(self.one, v))
        fastest = [self._cycloid_time(u, v), np.log(start / u) + self._cycloid_time(start, v)]
        return np.maximum(*fastest)

    def risen(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The largest probability, at most 1/2, to which `u` can rise in `time`, rounded up."""
        start = np.minimum(np.maximum(u, self.one), u * np.exp(np.minimum(time, 700)))
        left = np.maximum(time - np.log(start / u), 0)
        by_both = np.where(start < self.one, start, self._cycloid_rise(start, left))
        return np.minimum(np.minimum(self._cycloid_rise(u, time), by_both), 0.5)

    def fallen(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The smallest probability to which `u` of at most 1/2 can fall in `time`, rounded down."""
        end = np.minimum(u, self.one)
        left = time - self._cycloid_time(end, u)
        by_both = np.where(left > 0, end * np.exp(-np.maximum(left, 0)), 0)
        return np.maximum(self._cycloid_fall(u, time), by_both)

    def _cycloid_time(self, u: np.ndarray, v: float | np.ndarray) -> np.ndarray:
        growth = (v - u) / u
        low, _ = around(lambda h: growth_and_time(h)[0] >= growth, np.shape(growth))
        return np.where(growth > 0, np.sqrt(2 * self.features * u) * growth_and_time(low)[1], 0)

    def _cycloid_rise(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        wanted = time / np.sqrt(2 * self.features * u)
        _, high = around(lambda h: growth_and_time(h)[1] >= wanted, np.shape(wanted))
        return np.where(high < np.pi / 2, u * (1 + growth_and_time(high)[0]), 0.5)

    def _cycloid_fall(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        wanted = time / np.sqrt(2 * self.features * u)

        def reached(h: np.ndarray) -> np.ndarray:
            growth, taken = growth_and_time(h)
            return taken / np.sqrt(1 + growth) >= wanted

        _, high = around(reached, np.shape(wanted))
        return np.where(high < np.pi / 2, u / (1 + growth_and_time(high)[0]), 0)
