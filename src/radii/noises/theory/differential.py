"""Translations that follow from a rate: how fast the probability of a region can change (docs/math/ball-noises.md).

Where a region of probability u changes at a rate of at most `G(u)`, the integral of `1 / G` is a translation. A concave
`G` is the least of its tangents `H(tau) + tau u`, and so lies below any finite number of lines that are no lower.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from radii.noises.theory.bisection import bisect
from radii.noises.theory.tradeoffs import TradeOffs

LEVEL = 1e-9
"""A level line is raised to this slope, so that all have the same formulas."""


@dataclass(frozen=True, eq=False)
class Rate:
    """`G(u)` on (0, top]: the lower envelope of lines `height + slope u`, and the integral of `1 / G` over it.

    Line i is the lowest from `edges[i + 1]` to `edges[i]`, edges falling from the top to 0; `depth[i]` is the integral
    of `1 / G` from `edges[i]` to the top. Arrays of one entry a line, `edges` and `depth` one more.
    """

    height: np.ndarray
    slope: np.ndarray
    edges: np.ndarray
    depth: np.ndarray

    def integral(self, u: np.ndarray) -> np.ndarray:
        """Integral of `1 / G` from u to the top, for u in (0, top]."""
        line = np.clip(np.searchsorted(-self.edges, -u, side="left"), 1, len(self.height)) - 1
        return self.depth[line] + line_integral(self.height[line], self.slope[line], u, self.edges[line])

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """The u at which the integral is z, 0 beyond its end; for z of at least 0."""
        line = np.minimum(np.searchsorted(self.depth, z, side="right"), len(self.height)) - 1
        height, slope, edge = self.height[line], self.slope[line], self.edges[line]
        return np.maximum(edge + (height / slope + edge) * np.expm1(-slope * (z - self.depth[line])), 0)

    def quantile(self, p: np.ndarray) -> np.ndarray:
        """The translation F(p) of a rate with `G(1 - u) = G(u)`, given up to 1/2."""
        half = self.integral(np.minimum(p, 1 - p))
        return np.where(p < 0.5, -half, half)

    def cdf(self, z: np.ndarray) -> np.ndarray:
        """The inverse of F: 0 and 1 beyond its ends."""
        tail = self.inverse(np.abs(z))
        return np.where(z < 0, tail, 1 - tail)


def line_integral(height: np.ndarray, slope: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integral of `1 / (height + slope u)` from low to high."""
    return np.log1p(slope * (high - low) / (height + slope * low)) / slope


def lowest_lines(lines: Iterable[tuple[float, float]], top: float = 0.5) -> Rate:
    """The rate that is the least of all `lines`, `(slope, height)` by rising slope, heights above 0."""
    kept: list[tuple[float, float, float]] = []  # slope, height, and the u below which the line is the lowest
    for given, height in lines:
        slope, edge = max(given, LEVEL), top
        while kept:
            edge = (kept[-1][1] - height) / (slope - kept[-1][0])
            if edge < kept[-1][2]:
                break
            kept.pop()
            edge = top
        if edge > 0:
            kept.append((slope, height, edge))
    slopes, heights, edges = np.array(kept).T
    edges = np.append(edges, 0.0)
    pieces = line_integral(heights, slopes, edges[1:], edges[:-1])
    return Rate(heights, slopes, edges, np.concatenate([[0.0], np.cumsum(pieces)]))


ANGLES, STEPS = 2048, 28
"""Angles that bracket any, and halvings of a bracket."""
LEAST = 1e-300
"""Below all probabilities that can be told from 0."""


def growth_and_time(h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`X - 1` and `T` of the cycloid that starts the angle `2 h` before its top; both rise from 0 with h, to pi / 2."""
    cos, arc = np.cos(h), 2 * h
    pace = np.sin(h) / (2 * cos**3)
    budget = 4 * cos**4 + 2 * cos**3 * (arc - np.sin(arc)) / np.sin(h)
    return pace * (arc + np.sin(arc)), pace * arc * np.sqrt(budget)


def around(rising: Callable[[np.ndarray], np.ndarray], wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles just before and just after something that rises with them is as large as `wanted`; pi / 2 if never."""
    grid = np.linspace(0, np.pi / 2, ANGLES)
    grid[0] = 1e-12
    after = np.clip(np.searchsorted(rising(grid), wanted), 1, ANGLES - 1)
    return bisect(lambda angle: rising(angle) < wanted, grid[after - 1], grid[after], STEPS)


def where_needed(mask: np.ndarray, function: Callable[..., np.ndarray], *arguments: np.ndarray) -> np.ndarray:
    """`function` of the elements that `mask` picks, 0 elsewhere."""
    found = np.zeros(mask.shape)
    if mask.any():
        found[mask] = function(*(one[mask] for one in arguments))
    return found


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
        before, risen, past = self.crossing(p <= 0.5, tail, time)
        return np.where(
            p > 0.5,
            1 - where_needed(p > 0.5, self.fallen, tail, time),
            np.where(before, risen, 1 - past),
        )

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, time = np.broadcast_arrays(p, r / self.scale)
        tail = np.maximum(np.minimum(p, 1 - p), LEAST)
        before, risen, past = self.crossing(p > 0.5, tail, time)
        return np.where(
            p > 0.5,
            np.where(before, 1 - risen, past),
            where_needed(p <= 0.5, self.fallen, tail, time),
        )

    def crossing(
        self, mask: np.ndarray, tail: np.ndarray, time: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where `tail` is still below 1/2 after `time`, how far it rises there, and what is left of 1 beyond."""
        half = where_needed(mask, self.least_time, tail, np.full(tail.shape, 0.5))
        before = time < half
        risen = where_needed(mask & before, self.risen, tail, time)
        past = where_needed(mask & ~before, self.fallen, np.full(tail.shape, 0.5), time - half)
        return before, risen, past

    @property
    def one(self) -> float:
        """The probability that the noise sees a given feature from a given side: below it a rate is at most `u`."""
        return 1 / (2 * self.features)

    def least_time(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The least time in which a probability `u` can rise to `v`, `u <= v <= 1/2`, rounded down."""
        start = np.maximum(u, np.minimum(self.one, v))
        whole = where_needed(start > u, self._cycloid_time, u, v)
        return np.maximum(whole, np.log(start / u) + self._cycloid_time(start, v))

    def risen(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The largest probability, at most 1/2, to which `u` can rise in `time`, rounded up."""
        start = np.minimum(np.maximum(u, self.one), u * np.exp(np.minimum(time, 700)))
        left = np.maximum(time - np.log(start / u), 0)
        by_both = np.where(
            start < self.one, start, where_needed(start >= self.one, self._cycloid_rise, start, left)
        )
        whole = np.where(u < self.one, where_needed(u < self.one, self._cycloid_rise, u, time), 0.5)
        return np.minimum(np.minimum(whole, by_both), 0.5)

    def fallen(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        """The smallest probability to which `u` of at most 1/2 can fall in `time`, rounded down."""
        end = np.minimum(u, self.one)
        left = time - self._cycloid_time(end, u)
        by_both = np.where(left > 0, end * np.exp(-np.maximum(left, 0)), 0)
        return np.maximum(self._cycloid_fall(u, time), by_both)

    def _cycloid_time(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        growth = (v - u) / u
        low, _ = around(lambda h: growth_and_time(h)[0], growth)
        return np.where(growth > 0, np.sqrt(2 * self.features * u) * growth_and_time(low)[1], 0)

    def _cycloid_rise(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        wanted = time / np.sqrt(2 * self.features * u)
        _, high = around(lambda h: growth_and_time(h)[1], wanted)
        return np.where(high < np.pi / 2, u * (1 + growth_and_time(high)[0]), 0.5)

    def _cycloid_fall(self, u: np.ndarray, time: np.ndarray) -> np.ndarray:
        wanted = time / np.sqrt(2 * self.features * u)

        def rising(h: np.ndarray) -> np.ndarray:
            growth, taken = growth_and_time(h)
            return taken / np.sqrt(1 + growth)

        _, high = around(rising, wanted)
        return np.where(high < np.pi / 2, u / (1 + growth_and_time(high)[0]), 0)
