"""l1 balls of product noise in the box of each image: the greedy perturbation is the worst case.

Proof: docs/math/rules.md, 'l1 and the box'.
"""

from dataclasses import dataclass, field

import numpy as np

from radii.noises.norms import Ball
from radii.noises.theory.product import PrivacyLoss, Shifts, count_shifts, lower_of_shifts
from radii.noises.theory.tradeoffs import ComplementaryTradeOffs, TradeOffs

# Shifts are rounded up to a grey level, 1/255 of the range: curves then recur from image to image. This, and one
# bisection for all images, took a radius of a digit from 16 ms to 1 ms; accuracies agreed to the third digit.
LEVELS = 255
# In levels: more than 8-bit images lose when they are divided by 255 in float32. Limits are lowered by it before they
# are rounded up, so that rounding noise does not cost a level.
SNAP = 2e-5
# The steps of a curve are longer than a level by this share. A limit is at least half the range, 127 levels, of which
# it is more than SNAP: what SNAP took off is made up for.
ROUNDING = 2e-7


def within_boxes(free: TradeOffs, ball: Ball, scale: float, loss: PrivacyLoss) -> TradeOffs:
    """Return `free`, the trade-offs of an l1 ball, or the greedy ones where the ball has images."""
    if ball.images is None:
        return free
    return GreedyPerturbation(ball.box_limits()[:, :, 0], free, scale, loss)


@dataclass(frozen=True, eq=False)
class GreedyPerturbation(ComplementaryTradeOffs):
    """The features with the largest limits change fully, one after the other, and the next by the rest of the length.

    `limits`, `(images, features)`: the largest change of each feature in the box of its image. `free`: the trade-offs
    of the ball without box, the best up to the largest limit, where one feature changes. `loss`: that of one feature.

    Guarantee: sound. For changes by whole grey levels tight to 1e-4 in the shift (1e-3 as for `ComposedShift`).
    Nothing is certified beyond the longest perturbation in the box.
    """

    limits: np.ndarray
    free: TradeOffs
    scale: float
    loss: PrivacyLoss
    ends: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        falling = np.sort(self.limits, axis=1)[:, ::-1]
        ends = np.concatenate([np.zeros((len(falling), 1)), np.cumsum(falling, axis=1)], axis=1)
        object.__setattr__(self, "limits", falling)
        object.__setattr__(self, "ends", ends)

    @property
    def start(self) -> float:  # type: ignore[override]
        return self.free.start

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        best = np.maximum(self.free.lower(p, r), super().lower(p, r))
        return np.where(self.beyond(p, r), 0.0, best)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        best = np.minimum(self.free.upper(p, r), super().upper(p, r))
        return np.where(self.beyond(p, r), 1.0, best)

    def beyond(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Return where `r` is longer than every perturbation in the box, broadcast against `p`."""
        return np.reshape(self._lengths(p, r) > self.ends[:, -1], (-1, *[1] * (np.ndim(p) - 1)))

    def smallest(self, p: np.ndarray, complement: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Return `lower(p, r)` where more than one feature changes, 0 elsewhere; `r` is one number per image."""
        result, lengths = np.zeros(np.shape(p)), self._lengths(p, r)
        rows = np.flatnonzero((lengths > self.limits[:, 0]) & (lengths <= self.ends[:, -1]))
        shifts = [self.shifts(row, lengths[row]) for row in rows.tolist()]
        step = (1 + ROUNDING) / (self.scale * LEVELS)
        result[rows] = lower_of_shifts(self.loss, step, shifts, p[rows], complement[rows])
        return result

    def shifts(self, row: int, length: float) -> Shifts:
        """Return the greedy perturbation of one image, in grey levels."""
        full = int(np.searchsorted(self.ends[row], length, side="right")) - 1
        whole = np.ceil(self.limits[row, : full + 1] * LEVELS - SNAP)
        rest = np.ceil((length - self.ends[row, full]) * LEVELS * (1 - ROUNDING / 2))
        # the rest is within the limit of its feature: it takes no more levels than the full change would
        last = np.minimum(rest, whole[full:])
        return count_shifts(np.append(whole[:full], last).astype(np.int64))

    def _lengths(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.reshape(r, -1), len(p))
