"""Trade-off functions of Laplace noise when many features move: every feature alike (linf), or a few fully (l0)."""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from radii.composition import HockeyStick, hockey_stick, lowest
from radii.tradeoffs import TradeOffs

# Grid constants of the tables; docs/math/composition.md derives what each costs in accuracy.
ROW_STEP = 0.002  # rows at radii (ROW_STEP * i)^2, in units of b / sqrt(features)
POINT_STEP = 0.006  # losses at most this far apart, in units of the radius
LAST_POINT = 7.5
CELLS = 120  # CELLS * sqrt(t) grid cells for a feature that moves by t scales
LEVELS = 64  # l0 in the image's box: moves are rounded up to 1/64 of the full range


@dataclass(eq=False)
class ShiftTable:
    """Hockey-stick curves of `features` features that all move by the same distance, on a grid of distances.

    Row i holds `D(c)` for the radius `r = (ROW_STEP i)^2` at `c = r y`, y on one common grid; radii in units of
    `b / sqrt(features)`. Rows are composed when first needed.
    """

    features: int
    rows: np.ndarray = field(init=False)
    known: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        # row 0 is zero but for what rounding may do
        self.rows, self.known = np.full((1, self.points), 1e-14), np.array([True])

    @property
    def atoms(self) -> float:
        """Spacing of y in units of the spacing of the atoms: a whole number or the inverse of one, so that atoms
        stay on the grid."""
        wanted = POINT_STEP * math.sqrt(self.features)
        return float(math.floor(wanted)) if wanted >= 1 else 1 / math.ceil(1 / wanted)

    @property
    def spacing(self) -> float:
        return self.atoms / math.sqrt(self.features)

    @property
    def points(self) -> int:
        last = min(math.sqrt(self.features), LAST_POINT)
        return math.floor(last / self.spacing + 1e-9) + 1

    def row(self, i: int) -> np.ndarray:
        """The curve at the i-th radius, `(points,)`."""
        move = (ROW_STEP * i) ** 2 / math.sqrt(self.features)
        parts = max(1, round(1 / self.atoms))
        cells = parts * math.ceil(max(CELLS * math.sqrt(move), 2) / parts)
        stride = round(cells * self.atoms)
        curve = hockey_stick(move / cells, np.array([cells]), np.array([self.features]), stride, self.points)
        return curve.divergence

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
def shift_table(features: int) -> ShiftTable:
    """The table for inputs of `features` features, kept for the next call."""
    return ShiftTable(features)


@dataclass(frozen=True, eq=False)
class ComposedShift(TradeOffs):
    """All `features` features of Laplace noise of scale `b` move by r: the worst case of an linf ball.

    Between two rows of the table the curve is bounded by its chord and the most that a curve can rise above it
    (docs/math/composition.md, 'Between two radii').

    Guarantee: sound; for probabilities up to .99999 the radii that follow are at most 1e-4 smaller than the exact
    ones, relatively.
    """

    features: int
    b: float

    @property
    def start(self) -> float:  # type: ignore[override]
        return self.b / math.sqrt(self.features)

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, r = np.broadcast_arrays(p, r)
        return self.smallest(p, 1 - p, r)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, r = np.broadcast_arrays(p, r)
        return 1 - self.smallest(1 - p, p, r)

    def smallest(self, p: np.ndarray, complement: np.ndarray, r: np.ndarray) -> np.ndarray:
        """`lower(p, r)` with `complement = 1 - p`; arrays of one shape."""
        table = shift_table(self.features)
        radius = r * (math.sqrt(self.features) / self.b)
        row = np.floor(np.sqrt(radius) / ROW_STEP).astype(np.int64)
        left, right = (ROW_STEP * row) ** 2, (ROW_STEP * (row + 1)) ** 2
        part = np.clip((radius - left) / (right - left), 0, 1)
        curves = table.curves(np.concatenate([row.ravel(), row.ravel() + 1]))
        above_chord = part * (1 - part) * (right - left) ** 2 / 2
        move = left / math.sqrt(self.features)
        log_affinity = self.features * (np.log1p(move / 2) - move / 2)

        def curve(j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            y = j * table.spacing
            chord = (1 - part) * curves[row, j] + part * curves[row + 1, j]
            bend = 1 + y**2 * np.exp(log_affinity + y * (right - left / 2) - y**2 / 2)
            return np.minimum(chord + above_chord * bend, 1), y * radius

        return lowest(curve, table.points, p, complement)


@lru_cache(maxsize=4096)
def full_moves(t: float, levels: tuple[int, ...], times: tuple[int, ...]) -> HockeyStick:
    """`times[i]` features of Laplace noise move by `t * levels[i] / LEVELS` scales each."""
    per_level = max(1, math.ceil(CELLS * math.sqrt(t) / LEVELS))
    h = t / (LEVELS * per_level)
    return hockey_stick(h, np.array(levels) * per_level, np.array(times))


@dataclass(frozen=True, eq=False)
class ComposedUnits(TradeOffs):
    """s units of Laplace noise of scale `b` move: the worst case of an l0 ball.

    `moves`: `(images, units, unit_features)`, how far each feature can move within the box of its image, or None
    for the whole range, 1. Moves are rounded up to 1/64 of the range, and each channel takes its s farthest.

    Guarantee: sound, and at 1/64 exact for moves of the whole range, to 1e-4 in the move.
    """

    unit_features: int
    b: float
    moves: np.ndarray | None = None
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
        for law, rows in self.laws(units).items():
            result[rows] = full_moves(1 / self.b, *law).lower(result[rows], complement[rows])
        return result

    def laws(self, units: np.ndarray) -> dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]]:
        """The different moves `(levels, times)` among the images, and the images of each."""
        laws: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
        for row in np.flatnonzero(units):
            if self.moves is None:
                law = (LEVELS,), (int(units[row]) * self.unit_features,)
            else:
                levels, times = np.unique(self.moves[row, : units[row]], return_counts=True)
                law = tuple(levels.tolist()), tuple(times.tolist())
            laws.setdefault(law, []).append(int(row))
        return laws
