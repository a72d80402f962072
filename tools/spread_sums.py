"""Make tools/spread_sums.json: the distance of sums of small signed weights from normal (docs/math/laplace-l2.md).

Run: python tools/spread_sums.py. For each bound `a` on the weights and each tau, a majorant of `(|s| - tau)_+` made of
a constant, a square, cubes and cosines. Nothing rests on the solver: the tests verify each majorant everywhere.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linprog
from scipy.special import ndtr, ndtri

from radii.noises.theory.laplace_l2 import normal_cubes

HERE = Path(__file__).parent
CAPS = (1, 0.9, 0.8, 0.71, 0.63, 0.56, 0.5, 0.45, 0.4, 0.36, 0.32, 0.285, 0.25, 0.2)
TAUS = (
    0,
    0.04,
    0.08,
    0.16,
    0.24,
    0.32,
    *np.arange(0.4, 1.21, 0.1),
    1.36,
    1.52,
    1.68,
    *np.arange(1.84, 4.05, 0.1),
)
FREQUENCIES = 28
# highest frequency, in units of pi / a: the bounds on cosines hold below 1
REACH = 0.86
# beyond, both bounds on the cosine are as good as zero
HIGHEST = 13.0
# every tau is a whole number of cells, so that the kink at tau lies between two of them
CELL, LAST = 0.002, 14.0

Terms = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Majorant:
    """`a + b s^2 + sum c_t (|s| - t)_+^3 + sum d_f cos(f s) >= (|s| - tau)_+`, every `c_t >= 0`."""

    tau: float
    a: float
    b: float
    knots: tuple[float, ...]
    c: tuple[float, ...]
    frequencies: tuple[float, ...]
    d: tuple[float, ...]

    def mean(self, cap: float) -> float:
        """Return half the majorant's mean, at least `E(S - tau)_+` for unit sums S of signed weights up to `cap`."""
        f, d = np.array(self.frequencies), np.array(self.d)
        low, high = cosine_means(f, cap)
        # upwards: a positive coefficient with the upper bound on its cosine, a negative one with the lower
        cosines = np.sum(np.where(d > 0, d * high, d * low))
        # up to t = 4 the cubes lose four digits
        cubes = np.sum(np.array(self.c) * 2 * normal_cubes(np.array(self.knots))) * (1 + 1e-12)
        # more than the rounding of the sum
        scale = abs(self.a) + abs(self.b) + np.abs(d).sum() + cubes
        return float(self.a + self.b + cubes + cosines + 1e-14 * scale) / 2

    def lows(self, cell: float) -> tuple[np.ndarray, np.ndarray]:
        """Return where in each cell the Taylor polynomial of the excess, of degree 2, is least, and its value."""
        c, t, d, f = map(np.array, (self.c, self.knots, self.d, self.frequencies))
        s = np.arange(cell / 2, LAST, cell)
        beyond, angle = np.maximum(s[:, None] - t, 0), s[:, None] * f
        cos, sin = np.cos(angle), np.sin(angle)
        value = self.a + self.b * s**2 + beyond**3 @ c + cos @ d - np.maximum(s - self.tau, 0)
        slope = 2 * self.b * s + 3 * beyond**2 @ c - sin @ (d * f) - (s > self.tau)
        bend = 2 * self.b + 6 * beyond @ c - cos @ (d * f**2)
        half = cell / 2
        step = np.where(
            bend * half > np.abs(slope),
            -slope / np.where(bend == 0, 1, bend),
            np.where(slope > 0, -half, half),
        )
        return s + step, value + slope * step + bend * step**2 / 2

    def least_excess(self) -> float:
        """Return a lower bound on majorant minus `(s - tau)_+` over all `s >= 0`, minus infinity where none is proved.

        Up to `LAST` cell by cell, from the Taylor polynomial of degree 2 about the middle and a bound on the third
        derivative; tau lies between two cells. From there on the excess is convex and rises.
        """
        c, t, d, f = map(np.array, (self.c, self.knots, self.d, self.frequencies))
        third = 6 * c.sum() + np.abs(d) @ f**3
        least = float(np.min(self.lows(CELL)[1])) - third * (CELL / 2) ** 3 / 6
        # beyond LAST the cosines are bounded by their coefficients
        ripple = np.abs(d).sum()
        end = self.a + self.b * LAST**2 + np.maximum(LAST - t, 0) ** 3 @ c - ripple - (LAST - self.tau)
        rise = 2 * self.b * LAST + 3 * np.maximum(LAST - t, 0) ** 2 @ c - 1
        curve = 2 * self.b + 6 * np.maximum(LAST - t, 0) @ c
        if min(self.c, default=0) < 0 or min(end, rise, curve) < 0:
            return -np.inf
        return least


def cosine_means(f: np.ndarray, cap: float) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds on `E cos(f S)` over all unit sums S of signed weights of at most `cap`; `f cap < pi`."""
    normal = np.exp(-(f**2) / 2)
    lattice = np.abs(np.cos(f * cap)) ** (1 / cap**2)
    near = f * cap <= np.pi / 2
    high = np.where(near, normal, np.maximum(normal, lattice))
    return np.where(near, lattice, -high), high


def programme(cap: float, tau: float) -> Majorant | None:
    """Return the majorant of least mean, by cutting planes: solved on some s, then also where it failed."""
    top = min(REACH * np.pi / cap, HIGHEST)
    f = np.round(np.arange(1, FREQUENCIES + 1) / FREQUENCIES * top, 4)
    low, high = cosine_means(f, cap)
    unit = tau_scale(tau)
    # what `least_excess` will give away for the third derivative is part of the price
    lost = (CELL / 2) ** 3 / 6 * f**3
    knots = np.union1d(np.arange(0, tau, 0.4), np.round(np.maximum(tau + np.arange(-1.5, 0.41, 0.1), 0), 4))
    cost = np.concatenate([[1, 1], 2 * normal_cubes(knots) + (CELL / 2) ** 3, high + lost, lost - low])
    limits = [(None, None)] * 2 + [(0, None)] * (len(knots) + 2 * len(f))
    points = np.union1d(np.arange(0, LAST, 0.024 if cap < 0.3 else 0.048), [tau])
    majorant = None
    for _ in range(3):
        s = points[:, None]
        rows = np.hstack(
            [np.ones_like(s), s**2, np.maximum(s - knots, 0) ** 3, np.cos(s * f), -np.cos(s * f)]
        )
        target = np.maximum(points - tau, 0) / unit
        solved = linprog(cost, A_ub=-rows, b_ub=-target, bounds=limits, method="highs")
        if solved.x is None:
            return majorant
        # solved in units of the mean, which falls to 6e-6 at the largest tau, near the tolerances of the solver
        x = solved.x * unit
        c, d = x[2 : 2 + len(knots)], x[2 + len(knots) :][: len(f)] - x[2 + len(knots) + len(f) :]
        majorant = trimmed(tau, x[:2], (knots, c), (f, d), unit)
        lows, excess = majorant.lows(0.004)
        worst = excess < -1e-4 * unit
        if not worst.any():
            break
        points = np.union1d(points, np.abs(lows[worst, None] + np.array([-0.004, -0.0015, 0, 0.0015, 0.004])))
    return raised(majorant)


def tau_scale(tau: float) -> float:
    """Return `E(Z - tau)_+` for a normal Z: the size of the bounded mean."""
    return float(np.exp(-(tau**2) / 2) / np.sqrt(2 * np.pi) - tau * ndtr(-tau))


def digits(x: float) -> float:
    return float(f"{x:.10g}")


def trimmed(tau: float, start: np.ndarray, cubes: Terms, cosines: Terms, unit: float) -> Majorant:
    """Return the majorant without terms of the size of rounding errors, with coefficients of ten digits."""
    (knots, c), (f, d) = cubes, cosines
    some_c, some_d = c > 1e-7 * unit, np.abs(d) > 1e-6 * unit
    rounded = (tuple(map(digits, x)) for x in (knots[some_c], c[some_c], f[some_d], d[some_d]))
    return Majorant(digits(tau), float(start[0]), digits(start[1]), *rounded)


def raised(majorant: Majorant) -> Majorant | None:
    """Return the majorant, raised by as much as it fails, and by more than its own rounding."""
    up = -majorant.least_excess()
    return replace(majorant, a=majorant.a + max(up, 0) + 1e-13) if np.isfinite(up) else None


def spread(cap: float, majorants: list[Majorant], tail: float) -> float:
    """Return a sigma with `E[S h] <= sigma phi(Phi^-1(u))` for every `0 <= h <= 1` of mean u in `[tail, 1/2]`.

    The lower envelope of the lines `mean + tau u` is compared with the concave right side at its corners.
    """
    height = np.array([majorant.mean(cap) for majorant in majorants])
    slope = np.array([majorant.tau for majorant in majorants])
    # between two corners the envelope is linear and the right side concave: the ratio is largest at a corner
    corners = [(height[i] - height[j]) / (slope[j] - slope[i]) for i in range(len(slope)) for j in range(i)]
    u = np.unique(np.clip([*corners, tail, 0.5], tail, 0.5))
    lowest = (height + slope * u[:, None]).min(axis=1)
    return float(np.max(lowest / (np.exp(-(ndtri(u) ** 2) / 2) / np.sqrt(2 * np.pi)))) * (1 + 1e-12)


def load() -> dict[float, list[Majorant]]:
    """Return the majorants of each bound on the weights."""
    stored = json.loads((HERE / "spread_sums.json").read_text(encoding="utf-8"))
    return {
        float(cap): [Majorant(*(tuple(x) if isinstance(x, list) else x for x in row)) for row in rows]
        for cap, rows in stored.items()
    }


if __name__ == "__main__":
    table = {}
    for cap in CAPS:
        majorants = list(filter(None, (programme(cap, float(round(tau, 6))) for tau in TAUS)))
        table[cap] = [list(asdict(majorant).values()) for majorant in majorants]
        sigma = spread(cap, majorants, 1e-4)
        print(f"weights up to {cap}: {len(majorants)} majorants, sigma {sigma:.5f}", flush=True)
    text = ",\n".join(
        f'"{cap}": [\n' + ",\n".join(map(json.dumps, rows)) + "]" for cap, rows in table.items()
    )
    (HERE / "spread_sums.json").write_text("{" + text + "}\n", encoding="utf-8")
