"""Laplace noise against l2, in any number of features: a table and a translation bound (docs/math/laplace-l2.md).

Along a straight perturbation of unit l2 length, a probability u changes at a rate of at most `G(u) / b`. Here G
bounds `E[S; event]` over events of probability u and sums `S = sum v_i s_i` of random signs with unit weights: `G(u)
= min over tau of H(tau) + tau u`. Each `H(tau)` comes from a majorant of `(|s| - tau)_+` whose mean under S is at
most that under a normal distribution (Eaton 1970; Pinelis 1994). The integral of `1 / G` from 1/2 to p is a
translation. The table refines it direction by direction.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from scipy.special import ndtr

from radii.noises.theory.differential import Rate, lowest_lines
from radii.noises.theory.tradeoffs import Map, TradeOffs

# Entries of the table are rises in units of the radius, rounded up to whole multiples of this: small numbers in the
# file, and a loss of 1e-4 of a radius at most.
GRAIN = 1e-4


@dataclass(frozen=True, eq=False)
class WorstDirection(TradeOffs):
    """Laplace noise of scale `b` against l2, for any number of features.

    Guarantee: sound; docs/math/laplace-l2.md compares the radii with those of explicit perturbations.
    """

    b: float

    @property
    def start(self) -> float:  # type: ignore[override]
        return self.b

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        x, r = np.broadcast_arrays(quantile(p), r / self.b)
        return cdf(load_table().risen_to(x, r))

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        # a region falls as its complement rises
        x, r = np.broadcast_arrays(quantile(p), r / self.b)
        return cdf(-load_table().risen_to(-x, r))


def quantile(p: np.ndarray) -> np.ndarray:
    """Return the translation `F(p)`, in units of b."""
    return rate().quantile(p)


def cdf(z: np.ndarray) -> np.ndarray:
    """Return the inverse of `F`; 0 and 1 beyond its ends."""
    return rate().cdf(z)


@dataclass(frozen=True, eq=False)
class Table:
    """Upper bounds `risen[j, i]` on `F(upper(p, r))`, in units of b, at `r = radii[j]` and `F(p) = start + step i`.

    They are linear in `F(p)` between columns. `radii`, `(rows,)`, rise from 0; `risen`, `(rows, points)`, rises along
    both axes.
    """

    radii: np.ndarray
    start: float
    step: float
    risen: np.ndarray

    def risen_to(self, x: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Return the least upper bound on `F(upper(p, r))` for `x = F(p)`; arrays of one shape."""
        # left of the table the first column is a bound, since the bound rises with x
        position = np.clip((x - self.start) / self.step, 0, self.risen.shape[1] - 1)
        column = np.minimum(position.astype(np.int64), self.risen.shape[1] - 2)
        share = position - column
        row = np.searchsorted(self.radii, r, side="right") - 1
        after = np.minimum(row + 1, len(self.radii) - 1)

        def at(j: np.ndarray) -> np.ndarray:
            left, right = self.risen[j, column], self.risen[j, column + 1]
            return left + share * (right - left)

        # between two radii: the row before plus the translation of the rest, or the row after, since the bound rises
        carried = at(row) + (r - self.radii[row])
        best = np.minimum(carried, np.where(after > row, at(after), np.inf))
        # right of the table, where x exceeds its last column, only the translation x + r is a bound
        last = self.start + self.step * (self.risen.shape[1] - 1)
        return np.minimum(x + r, np.where(x > last, np.inf, best))


@lru_cache(maxsize=1)
def load_table() -> Table:
    """Return the table shipped with the package, which tools/direction_cover.py computes."""
    stored = json.loads((files("radii.noises.theory") / "directions.json").read_text(encoding="utf-8"))
    radii = np.array(stored["radii"])
    x = stored["start"] + stored["step"] * np.arange(len(stored["rise"][0]))
    risen = np.vstack([x, x + radii[:, None] * np.array(stored["rise"]) * GRAIN])
    # the bound rises with x and r; where rounding to grains made a step down, the larger entry is sound for both
    risen = np.maximum.accumulate(np.maximum.accumulate(risen, axis=0), axis=1)
    return Table(np.append(0, radii), stored["start"], stored["step"], risen)


@lru_cache(maxsize=1)
def rate() -> Rate:
    """Return `G`, the lower envelope of all lines `H(tau) + tau u`, for u up to 1/2."""
    return lowest_lines((majorant.tau, majorant.mean()) for majorant in load_majorants())


def load_majorants() -> list["Majorant"]:
    """Return the majorants shipped with the package, by rising tau; tools/dimension_free_duals.py computes them."""
    rows = json.loads((files("radii.noises.theory") / "dimension_free.json").read_text(encoding="utf-8"))
    return [Majorant(**{**row, "knots": tuple(row["knots"]), "c": tuple(row["c"])}) for row in rows]


def normal_cubes(t: np.ndarray) -> np.ndarray:
    """Return `E(Z - t)_+^3` for a standard normal variable Z."""
    return (t**2 + 2) * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi) - (t**3 + 3 * t) * ndtr(-t)


@dataclass(frozen=True)
class Majorant:
    """`a + b s^2 + sum c_t (|s| - t)_+^3 >= (|s| - tau)_+`, with every `c_t >= 0` and t one of `knots`."""

    tau: float
    a: float
    b: float
    knots: tuple[float, ...]
    c: tuple[float, ...]

    def mean(self, cubes: Map = normal_cubes) -> float:
        """Return `H(tau)`: half the mean of the majorant at variance 1, with `cubes(t) = E(Z - t)_+^3`."""
        third = np.array(self.c) * cubes(np.array(self.knots))
        # the difference in `normal_cubes` cancels five digits up to t = 6.5: what remains is rounded up
        return float(self.a + self.b + 2 * np.sum(third)) / 2 * (1 + 1e-9)

    def excess(self, s: np.ndarray) -> np.ndarray:
        """Return the majorant minus `(|s| - tau)_+` at `s >= 0`."""
        cubes = np.maximum(s[..., None] - np.array(self.knots), 0) ** 3 @ np.array(self.c)
        return self.a + self.b * s**2 + cubes - np.maximum(s - self.tau, 0)

    def critical_points(self) -> np.ndarray:
        """Return where the excess can be least: 0, tau, the knots, and the stationary points between them."""
        ends = np.unique([0.0, self.tau, *self.knots])
        points = [ends]
        for left, right in zip(ends, [*ends[1:], np.inf], strict=True):
            active = np.array(self.knots) <= left
            c, t = np.array(self.c)[active], np.array(self.knots)[active]
            # the derivative 3 sum c (s - t)^2 + 2 b s - [s > tau] is a quadratic in s
            slope = [3 * c.sum(), 2 * self.b - 6 * (c * t).sum(), 3 * (c * t**2).sum() - (left >= self.tau)]
            # np.roots leaves out leading zeros, which stand where no cube is active
            roots = np.roots(slope)
            points.append(roots.real[(roots.real > left) & (roots.real < right)])
        return np.concatenate(points)

    def least_excess(self) -> float:
        """Return the least excess over all s, or minus infinity where the proof does not cover the majorant.

        The proof needs nonnegative cubes at nonnegative knots, and a majorant that grows faster than `|s|`.
        """
        if min(self.c, default=0) < 0 or min(self.knots, default=0) < 0 or (sum(self.c) == 0 and self.b <= 0):
            return -np.inf
        return float(self.excess(self.critical_points()).min())
