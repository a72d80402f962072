"""Laplace noise moved in l2: the worst direction, from a table over a cover of all of them (docs/math/laplace-l2.md).

In the coordinate `x = F(p)` of the dimension-free translation a region rises from x to at most `x + r`. The table holds
smaller bounds `W(x, r)` at some radii: the largest over all directions of a move, its few large steps composed exactly
and its many small ones compared with a normal law. Between two radii the translation carries on from the lower one.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from radii import dimension_free
from radii.tradeoffs import TradeOffs

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
    stored = json.loads((files("radii") / "directions.json").read_text(encoding="utf-8"))
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
        x, r = np.broadcast_arrays(dimension_free.quantile(p), r / self.b)
        return dimension_free.cdf(load_table().risen_to(x, r))

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        # a region falls as its complement rises
        x, r = np.broadcast_arrays(dimension_free.quantile(p), r / self.b)
        return dimension_free.cdf(-load_table().risen_to(-x, r))
