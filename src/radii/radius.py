"""The certified radius: the largest move under which the label stays in the top k (docs/math/certificates.md)."""

import math
from collections.abc import Callable

import numpy as np

from radii.errors import InputError
from radii.intervals import check_k
from radii.noises import Noise
from radii.norms import Ball, check_shape
from radii.search import Margin, largest, largest_whole
from radii.tradeoffs import TradeOffs

# More than the relative rounding of any trade-off function or probability bound: see `TradeOffs`. Half of what the
# levels in votes of formats 1 to 3 were found with, whose radii so come back on every processor.
ROUNDING = 5e-12
BOXES = 2**24
"""Features of all images whose boxes are looked at together, about half a gigabyte of numbers on the way."""


def certified_radius(
    noise: Noise,
    norm: str,
    lower: np.ndarray,
    rivals: np.ndarray | None = None,
    *,
    k: int = 1,
    shape: tuple[int, ...],
    unit: str = "feature",
    images: np.ndarray | None = None,
) -> np.ndarray:
    """Certified top-k radius for every image, from bounds on class probabilities under `noise`.

    `lower`: `(n,)`, lower bounds on the label's probability, below 1. `rivals`: `(n, k)`; column `t - 1` bounds from
    above the sum of the t smallest of the k largest other probabilities, by default `(t / k) (1 - lower)`. `shape` is
    that of one input, for example (3, 32, 32). For l0, `unit` is "feature" or "pixel" (all channels of one position).
    `images`, `(n, *shape)` in [0, 1], cut each ball of l0 or l1 by the box of its own image. Returns `(n,)` float64: in
    image units, or whole numbers of changed units for l0; 0.0 where nothing is certified. A radius that would hold
    whatever the move within a box is the length of the longest.

    Guarantee: if the bounds hold, the label is among the k most probable labels of the smoothed classifier after every
    perturbation of norm at most the radius (Jia, Cao, Wang & Gong 2020, Theorem 1, here for any noise and norm).
    """
    lower, rivals = check_bounds(lower, rivals, k)
    if images is not None and len(images) != len(lower):
        raise InputError(f"images and lower must be equally many; got {len(images)} and {len(lower)}")
    if images is None or not len(lower):
        return _radii(noise, Ball(norm, shape, unit), lower, rivals)
    at_once = max(BOXES // math.prod(check_shape(shape)), 1)
    parts = [slice(row, row + at_once) for row in range(0, len(lower), at_once)]
    balls = (Ball(norm, shape, unit, images[rows]) for rows in parts)
    return np.concatenate(
        [_radii(noise, ball, lower[rows], rivals[rows]) for rows, ball in zip(parts, balls, strict=True)]
    )


def _radii(noise: Noise, ball: Ball, lower: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    family = noise.trade_offs(ball)
    radius = np.zeros(len(lower))
    rows = np.flatnonzero(confirmed(lower, rivals))
    test = margins(family, lower, rivals, ball)
    if ball.norm == "l0":
        radius[rows] = largest_whole(lambda s, at: test(s, at) > 0, rows, ball.units)
    else:
        radius[rows] = largest(test, rows, family.start)
    return radius


def tradeoff(
    noise: Noise, norm: str, radius: float, shape: tuple[int, ...], *, unit: str = "feature"
) -> Callable[[np.ndarray], np.ndarray]:
    """The trade-off function T between `noise` and itself moved by at most `radius` in `norm`.

    `T(alpha)` is the least type-II error of any test of level alpha, `(...)` to `(...)`, so that a region of
    probability p falls to no less than `T(1 - p)` and rises to no more than `1 - T(p)`.

    Guarantee: never above the true trade-off function.
    """
    if not (np.isfinite(radius) and radius >= 0):
        raise InputError(f"radius must be a finite number of at least 0; got {radius!r}")
    if norm == "l0" and radius != int(radius):
        raise InputError(f"an l0 radius counts changed units and must be a whole number; got {radius!r}")
    family = noise.trade_offs(Ball(norm, shape, unit))

    def t(alpha: np.ndarray) -> np.ndarray:
        level = np.asarray(alpha, dtype=np.float64)
        if not np.all((level >= 0) & (level <= 1)):
            raise InputError("alpha is a probability: give values in [0, 1]")
        flat = np.atleast_1d(level)
        at = np.full(flat.shape, float(radius))
        # both sides of the same bound: one keeps the digits of small levels, the other those of large ones
        inside = np.clip(flat, np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
        fallen = family.lower(np.nextafter(1 - inside, 0), at) * (1 - ROUNDING)
        risen = np.nextafter(1 - family.upper(inside, at) * (1 + ROUNDING), 0)
        return np.where(flat >= 1, 0.0, np.maximum(np.where(flat < 0.5, risen, fallen), 0)).reshape(
            level.shape
        )

    return t


def margins(family: TradeOffs, lower: np.ndarray, rivals: np.ndarray, ball: Ball) -> Margin:
    """`margin` for some of the images; a ball that their boxes cut is always asked about all, in their order."""

    def test(radius: np.ndarray, at: np.ndarray) -> np.ndarray:
        if ball.images is None:
            return margin(family, lower[at], rivals[at], radius)
        everywhere = np.zeros(len(lower), dtype=radius.dtype)
        everywhere[at] = radius
        return margin(family, lower, rivals, everywhere)[at]

    return test


def check_bounds(lower: object, rivals: object, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds as float64 arrays `(n,)` and `(n, k)`, rivals capped by what the label leaves to them."""
    check_k(k)
    lower = np.asarray(lower, dtype=np.float64)
    if lower.ndim != 1:
        raise InputError(f"lower must hold one probability an image, shape (n,); got {lower.shape}")
    if not np.all((lower >= 0) & (lower < 1)):
        raise InputError(
            "lower must lie in [0, 1): no finite sample proves a probability of 1; use radii.bounds on the counts"
        )
    left = 1 - lower[:, None]
    if rivals is None:
        return lower, np.arange(1, k + 1) / k * left
    rivals = np.asarray(rivals, dtype=np.float64)
    if rivals.shape != (len(lower), k):
        raise InputError(f"rivals must have the shape (n, k) = {(len(lower), k)}; got {rivals.shape}")
    if not np.all((rivals >= 0) & (rivals <= 1)):
        raise InputError("rivals must be probabilities in [0, 1]")
    # an impossible rival would be certified for ever, farther than floating point can follow
    return lower, np.maximum(np.minimum(rivals, left), 1e-300)


def confirmed(lower: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """Where the label is provably in the top k of the input itself, without any perturbation, `(n,)`."""
    return lower > (rivals / np.arange(1, rivals.shape[1] + 1)).min(axis=1)


def margin(family: TradeOffs, lower: np.ndarray, rivals: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The test of Jia et al. 2020, `(n,)`: above zero where the label stays in the top k within `radius`, `(n,)`.

    It leaves the top k only if k others all reach it, and of any t of these the least probable has at most a t-th
    of the probability of their union, which is one region.
    """
    # quantiles of 0 and 1 are infinite
    with np.errstate(divide="ignore"):
        least = family.lower(lower, radius)
        most = (family.upper(rivals, radius[:, None]) / np.arange(1, rivals.shape[1] + 1)).min(axis=1)
    return least * (1 - ROUNDING) - most * (1 + ROUNDING)
