"""Laplace noise moved in l2, whatever the dimension: a translation bound (docs/math/laplace-l2.md).

Along a straight line of unit l2 length the probability of a region changes at a rate of at most `G(u) / b`, u its
probability, where `G` bounds what a sum `S = sum v_i s_i` of signed unit weights can hold of its mass on an event
of probability u: `G(u) = min over tau of H(tau) + tau u`. Each `H(tau)` comes from a majorant of `(|s| - tau)_+`
whose mean under S is at most that under a normal law (Eaton 1970; Pinelis 1994). Hence `F(p)`, the integral of
`1 / G` from 1/2 to p, is a translation.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from scipy.special import ndtr

from radii.noises.theory.differential import Rate, lowest_lines
from radii.noises.theory.tradeoffs import TradeOffs

Map = Callable[[np.ndarray], np.ndarray]


def normal_cubes(t: np.ndarray) -> np.ndarray:
    """`E(Z - t)_+^3` under a standard normal law."""
    return (t**2 + 2) * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi) - (t**3 + 3 * t) * ndtr(-t)


@dataclass(frozen=True)
class Majorant:
    """`a + b s^2 + sum c_t (|s| - t)_+^3 >= (|s| - tau)_+`, every `c_t >= 0`."""

    tau: float
    a: float
    b: float
    knots: tuple[float, ...]
    c: tuple[float, ...]

    def mean(self, cubes: Map = normal_cubes) -> float:
        """`H(tau)`: half the mean of the majorant under a law of variance 1, `cubes(t) = E(Z - t)_+^3`."""
        third = np.array(self.c) * cubes(np.array(self.knots))
        # up to t = 6.5 the cubes lose five digits: what remains is rounded up
        return float(self.a + self.b + 2 * np.sum(third)) / 2 * (1 + 1e-9)

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
        """The least excess over all s; minus infinity if it has no such bound, or if Step 2 does not cover it."""
        if min(self.c, default=0) < 0 or min(self.knots, default=0) < 0 or (sum(self.c) == 0 and self.b <= 0):
            return -np.inf
        return float(self.excess(self.critical_points()).min())


def load_majorants() -> list[Majorant]:
    """The majorants shipped with the package, by rising tau; tools/dimension_free_duals.py makes them."""
    rows = json.loads((files("radii.noises.theory") / "dimension_free.json").read_text(encoding="utf-8"))
    return [Majorant(**{**row, "knots": tuple(row["knots"]), "c": tuple(row["c"])}) for row in rows]


@lru_cache(maxsize=1)
def rate() -> Rate:
    """The lower envelope of all lines `H(tau) + tau u`, from u = 1/2 down."""
    return lowest_lines((majorant.tau, majorant.mean()) for majorant in load_majorants())


def quantile(p: np.ndarray) -> np.ndarray:
    """`F(p)` for Laplace noise, in units of b."""
    return rate().quantile(p)


def cdf(z: np.ndarray) -> np.ndarray:
    """The inverse of `F`: 0 and 1 beyond its ends."""
    return rate().cdf(z)


# Entries are the rise in units of the radius, rounded up to a whole number of these.
GRAIN = 1e-4


@dataclass(frozen=True, eq=False)
class Table:
    """`risen[j, i] >= F(upper(p, r))` at `r = radii[j]`, in units of b, and `F(p) = start + step i`; linear in between.

    `radii` rise from 0, `(rows,)`; `risen` rises along both axes, `(rows, points)`.
    """

    radii: np.ndarray
    start: float
    step: float
    risen: np.ndarray

    def risen_to(self, x: np.ndarray, r: np.ndarray) -> np.ndarray:
        """The least bound on where x can rise to within radius r; arrays of one shape."""
        place = np.clip((x - self.start) / self.step, 0, self.risen.shape[1] - 1)
        column = np.minimum(place.astype(np.int64), self.risen.shape[1] - 2)
        share = place - column
        row = np.searchsorted(self.radii, r, side="right") - 1
        after = np.minimum(row + 1, len(self.radii) - 1)

        def at(j: np.ndarray) -> np.ndarray:
            left, right = self.risen[j, column], self.risen[j, column + 1]
            return left + share * (right - left)

        carried = at(row) + (r - self.radii[row])
        best = np.minimum(carried, np.where(after > row, at(after), np.inf))
        # right of the table a region can be larger than any that it knows of
        last = self.start + self.step * (self.risen.shape[1] - 1)
        return np.minimum(x + r, np.where(x > last, np.inf, best))


@lru_cache(maxsize=1)
def load_table() -> Table:
    """The table shipped with the package; tools/direction_cover.py makes it."""
    stored = json.loads((files("radii.noises.theory") / "directions.json").read_text(encoding="utf-8"))
    radii = np.array(stored["radii"])
    x = stored["start"] + stored["step"] * np.arange(len(stored["rise"][0]))
    risen = np.vstack([x, x + radii[:, None] * np.array(stored["rise"]) * GRAIN])
    # rounding may have made steps downwards; raised, it stays sound
    risen = np.maximum.accumulate(np.maximum.accumulate(risen, axis=0), axis=1)
    return Table(np.append(0, radii), stored["start"], stored["step"], risen)


@dataclass(frozen=True, eq=False)
class WorstDirection(TradeOffs):
    """Laplace noise of scale `b` moved by at most r in l2, for any number of features.

    Guarantee: sound; docs/math/laplace-l2.md states how near the radii come to those of explicit moves.
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
