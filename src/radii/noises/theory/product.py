"""Trade-off functions of product noise when many features are shifted: all alike (linf), or a few fully (l0)."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np

from radii.noises.theory.hockey_stick import HockeyStick, hockey_stick, lower_of_curve, lower_of_curves
from radii.noises.theory.tradeoffs import ComplementaryTradeOffs

# Grids of the tables. Finer ones cost memory and time; these keep radii within 1e-4 of the tight ones
# (docs/math/product-noises.md, docs/math/composition.md). On 3072 features, for p from 0.51 to 1 - 1e-7, rows twice as
# far apart cost 1e-4 of the radius, and half as far gain 2e-5. Twice the spacing of y costs 1.4e-5, half of the cells
# 7e-6; LAST_POINT 6 or BACK 0.25 and 1 change radii by less than 5e-6.
ROW_STEP = 0.002  # rows at radii (ROW_STEP i)^2, in units of scale / sqrt(features * information)
POINT_STEP = 0.006  # largest spacing of y, where losses are c = radius * y
LAST_POINT = 7.5  # largest y
BACK = 0.5  # the bend of a curve at y is bounded by the next row at y - BACK
CELLS = 120  # a feature of Laplace noise shifted by t scales has CELLS * sqrt(t) grid cells
# Shifts of l0 in the box are rounded up to 1/64 of the range. They are at least half the range, so that images need 33
# different shifts at most, and none becomes longer by more than 1/32 of itself.
LEVELS = 64


class PrivacyLoss(Hashable, Protocol):
    """The privacy loss of one feature, and how it composes over features; shifts are in units of the scale."""

    @property
    def information(self) -> float:
        """Fisher information of the location: the mean of the squared score."""

    def grid(self, features: int) -> tuple[float, int]:
        """Return spacing and number of the points y of the curves of `features` features, where c = radius y."""

    def compose_equal(self, shift: float, features: int, step: float, points: int) -> np.ndarray:
        """Return the curve at c = `0, step, 2 step, ...`, `(points,)`, when all features are shifted by `shift`."""

    def compose_levels(self, step: float, levels: tuple[int, ...], times: tuple[int, ...]) -> HockeyStick:
        """Return the curve when `times[i]` features are shifted by `step * levels[i]`."""


@dataclass(frozen=True)
class LaplaceLoss:
    """Laplace noise, whose loss has a characteristic function in closed form and two atoms that stay on the grid."""

    @property
    def information(self) -> float:
        return 1.0

    def atom_share(self, features: int) -> float:
        """Return the spacing of y in units of the spacing of the atoms: a whole number or the inverse of one."""
        wanted = POINT_STEP * math.sqrt(features)
        return float(math.floor(wanted)) if wanted >= 1 else 1 / math.ceil(1 / wanted)

    def grid(self, features: int) -> tuple[float, int]:
        spacing = self.atom_share(features) / math.sqrt(features)
        # the largest loss is sqrt(features) radii; 1e-9 keeps a last point that rounding moves off the end
        return spacing, math.floor(min(math.sqrt(features), LAST_POINT) / spacing + 1e-9) + 1

    def compose_equal(self, shift: float, features: int, step: float, points: int) -> np.ndarray:
        share = self.atom_share(features)
        # A number of cells that puts both the atoms and the points y on grid points. It grows with the root of the
        # shift, which keeps the error of the radius below 1e-5 (docs/math/composition.md).
        parts = max(1, round(1 / share))
        cells = parts * math.ceil(max(CELLS * math.sqrt(shift), 2) / parts)
        return hockey_stick(
            shift / cells, np.array([cells]), np.array([features]), round(cells * share), points
        ).divergence

    def compose_levels(self, step: float, levels: tuple[int, ...], times: tuple[int, ...]) -> HockeyStick:
        # the longest shift, `step * max(levels)`, gets at least CELLS times its root
        per_level = max(1, math.ceil(CELLS * math.sqrt(step / max(levels))))
        return hockey_stick(step / per_level, np.array(levels) * per_level, np.array(times))


LAPLACE = LaplaceLoss()


@dataclass(frozen=True, eq=False)
class ComposedShift(ComplementaryTradeOffs):
    """All `features` features of product noise are shifted by r: the worst case of an linf ball.

    Between two rows of the table a curve is bounded by its chord plus the most that it can rise above a chord
    (docs/math/product-noises.md, 'Between two radii').

    Guarantee: sound. For probabilities up to .99999, radii are at most a relative 1e-4 below the tight ones; 1e-3 for
    noise near Laplace's, whose losses peak off the grid, or near uniform.
    """

    features: int
    scale: float
    loss: PrivacyLoss = LAPLACE

    @property
    def start(self) -> float:  # type: ignore[override]
        return self.scale / math.sqrt(self.features * self.loss.information)

    def smallest(self, p: np.ndarray, complement: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, complement, r = np.broadcast_arrays(p, complement, r)
        table = shift_table(self.features, self.loss)
        radius = r / self.start
        row = np.floor(np.sqrt(radius) / ROW_STEP).astype(np.int64)
        left, right = (ROW_STEP * row) ** 2, (ROW_STEP * (row + 1)) ** 2
        # rounding can put the radius just outside of its interval, where a chord is not a bound
        part = np.clip((radius - left) / (right - left), 0, 1)
        # both rows at once, since `curves` may replace the array of rows by a longer one
        curves = table.curves(np.concatenate([row.ravel(), row.ravel() + 1]))
        above_chord = part * (1 - part) * (right - left) ** 2 / 2

        def curve(j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            y = j * table.spacing
            chord = (1 - part) * curves[row, j] + part * curves[row + 1, j]
            bend = 1 + y**2 * np.exp(y * (right - left)) * tilted_tail(
                curves, row + 1, j, table.spacing, left, right
            )
            return np.minimum(chord + above_chord * bend, 1), y * radius

        return lower_of_curve(curve, table.points, p, complement)


def tilted_tail(
    curves: np.ndarray, row: np.ndarray, j: np.ndarray, spacing: float, left: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Bound exp(c) P(loss > c) at `c = j * spacing * r` for every r from `left` to `right`, the radius of `row`.

    It is at most 1, and at most `D(y' right) / (1 - exp(-b))` of that row for every `y' < y = j * spacing` with
    `b = y * left - y' * right > 0` (docs/math/product-noises.md, between two rows).
    """
    # half a unit back makes 1 - exp(-b) large enough; at small radii b > 0 takes more
    earlier = np.minimum(j - math.ceil(BACK / spacing), np.ceil(j * left / right).astype(np.int64) - 1)
    b = spacing * (j * left - earlier * right)
    valid = (earlier >= 0) & (b > 0)
    bound = curves[row, np.maximum(earlier, 0)] / -np.expm1(-np.where(valid, b, 1.0))
    return np.where(valid, np.minimum(bound, 1), 1.0)


@dataclass(eq=False)
class ShiftTable:
    """Hockey-stick curves of `features` features that are shifted alike, for a grid of shifts.

    Row i holds `D(c)` for the radius `r = (ROW_STEP i)^2` at `c = r y`, with one grid of y for all rows. Radii are in
    units of `scale / sqrt(features * information)`. Rows are computed when first needed.
    """

    features: int
    loss: PrivacyLoss = LAPLACE
    spacing: float = field(init=False)
    points: int = field(init=False)
    rows: np.ndarray = field(init=False)
    known: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.spacing, self.points = self.loss.grid(self.features)
        # at radius 0 the curve is 0; 1e-14 covers rounding. A table is for few radii: 74 of 2008 rows for eight of them
        self.rows, self.known = np.full((1, self.points), 1e-14), np.array([True])

    @property
    def unit(self) -> float:
        """Scales in one unit of the radius."""
        return 1 / math.sqrt(self.features * self.loss.information)

    def row(self, i: int) -> np.ndarray:
        """Return the curve at the i-th radius, `(points,)`."""
        radius = (ROW_STEP * i) ** 2
        return self.loss.compose_equal(radius * self.unit, self.features, radius * self.spacing, self.points)

    def curves(self, wanted: np.ndarray) -> np.ndarray:
        """Return an array `(rows, points)` in which at least the `wanted` rows are computed."""
        size = int(wanted.max(initial=0)) + 1
        if size > len(self.rows):
            # at least twice as many rows, so that copies of the table stay rare
            more = max(size, 2 * len(self.rows)) - len(self.rows)
            self.rows = np.concatenate([self.rows, np.empty((more, self.points))])
            self.known = np.concatenate([self.known, np.zeros(more, dtype=bool)])
        for i in np.unique(wanted[~self.known[wanted]]):
            self.rows[i] = self.row(int(i))
            self.known[i] = True
        return self.rows


# A table of 3072 features takes 20 to 25 MB, if radii reach those of p = 1 - 1e-7.
@lru_cache(maxsize=8)
def shift_table(features: int, loss: PrivacyLoss) -> ShiftTable:
    """Return the table for inputs of `features` features; the last eight tables are kept."""
    return ShiftTable(features, loss)


@dataclass(frozen=True, eq=False)
class ComposedUnits(ComplementaryTradeOffs):
    """s units of product noise are shifted: the worst case of an l0 ball.

    `limits`, `(images, units, unit_features)`: how far each feature can be shifted in the box of its image, or None
    for the whole range, 1. Shifts are rounded up to 1/64 of the range, and each channel takes its s largest.

    Guarantee: sound. For shifts by whole multiples of 1/64 tight to 1e-4 in the shift (1e-3 as for `ComposedShift`).
    """

    unit_features: int
    scale: float
    limits: np.ndarray | None = None
    loss: PrivacyLoss = LAPLACE
    start: float = 1.0

    def __post_init__(self) -> None:
        if self.limits is not None:
            # channel by channel, since pixels have no total order: no s pixels are shifted farther (docs/math/rules.md)
            falling = np.sort(self.limits, axis=1)[:, ::-1]
            object.__setattr__(self, "limits", np.ceil(falling * LEVELS).astype(np.int64))

    def smallest(self, p: np.ndarray, complement: np.ndarray, r: np.ndarray) -> np.ndarray:
        result = np.array(p, dtype=float)
        units = np.broadcast_to(np.reshape(r, -1).astype(np.int64), len(result))
        # without a changed unit the probability stays, and there is no loss to compose
        rows = np.flatnonzero(units)
        shifts = [self.shifts(row, units[row]) for row in rows.tolist()]
        result[rows] = lower_of_shifts(
            self.loss, 1 / (self.scale * LEVELS), shifts, result[rows], complement[rows]
        )
        return result

    def shifts(self, row: int, units: int) -> "Shifts":
        """Return the shifts of the features of `units` units of one image."""
        if self.limits is None:
            return (LEVELS,), (int(units) * self.unit_features,)
        return count_shifts(self.limits[row, :units])


Shifts = tuple[tuple[int, ...], tuple[int, ...]]
"""The different shifts in whole steps, and how many features have each."""


def count_shifts(steps: np.ndarray) -> Shifts:
    """Return the shifts of features that are shifted by `steps` whole steps each, `(...)`."""
    levels, times = np.unique(steps[steps > 0], return_counts=True)
    return tuple(levels.tolist()), tuple(times.tolist())


def lower_of_shifts(
    loss: PrivacyLoss, step: float, shifts: Sequence[Shifts], p: np.ndarray, complement: np.ndarray
) -> np.ndarray:
    """Return `lower(p)`, `(images, ...)`, with `complement = 1 - p`, when image i is shifted by `shifts[i]`."""
    if not shifts:
        return p
    # images share curves, each of which takes a Fourier transform
    known: dict[Shifts, int] = {}
    which = np.array([known.setdefault(of_image, len(known)) for of_image in shifts], dtype=np.int64)
    return lower_of_curves([curve_of_shifts(loss, step, each) for each in known], which, p, complement)


@lru_cache(maxsize=1024)
def curve_of_shifts(loss: PrivacyLoss, step: float, shifts: Shifts) -> HockeyStick:
    """Return the curve of features that are shifted by whole steps of `step` scales; the last 1024 are kept."""
    return loss.compose_levels(step, *shifts)
