"""The differential method: a bound on how fast a probability changes is a translation (docs/math/ball-noises.md).

If a region of probability u changes at a rate of at most `G(u)` along every straight perturbation, the integral of
`1 / G` is a translation. A concave `G` is the lower envelope of its tangents `H(tau) + tau u`, so the envelope of any
finite number of lines that are no lower than tangents is a sound bound.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

# A line of slope 0 is raised to this slope, a sound change that spares a second formula for the integral: it raises a
# rate by 1e-9 at most.
LEVEL = 1e-9


@dataclass(frozen=True, eq=False)
class Rate:
    """`G(u)` on (0, top], the lower envelope of lines `height + slope u`, and the integral of `1 / G`.

    Line i is the lowest from `edges[i + 1]` to `edges[i]`; edges fall from the top to 0. `depth[i]` is the integral of
    `1 / G` from `edges[i]` to the top. `height` and `slope` have one entry per line, `edges` and `depth` one more.
    """

    height: np.ndarray
    slope: np.ndarray
    edges: np.ndarray
    depth: np.ndarray

    def integral(self, u: np.ndarray) -> np.ndarray:
        """Return the integral of `1 / G` from u to the top, for u in (0, top]."""
        # edges fall, and searchsorted needs a rising array
        line = np.clip(np.searchsorted(-self.edges, -u, side="left"), 1, len(self.height)) - 1
        return self.depth[line] + line_integral(self.height[line], self.slope[line], u, self.edges[line])

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Return the u at which the integral is z, for z >= 0; 0 where z exceeds every integral."""
        line = np.minimum(np.searchsorted(self.depth, z, side="right"), len(self.height)) - 1
        height, slope, edge = self.height[line], self.slope[line], self.edges[line]
        return np.maximum(edge + (height / slope + edge) * np.expm1(-slope * (z - self.depth[line])), 0)

    def quantile(self, p: np.ndarray) -> np.ndarray:
        """Return the translation `F^-1(p)` of a rate with `G(1 - u) = G(u)` and top 1/2."""
        half = self.integral(np.minimum(p, 1 - p))
        return np.where(p < 0.5, -half, half)

    def cdf(self, z: np.ndarray) -> np.ndarray:
        """Return the inverse of `quantile`, F; 0 and 1 beyond its ends."""
        tail = self.inverse(np.abs(z))
        return np.where(z < 0, tail, 1 - tail)


def line_integral(height: np.ndarray, slope: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the integral of `1 / (height + slope u)` from low to high."""
    # log1p of the relative rise: a difference of logarithms would cancel on short pieces
    return np.log1p(slope * (high - low) / (height + slope * low)) / slope


def lowest_lines(lines: Iterable[tuple[float, float]], top: float = 0.5) -> Rate:
    """Return the lower envelope of `lines`, pairs `(slope, height)` with rising slopes and positive heights."""
    # slope, height, and the u below which the line is the lowest of those so far
    kept: list[tuple[float, float, float]] = []
    for tau, height in lines:
        slope, edge = max(tau, LEVEL), top
        while kept:
            edge = (kept[-1][1] - height) / (slope - kept[-1][0])
            if edge < kept[-1][2]:
                break
            # the new line is lower wherever the last one was the lowest
            kept.pop()
            edge = top
        if edge > 0:
            kept.append((slope, height, edge))
    slopes, heights, edges = np.array(kept).T
    edges = np.append(edges, 0.0)
    pieces = line_integral(heights, slopes, edges[1:], edges[:-1])
    return Rate(heights, slopes, edges, np.concatenate([[0.0], np.cumsum(pieces)]))
