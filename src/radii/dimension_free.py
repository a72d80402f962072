"""Laplace noise moved in l2, whatever the dimension: a translation bound (docs/math/laplace-l2.md).

Along a straight line of unit l2 length the probability of a region changes at a rate of at most `G(u) / b`, u its
probability, where `G` bounds what a sum `S = sum v_i s_i` of signed unit weights can hold of its mass on an event
of probability u: `G(u) = min over tau of H(tau) + tau u`. Each `H(tau)` comes from a majorant of `(|s| - tau)_+`
whose mean under S is at most that under a normal law (Eaton 1970; Pinelis 1994). Hence `F(p)`, the integral of
`1 / G` from 1/2 to p, is a translation.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from scipy.special import ndtr


@dataclass(frozen=True)
class Majorant:
    """`a + b s^2 + sum c_t (|s| - t)_+^3 >= (|s| - tau)_+`, every `c_t >= 0`."""

    tau: float
    a: float
    b: float
    knots: tuple[float, ...]
    c: tuple[float, ...]

    def mean(self) -> float:
        """`H(tau)`: half the mean of the majorant under a standard normal law, at least `E(S - tau)_+`."""
        t = np.array(self.knots)
        cubes = (t**2 + 2) * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi) - (t**3 + 3 * t) * ndtr(-t)
        # up to t = 6 the difference above loses four digits: what remains is rounded up
        return float(self.a + self.b + 2 * np.sum(np.array(self.c) * cubes)) / 2 * (1 + 1e-11)

    def excess(self, s: np.ndarray) -> np.ndarray:
        """Majorant minus `(|s| - tau)_+` at `s >= 0`."""
        cubes = np.maximum(s[..., None] - np.array(self.knots), 0) ** 3 @ np.array(self.c)
        return self.a + self.b * s**2 + cubes - np.maximum(s - self.tau, 0)

    def critical_points(self) -> np.ndarray:
        """Where the excess can be least: at 0, at tau, at a knot, or where the slope of a piece vanishes."""
        ends = np.unique([0.0, self.tau, *self.knots])
        points = [ends]
        for left, right in zip(ends, [*ends[1:], np.inf], strict=True):
            active = np.array(self.knots) <= left
            c, t = np.array(self.c)[active], np.array(self.knots)[active]
            # slope 3 sum c (s - t)^2 + 2 b s - [s > tau], a quadratic in s
            slope = [3 * c.sum(), 2 * self.b - 6 * (c * t).sum(), 3 * (c * t**2).sum() - (left >= self.tau)]
            roots = np.roots(np.trim_zeros(slope, "f"))
            points.append(roots.real[(roots.real > left) & (roots.real < right)])
        return np.concatenate(points)

    def least_excess(self) -> float:
        """The least excess over all s; minus infinity if the majorant falls behind as s grows."""
        if min(self.c, default=0) < 0 or (sum(self.c) == 0 and self.b <= 0):
            return -np.inf
        return float(self.excess(self.critical_points()).min())


def load_majorants() -> list[Majorant]:
    """The majorants shipped with the package, by rising tau; tools/dimension_free_duals.py makes them."""
    rows = json.loads((files("radii") / "dimension_free.json").read_text())
    return [Majorant(**{**row, "knots": tuple(row["knots"]), "c": tuple(row["c"])}) for row in rows]


@dataclass(frozen=True, eq=False)
class Rate:
    """`G(u)` on (0, 1/2]: the lower envelope of lines `height + slope u`, and the integral of `1 / G` over it.

    Line i is the lowest from `edges[i + 1]` to `edges[i]`, edges falling from 1/2 to 0; `depth[i]` is the integral
    of `1 / G` from `edges[i]` to 1/2. Arrays of one entry a line, `edges` and `depth` one more.
    """

    height: np.ndarray
    slope: np.ndarray
    edges: np.ndarray
    depth: np.ndarray

    def integral(self, u: np.ndarray) -> np.ndarray:
        """Integral of `1 / G` from u to 1/2, for u in (0, 1/2]."""
        line = np.clip(np.searchsorted(-self.edges, -u, side="left") - 1, 0, len(self.height) - 1)
        return self.depth[line] + line_integral(self.height[line], self.slope[line], u, self.edges[line])

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """The u at which the integral is z; 0 beyond its end."""
        line = np.clip(np.searchsorted(self.depth, z, side="right") - 1, 0, len(self.height) - 1)
        height, slope, edge = self.height[line], self.slope[line], self.edges[line]
        some = np.where(slope > 0, slope, 1)
        fallen = np.where(
            slope > 0,
            (height / some + edge) * np.expm1(-slope * (z - self.depth[line])),
            -height * (z - self.depth[line]),
        )
        return np.maximum(edge + fallen, 0)


def line_integral(height: np.ndarray, slope: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integral of `1 / (height + slope u)` from low to high."""
    share = (high - low) / (height + slope * low)
    some = np.where(slope > 0, slope, 1)
    return np.where(slope > 0, np.log1p(slope * share) / some, share)


@lru_cache(maxsize=1)
def rate() -> Rate:
    """The lower envelope of all lines `H(tau) + tau u`, from u = 1/2 down."""
    lines = [(m.tau, m.mean()) for m in load_majorants()]
    kept: list[tuple[float, float]] = []
    edges = [0.5]
    for tau, height in lines:
        while kept:
            crossing = (kept[-1][1] - height) / (tau - kept[-1][0])
            if crossing < edges[-1]:
                break
            kept.pop()
            if len(edges) > 1:
                edges.pop()
        if kept:
            edges.append(crossing)
        kept.append((tau, height))
        if len(edges) > 1 and edges[-1] <= 0:
            kept.pop()
            edges.pop()
    slope, height = np.array(kept).T
    borders = np.array([*edges, 0.0])
    depth = np.concatenate([[0.0], np.cumsum(line_integral(height, slope, borders[1:], borders[:-1]))])
    return Rate(height, slope, borders, depth)


def quantile(p: np.ndarray) -> np.ndarray:
    """`F(p)`, in units of b."""
    half = rate().integral(np.minimum(p, 1 - p))
    return np.where(p < 0.5, -half, half)


def cdf(z: np.ndarray) -> np.ndarray:
    """The inverse of `F`: 0 and 1 beyond its ends."""
    tail = rate().inverse(np.abs(z))
    return np.where(z < 0, tail, 1 - tail)
