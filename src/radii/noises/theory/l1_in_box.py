"""l1 balls of product noise, cut by the box of each image: no move is easier to tell than the greedy one.

Proof: docs/math/rules.md, 'l1 and the box'.
"""

from dataclasses import dataclass, field

import numpy as np

from radii.noises.norms import Ball
from radii.noises.theory.product import LossLaw, Moves, lower_of_moves, moves_of
from radii.noises.theory.tradeoffs import TradeOffs

LEVELS = 255
"""Moves are rounded up to this part of the range, a grey level: then curves meet again from image to image."""
SNAP = 2e-5
"""Levels: more than 8-bit images lose when they are divided by 255 in float32."""
ROUNDING = 2e-7
"""By which the steps of a curve are longer than a level: 127 of them, as any room has, by more than `SNAP`."""


@dataclass(frozen=True, eq=False)
class GreedyMoves(TradeOffs):
    """Features with the most room move all the way, in turn, and the next one by what is left of the length.

    `rooms`: `(images, features)`, how far each feature can move within the box of its image. `free`: that ball without
    box, the best for lengths up to the largest room, where one feature moves. `law`: the privacy losses of a feature.

    Guarantee: sound; exact for moves of whole grey levels, to 1e-4 in the move (1e-3 as in `ComposedShift`). Beyond the
    longest move in the box nothing is bounded.
    """

    rooms: np.ndarray
    free: TradeOffs
    scale: float
    law: LossLaw
    ends: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        falling = np.sort(self.rooms, axis=1)[:, ::-1]
        ends = np.concatenate([np.zeros((len(falling), 1)), np.cumsum(falling, axis=1)], axis=1)
        object.__setattr__(self, "rooms", falling)
        object.__setattr__(self, "ends", ends)

    @property
    def start(self) -> float:  # type: ignore[override]
        return self.free.start

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        found = np.maximum(self.free.lower(p, r), self.smallest(p, 1 - p, r))
        return np.where(self.outside(p, r), 0.0, found)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        found = np.minimum(self.free.upper(p, r), 1 - self.smallest(1 - p, p, r))
        return np.where(self.outside(p, r), 1.0, found)

    def outside(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Where `r` is longer than any move."""
        return np.reshape(self._lengths(p, r) > self.ends[:, -1], (-1, *[1] * (np.ndim(p) - 1)))

    def smallest(self, p: np.ndarray, complement: np.ndarray, r: np.ndarray) -> np.ndarray:
        """`lower(p, r)` where more than one feature moves, 0 elsewhere; images on the first axis, `r` one an image."""
        result, lengths = np.zeros(np.shape(p)), self._lengths(p, r)
        rows = np.flatnonzero((lengths > self.rooms[:, 0]) & (lengths <= self.ends[:, -1]))
        moves = [self.moves(row, lengths[row]) for row in rows.tolist()]
        step = (1 + ROUNDING) / (self.scale * LEVELS)
        result[rows] = lower_of_moves(self.law, step, moves, p[rows], complement[rows])
        return result

    def moves(self, row: int, length: float) -> Moves:
        """The greedy move of one image, in grey levels."""
        full = int(np.searchsorted(self.ends[row], length, side="right")) - 1
        whole = np.ceil(self.rooms[row, : full + 1] * LEVELS - SNAP)
        left = np.ceil((length - self.ends[row, full]) * LEVELS * (1 - ROUNDING / 2))
        # what is left has room: it counts no more than its feature would, were it to move all the way
        last = np.minimum(left, whole[full:])
        return moves_of(np.append(whole[:full], last).astype(np.int64))

    def _lengths(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.reshape(r, -1), len(p))


def within_boxes(free: TradeOffs, ball: Ball, scale: float, law: LossLaw) -> TradeOffs:
    """The rule `free` of an l1 ball, or the greedy one where the ball knows the images."""
    if ball.images is None:
        return free
    return GreedyMoves(ball.box_limits()[:, :, 0], free, scale, law)
