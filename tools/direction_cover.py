"""Make noises/theory/directions.json: the worst l2 direction for Laplace noise (docs/math/laplace-l2.md).

Run: python tools/direction_cover.py. All directions, as weights v_1 >= v_2 >= ... >= 0 of norm 1, are covered by boxes:
intervals for the first few weights and a cap on the others. Each box gives one pair of distributions that is at least
as easy to tell apart as the noise and its shift in any direction of the box. tools/direction_cover.json records how
boxes were split.
"""

import json
import math
import runpy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.special import ndtr, ndtri

from radii.noises.theory import laplace_l2
from radii.noises.theory.laplace_l2 import Rate, cdf, quantile, rate

HERE = Path(__file__).parent
SPREAD = runpy.run_path(str(HERE / "spread_sums.py"))
TAILS = (5e-4, 5e-5)
"""Probabilities below which the comparison with a normal distribution bounds nothing.

The smaller this tail, the larger the sigma of the comparison.
"""
# weights of box edges are whole numbers of 1 / UNIT, so that the boxes of a cover meet exactly
UNIT = 512
# grid cells of the losses in one radius
CELLS = 32
WANTED = 0.96
"""Ratio of the certified top-1 radius to the best simple attack, up to which boxes are split."""
PROBABILITIES = (0.55, 0.6, 0.65, 0.69, 0.71, 0.72, 0.74, 0.77, 0.8, 0.85, 0.9, 0.95, 0.99, 0.999)
RADII = 0.04 * 1.025 ** np.arange(190)
X = -4 + 0.04 * np.arange(138)


@dataclass(frozen=True)
class Box:
    """Weights `low[i] <= UNIT v_i <= high[i]` for the first few, all others at most `cap / UNIT`."""

    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()
    cap: int = UNIT

    @property
    def rest(self) -> int:
        """Upper bound on the sum of squares of the other weights, times UNIT^2; below 0 for an empty box."""
        return UNIT**2 - sum(low**2 for low in self.low)

    def children(self) -> tuple["Box", "Box"]:
        """Return two boxes that together hold all directions of this one.

        Halves the widest interval, or first tells apart the directions whose next weight is near the cap.
        """
        widths = [high**2 - low**2 for low, high in zip(self.low, self.high, strict=True)]
        # + 1: the integer square root is rounded down, and the cap must not be
        cap = min(self.cap, math.isqrt(max(self.rest, 0)) + 1)
        if 20 * sum(widths) >= 3 * min(cap**2, self.rest):
            i = widths.index(max(widths))
            if self.high[i] - self.low[i] > 1:
                middle = (self.low[i] + self.high[i]) // 2
                return self.narrowed(i, self.low[i], middle), self.narrowed(i, middle, self.high[i])
        below = max(9 * cap // 10, 1)
        return Box(self.low, self.high, below), Box((*self.low, below), (*self.high, cap), cap)

    def narrowed(self, i: int, low: int, high: int) -> "Box":
        """Return the box with weight i between low and high, and the bounds on the others that the order implies."""
        lows = tuple(max(x, low) if j < i else x for j, x in enumerate(self.low))
        highs = tuple(min(x, high) if j > i else x for j, x in enumerate(self.high))
        lows, highs = (*lows[:i], low, *lows[i + 1 :]), (*highs[:i], high, *highs[i + 1 :])
        return Box(lows, highs, min(self.cap, highs[-1]))

    @property
    def empty(self) -> bool:
        return self.rest < 0 or any(low > high for low, high in zip(self.low, self.high, strict=True))


@cache
def spreads(tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Return caps on the weights of a unit sum, rising, and the sigma of each."""
    pairs = sorted(
        (cap, SPREAD["spread"](cap, majorants, tail)) for cap, majorants in SPREAD["load"]().items()
    )
    return np.array([cap for cap, _ in pairs]), np.array([sigma for _, sigma in pairs])


def normal_move(box: Box, tail: float) -> float:
    """Return the shift of standard normal noise that is at least as easy to detect as the box's other weights."""
    caps, sigmas = spreads(tail)
    norm = math.sqrt(max(box.rest, 1)) / UNIT
    # the next larger cap of the table, whose sigma holds for smaller ones, too
    return norm * float(sigmas[np.searchsorted(caps, min(box.cap / UNIT / norm, 1))])


def loss_weights(move: float, h: float) -> np.ndarray:
    """Return the masses of one feature's loss under the midpoint measure, split over the grid points `-n h, ..., n h`.

    The loss has atoms `exp(-move / 2) / 2` at both ends and the density `exp(-move / 2) / 4` in between. A point is
    split so that its masses under P and Q stay (Doroshenko et al. 2022): weights `sinh` of the distances.
    """
    n = math.ceil(move / h)
    x = move - (n - 1) * h
    weights = np.zeros(n + 1)
    weights[: n - 1] += 2 * np.tanh(h / 4)
    weights[1:n] += 2 * np.tanh(h / 4)
    weights[n - 1] += 4 * np.sinh((2 * h - x) / 4) * np.sinh(x / 4) / np.sinh(h / 2)
    weights[n] += 4 * np.sinh(x / 4) ** 2 / np.sinh(h / 2)
    weights *= 0.5
    weights[n - 1] += np.sinh((h - x) / 2) / np.sinh(h / 2)
    weights[n] += np.sinh(x / 2) / np.sinh(h / 2)
    weights *= np.exp(-move / 2) / 2
    # the masses left of 0 mirror those right of it; both cells at 0 meet there
    mirrored = np.concatenate([weights[:0:-1], weights])
    mirrored[n] *= 2
    return mirrored


def losses(r: float) -> np.ndarray:
    """Return the whole numbers of grid cells, `r / CELLS` each, at which hockey-stick curves are kept."""
    return np.arange(-CELLS, math.ceil((2.5 + r / 2) * CELLS))


def curve(box: Box, r: float) -> np.ndarray:
    """Return upper bounds on the hockey-stick curve `D(c)` of a shift by r in any direction of the box, at `losses(r)`.

    The first weights move at the upper ends of their intervals, the rest as `normal_move`; the tail is added
    for the outcomes that the comparison with a normal distribution leaves out.
    """
    h = r / CELLS
    weights = np.ones(1)
    for high in box.high:
        weights = np.convolve(weights, loss_weights(r * high / UNIT, h))
    reach, j = len(weights) // 2, losses(r)
    # Gaussian pair at losses c - l, all differences of grid points
    gap = np.arange(j[0] - reach, j[-1] + reach + 1) * h
    half = np.exp(np.arange(-reach, reach + 1) * h / 2)
    c, bounds = j * h, []
    for tail in TAILS:
        mu = r * normal_move(box, tail)
        risen = np.convolve(ndtr(mu / 2 - gap / mu), weights * half, "valid")
        stayed = np.convolve(ndtr(-mu / 2 - gap / mu), weights / half, "valid")
        bounds.append(risen - np.exp(c) * stayed + (tail + 1e-13 * (reach + 1)) * (1 + np.exp(c)))
    # both hold: a smaller tail adds less, and needs a larger sigma
    return np.minimum(*bounds)


def upper(curves: np.ndarray, slopes: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest of the lines `D(c) + exp(c) p` of each curve at each p, and its slope, both `(curves, points)`.

    Concave in p, and above `upper(p)`.
    """
    lowest = np.array([(heights[:, None] + slopes[:, None] * p).argmin(axis=0) for heights in curves])
    slope = slopes[lowest]
    return np.take_along_axis(curves, lowest, axis=1) + slope * p, slope


# the cover ----------------------------------------------------------------------------------------


def simple_attack(p: float) -> float:
    """Return the least radius at which a shift of one feature, or of very many alike, changes the label."""
    return min(-math.log(2 * (1 - p)), float(ndtri(p)))


def good_enough(box: Box) -> bool:
    """Return whether the top-1 radii of the box reach the wanted share of the attack's."""
    # the hardest probabilities first, near which boxes fail
    for p in sorted(PROBABILITIES, key=lambda p: abs(p - 0.72)):
        r = WANTED * simple_attack(p)
        if np.min(curve(box, r) + np.exp(losses(r) * r / CELLS) * (1 - p)) > 0.5:
            return False
    return True


def grow() -> str:
    """Return the splits of the box of all directions, depth first: 1 for a box that is split, 0 for a leaf."""
    bits, stack = [], [Box()]
    while stack:
        box = stack.pop()
        if box.empty:
            continue
        leaf = good_enough(box)
        bits.append("0" if leaf else "1")
        if not leaf:
            stack.extend(box.children()[::-1])
    return "".join(bits)


def leaves(bits: str) -> Iterator[Box]:
    """Yield the boxes of a cover, which hold every direction whatever the bits are."""
    stack, at = [Box()], 0
    while stack:
        box = stack.pop()
        if box.empty:
            continue
        if bits[at] == "1":
            stack.extend(box.children()[::-1])
        else:
            yield box
        at += 1


# the table ----------------------------------------------------------------------------------------


def rates(u: np.ndarray, rate: Rate) -> np.ndarray:
    """Return `G(u)`, for u in (0, 1)."""
    u = np.minimum(u, 1 - u)
    line = np.clip(np.searchsorted(-rate.edges, -u, side="left"), 1, len(rate.height)) - 1
    return rate.height[line] + rate.slope[line] * u


def extremes(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest and the smallest value of the concave G between neighbouring u, along the last axis."""
    at = rates(u, rate())
    most, least = np.maximum(at[..., 1:], at[..., :-1]), np.minimum(at[..., 1:], at[..., :-1])
    return np.where((u[..., :-1] < 0.5) & (u[..., 1:] > 0.5), rates(np.array(0.5), rate()), most), least


def undominated(curves: np.ndarray) -> np.ndarray:
    """Return the curves, `(curves, losses)`, without those that lie nowhere above some other one."""
    kept = np.zeros((0, curves.shape[1]))
    left = curves
    while len(left):
        # the highest, in turn, at the losses where most are told apart
        highest = left[np.argmax(left[:, :: max(left.shape[1] // 12, 1)], axis=0)]
        chosen = np.unique(highest, axis=0)
        kept = np.concatenate([kept, chosen])
        for heights in chosen:
            left = left[np.any(left > heights, axis=1)]
    return kept


def lines(boxes: list[Box], r: float) -> np.ndarray:
    """Return the ends, `(2, n - 1)`, of a line above `F(upper(F^-1(x), r))` of all boxes, for each interval of X.

    A function whose slope stays in `[m, M]` lies at most `(M - m) / 4` interval lengths above its chord. Where this
    is no bound, the dimension-free translation is one.
    """
    p = cdf(X)
    curves = undominated(np.array([curve(box, r) for box in boxes]))
    bound, slope = upper(curves, np.exp(losses(r) * r / CELLS), p)
    bound = np.minimum(bound, 1 - 1e-9)
    value = quantile(bound)
    (most_p, least_p), (most_b, least_b) = extremes(p), extremes(bound)
    above = (slope[:, :-1] * most_p / least_b - slope[:, 1:] * least_p / most_b) / 4 * np.diff(X)
    ends = np.stack([value[:, :-1], value[:, 1:]]) + above
    plain = np.stack([X[:-1], X[1:]])[:, None] + r
    worse = (ends.sum(axis=0) >= plain.sum(axis=0)) | (bound[:, 1:] >= 1 - 1e-9)
    return np.where(worse, plain, ends).max(axis=1)


def row(boxes: list[Box], r: float) -> np.ndarray:
    """Return the table's row: the largest value of all boxes at each point, in units of the radius, `(points,)`."""
    left, right = lines(boxes, r)
    at = np.concatenate([left[:1], np.maximum(left[1:], right[:-1]), right[-1:]])
    return (at - X) / r


def table(boxes: list[Box]) -> list[list[int]]:
    """Return all rows in whole grains, rounded up."""
    rise = np.array([row(boxes, r) for r in RADII])
    return np.ceil(rise / laplace_l2.GRAIN + 1e-6).astype(int).tolist()


if __name__ == "__main__":
    bits = grow()
    boxes = list(leaves(bits))
    print(f"{len(boxes)} boxes", flush=True)
    (HERE / "direction_cover.json").write_text(json.dumps({"splits": bits}) + "\n", encoding="utf-8")
    stored = {"radii": RADII.tolist(), "start": float(X[0]), "step": float(X[1] - X[0]), "rise": table(boxes)}
    path = Path(laplace_l2.__file__).with_name("directions.json")
    path.write_text(json.dumps(stored, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{len(RADII)} radii, {len(X)} points in {path}")
