"""Make noises/theory/dimension_free.json: for each tau the majorant of E(S - tau)_+ (docs/math/laplace-l2.md).

Run: python tools/dimension_free_duals.py. Nothing rests on the solver: the tests verify each majorant everywhere.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linprog, minimize_scalar

from radii.noises.theory import laplace_l2
from radii.noises.theory.laplace_l2 import Majorant, normal_cubes

TAUS = np.concatenate([np.arange(0, 5, 0.01), np.arange(5, 6.51, 0.05)])
KNOTS = np.arange(0, 3.01, 0.02)
# from here on one cube alone is as good
LAST_PROGRAMME = 1.8


def programme(tau: float) -> Majorant:
    """Return the least `(a + b + sum c_t 2 M3(t)) / 2` over majorants `a + b s^2 + sum c_t (|s| - t)_+^3`.

    By cutting planes: solved on some points s, then also where the solution failed.
    """
    points = np.arange(0, 12, 0.2)
    cost = np.concatenate([[1, 1], 2 * normal_cubes(KNOTS)])
    limits = [(None, None), (None, None)] + [(0, None)] * len(KNOTS)
    for _ in range(12):
        cubes = np.maximum(points[:, None] - KNOTS, 0) ** 3
        rows = np.hstack([np.ones((len(points), 1)), points[:, None] ** 2, cubes])
        x = linprog(cost, A_ub=-rows, b_ub=-np.maximum(points - tau, 0), bounds=limits, method="highs").x
        # the solver leaves rounding in coefficients that are 0
        kept = x[2:] > 1e-10
        majorant = Majorant(tau, x[0], x[1], tuple(KNOTS[kept]), tuple(x[2:][kept]))
        # between the points the majorant can fail at critical points only
        failed = majorant.critical_points()
        failed = failed[majorant.excess(failed) < -1e-10]
        if not len(failed):
            break
        points = np.union1d(points, failed)
    return raised(majorant)


def single_cube(tau: float) -> Majorant:
    """Return the best majorant of one cube: tangent to `s - tau` at `tau + w`, `c = 1 / 27 w^2`, `t = tau - 2 w`."""
    best = minimize_scalar(
        lambda w: normal_cubes(np.array(tau - 2 * w)) / (27 * w**2),
        bounds=(0.02, 1.5 * tau),
        method="bounded",
    )
    w = float(best.x)
    return raised(Majorant(tau, 0.0, 0.0, (tau - 2 * w,), (1 / (27 * w**2),)))


def raised(majorant: Majorant) -> Majorant:
    """Return the majorant, raised by as much as it fails, and by more than its own rounding."""
    up = max(0.0, -majorant.least_excess())
    return replace(majorant, a=majorant.a + 2 * up + 1e-15)


def solve(tau: float) -> Majorant:
    """Return the better of the two."""
    majorants = [programme(tau)] if tau <= LAST_PROGRAMME else []
    if tau >= 1:
        majorants.append(single_cube(tau))
    return min(majorants, key=Majorant.mean)


if __name__ == "__main__":
    path = Path(laplace_l2.__file__).with_name("dimension_free.json")
    rows = [json.dumps(asdict(solve(float(round(tau, 6))))) for tau in TAUS]
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")
    print(f"{len(rows)} majorants in {path}")
