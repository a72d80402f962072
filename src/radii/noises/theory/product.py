"""Trade-off functions of a product noise when many features move: all alike (linf), or a few fully (l0)."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np

from radii.noises.theory.hockey_stick import HockeyStick, hockey_stick, lower_of_curve, lower_of_curves
from radii.noises.theory.tradeoffs import TradeOffs

# Grid constants of the tables; docs/math/composition.md derives what each costs in accuracy.
ROW_STEP = 0.002  # rows at radii (ROW_STEP * i)^2, in units of scale / sqrt(features * information)
POINT_STEP = 0.006  # losses at most this far apart, in units of the radius
LAST_POINT = 7.5
BACK = 0.5  # how far back in y a curve is looked at to bound its slope
CELLS = 120  # CELLS * sqrt(t) grid cells for a feature of Laplace noise that moves by t scales
LEVELS = 64  # l0 in the image's box: moves are rounded up to 1/64 of the full range


class LossLaw(Hashable, Protocol):
    """The privacy losses of one density, and how they compose; moves in units of its scale."""

    @property
    def information(self) -> float:
        """Fisher information of a shift, the mean of the squared score."""

    def grid(self, features: int) -> tuple[float, int]:
        """Spacing and number of the points y at which curves of `features` features are kept, losses `radius y`."""

    def alike(self, move: float, features: int, step: float, points: int) -> np.ndarray:
        """The curve at losses `0, step, 2 step, ...`, `(points,)`, when all features move by `move`."""

    def apart(self, step: float, levels: tuple[int, ...], times: tuple[int, ...]) -> HockeyStick:
        """The curve when `times[i]` features move by `step * levels[i]`."""


@dataclass(frozen=True)
class LaplaceLoss:
    """Laplace noise, whose losses have two atoms that stay on the grid, and a closed characteristic function."""

    @property
    def information(self) -> float:
        return 1.0

    def atoms(self, features: int) -> float:
        """Spacing of y in units of the spacing of the atoms: a whole number or the inverse of one."""
        wanted = POINT_STEP * math.sqrt(features)
        return float(math.floor(wanted)) if wanted >= 1 else 1 / math.ceil(1 / wanted)

    def grid(self, features: int) -> tuple[float, int]:
        spacing = self.atoms(features) / math.sqrt(features)
        return spacing, math.floor(min(math.sqrt(features), LAST_POINT) / spacing + 1e-9) + 1

    def alike(self, move: float, features: int, step: float, points: int) -> np.ndarray:
        atoms = self.atoms(features)
        parts = max(1, round(1 / atoms))
        cells = parts * math.ceil(max(CELLS * math.sqrt(move), 2) / parts)
        curve = hockey_stick(
            move / cells, np.array([cells]), np.array([features]), round(cells * atoms), points
        )
        return curve.divergence

    def apart(self, step: float, levels: tuple[int, ...], times: tuple[int, ...]) -> HockeyStick:
        per_level = max(1, math.ceil(CELLS * math.sqrt(step / max(levels))))
        return hockey_stick(step / per_level, np.array(levels) * per_level, np.array(times))


LAPLACE = LaplaceLoss()


@dataclass(eq=False)
class ShiftTable:
    """Hockey-stick curves of `features` features that all move by the same distance, on a grid of distances.

    Row i holds `D(c)` for the radius `r = (ROW_STEP i)^2` at `c = r y`, y on one common grid; radii in units of
    `scale / sqrt(features * information)`. Rows are composed when first needed.
    """

    features: int
    law: LossLaw = LAPLACE
    spacing: float = field(init=False)
    points: int = field(init=False)
    rows: np.ndarray = field(init=False)
    known: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.spacing, self.points = self.law.grid(self.features)
        # row 0 is zero but for what rounding may do
        self.rows, self.known = np.full((1, self.points), 1e-14), np.array([True])

    @property
    def unit(self) -> float:
        """Scales in one unit of the radius."""
        return 1 / math.sqrt(self.features * self.law.information)

    def row(self, i: int) -> np.ndarray:
        """The curve at the i-th radius, `(points,)`."""
        radius = (ROW_STEP * i) ** 2
        return self.law.alike(radius * self.unit, self.features, radius * self.spacing, self.points)

    def curves(self, wanted: np.ndarray) -> np.ndarray:
        """An array `(rows, points)` in which the `wanted` rows are filled."""
        size = int(wanted.max(initial=0)) + 1
        if size > len(self.rows):
            more = max(size, 2 * len(self.rows)) - len(self.rows)
            self.rows = np.concatenate([self.rows, np.empty((more, self.points))])
            self.known = np.concatenate([self.known, np.zeros(more, dtype=bool)])
        for i in np.unique(wanted[~self.known[wanted]]):
            self.rows[i] = self.row(int(i))
            self.known[i] = True
        return self.rows


@lru_cache(maxsize=8)
def shift_table(features: int, law: LossLaw) -> ShiftTable:
    """The table for inputs of `features` features, kept for the next call."""
    return ShiftTable(features, law)


@dataclass(frozen=True, eq=False)
class ComposedShift(TradeOffs):
    """All `features` features of a product noise move by r: the worst case of an linf ball.

    Between two rows of the table the curve is bounded by its chord and the most that a curve can rise above it
    (docs/math/composition.md, 'Between two radii').

    Guarantee: sound; for probabilities up to .99999 the radii that follow are at most 1e-4 smaller than the exact
    ones, relatively, and 1e-3 for noise near Laplace's, whose losses have peaks off the grid, or near uniform.
    """

    features: int
    scale: float
    law: LossLaw = LAPLACE

    @property
    def start(self) -> float:  # type: ignore[override]
        return self.scale / math.sqrt(self.features * self.law.information)

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, r = np.broadcast_arrays(p, r)
        return self.smallest(p, 1 - p, r)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, r = np.broadcast_arrays(p, r)
        return 1 - self.smallest(1 - p, p, r)

    def smallest(self, p: np.ndarray, complement: np.ndarray, r: np.ndarray) -> np.ndarray:
        """`lower(p, r)` with `complement = 1 - p`; arrays of one shape."""
        table = shift_table(self.features, self.law)
        radius = r / self.start
        row = np.floor(np.sqrt(radius) / ROW_STEP).astype(np.int64)
        left, right = (ROW_STEP * row) ** 2, (ROW_STEP * (row + 1)) ** 2
        part = np.clip((radius - left) / (right - left), 0, 1)
        curves = table.curves(np.concatenate([row.ravel(), row.ravel() + 1]))
        above_chord = part * (1 - part) * (right - left) ** 2 / 2
        back = math.ceil(BACK / table.spacing)

        def curve(j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            y, earlier = j * table.spacing, np.maximum(j - back, 0)
            chord = (1 - part) * curves[row, j] + part * curves[row + 1, j]
            # P above c, times exp(c): at most 1, and no more than the curve a little before c allows
            apart = y * left - earlier * table.spacing * right
            mass = curves[row + 1, earlier] / -np.expm1(-np.maximum(apart, 1e-9))
            bend = 1 + y**2 * np.exp(y * (right - left)) * np.minimum(mass, 1)
            return np.minimum(chord + above_chord * bend, 1), y * radius

        return lower_of_curve(curve, table.points, p, complement)


Moves = tuple[tuple[int, ...], tuple[int, ...]]
"""Different moves in whole steps, and how many features have each."""


def moves_of(steps: np.ndarray) -> Moves:
    """Those of features that move by so many steps, `(...)`."""
    levels, times = np.unique(steps[steps > 0], return_counts=True)
    return tuple(levels.tolist()), tuple(times.tolist())


@lru_cache(maxsize=1024)
def curve_of_moves(law: LossLaw, step: float, moves: Moves) -> HockeyStick:
    """The curve of features that move by whole steps of `step` scales."""
    return law.apart(step, *moves)


def lower_of_moves(
    law: LossLaw, step: float, moves: Sequence[Moves], p: np.ndarray, complement: np.ndarray
) -> np.ndarray:
    """`lower(p)` with `complement = 1 - p`, both `(images, ...)`, when the features of each image move by its moves."""
    if not moves:
        return p
    known: dict[Moves, int] = {}
    which = np.array([known.setdefault(one, len(known)) for one in moves], dtype=np.int64)
    return lower_of_curves([curve_of_moves(law, step, one) for one in known], which, p, complement)


@dataclass(frozen=True, eq=False)
class ComposedUnits(TradeOffs):
    """s units of a product noise move: the worst case of an l0 ball.

    `moves`: `(images, units, unit_features)`, how far each feature can move within the box of its image, or None
    for the whole range, 1. Moves are rounded up to 1/64 of the range, and each channel takes its s farthest.

    Guarantee: sound, and at 1/64 exact for moves of the whole range, to 1e-4 in the move (1e-3 as in `ComposedShift`).
    """

    unit_features: int
    scale: float
    moves: np.ndarray | None = None
    law: LossLaw = LAPLACE
    start: float = 1.0

    def __post_init__(self) -> None:
        if self.moves is not None:
            farthest = np.sort(self.moves, axis=1)[:, ::-1]
            object.__setattr__(self, "moves", np.ceil(farthest * LEVELS).astype(np.int64))

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.smallest(p, 1 - p, r)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return 1 - self.smallest(1 - p, p, r)

    def smallest(self, p: np.ndarray, complement: np.ndarray, s: np.ndarray) -> np.ndarray:
        """`lower(p, s)` with `complement = 1 - p`, images on the first axis; `s` is one number an image."""
        result = np.array(p, dtype=float)
        units = np.broadcast_to(np.reshape(s, -1).astype(np.int64), len(result))
        rows = np.flatnonzero(units)
        moves = [self.levels(row, units[row]) for row in rows.tolist()]
        result[rows] = lower_of_moves(
            self.law, 1 / (self.scale * LEVELS), moves, result[rows], complement[rows]
        )
        return result

    def levels(self, row: int, units: int) -> Moves:
        """How far the features of so many units of one image move."""
        if self.moves is None:
            return (LEVELS,), (int(units) * self.unit_features,)
        return moves_of(self.moves[row, :units])
