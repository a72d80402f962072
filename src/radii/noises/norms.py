"""The norms, the balls they bound, and the units in which l0 counts."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from radii.errors import InputError, check_name

NORMS = ("l0", "l1", "l2", "linf")
UNITS = ("feature", "pixel")
MOST_FEATURES = 2**31
"""Of one input; more is no image, and arithmetic that takes minutes."""


def unit_of(norm: str, unit: str) -> str:
    """What radii of `norm` count when l0 is to count `unit`, which refines l0 alone."""
    return unit if norm == "l0" else "feature"


@dataclass(frozen=True, eq=False)
class Ball:
    """What the adversary may do: move an input of `shape` by at most a radius in `norm`.

    l1, l2 and linf are measured in image units (images lie in [0, 1]). l0 counts changed units: single
    features, or pixels (all channels of one position; the first axis of `shape` is the channel axis). With
    `images`, `(n, *shape)` in [0, 1], each ball of l0 or l1 is cut by the box of its own image: feature `x` moves by
    at most `max(x, 1 - x)`.
    """

    norm: str
    shape: tuple[int, ...]
    unit: str = "feature"
    images: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_name("norm", self.norm, NORMS)
        check_name("unit", self.unit, UNITS)
        object.__setattr__(self, "shape", check_shape(self.shape))
        if self.norm != "l0" and self.unit != "feature":
            raise InputError(f"unit refines l0 only; for {self.norm} leave it out")
        if self.norm not in ("l0", "l1") and self.images is not None:
            raise InputError(f"images cut the balls of l0 and l1 only; for {self.norm} leave them out")
        if self.unit == "pixel" and len(self.shape) != 3:
            raise InputError(f"unit 'pixel' needs a shape (channels, height, width); got {self.shape}")
        if self.images is not None:
            object.__setattr__(self, "images", check_images(self.images, self.shape))

    @property
    def features(self) -> int:
        """Number of single numbers in one input, `d`."""
        return math.prod(self.shape)

    @property
    def unit_features(self) -> int:
        """Features that change together with one unit: the channels of a pixel, or 1."""
        return self.shape[0] if self.unit == "pixel" else 1

    @property
    def units(self) -> int:
        """The number of units in one input: the largest l0 radius."""
        return self.features // self.unit_features

    def unit_moves(self) -> np.ndarray:
        """Farthest move of every feature within the box of its image, `(n, units, unit_features)`."""
        assert self.images is not None
        farthest = np.maximum(self.images, 1 - self.images).reshape(len(self.images), -1)
        if self.unit == "feature":
            return farthest[:, :, None]
        return farthest.reshape(len(farthest), self.unit_features, self.units).transpose(0, 2, 1)


ORDERS = {"l1": 1.0, "l2": 2.0, "linf": math.inf}
"""p of each norm that is one of the l_p family."""


def inner_radius(radius: np.ndarray, outer: str, inner: str, features: int) -> np.ndarray:
    """Radius of the largest `inner` ball within an `outer` ball of `radius`, `(...)`, rounded down; l1, l2 or linf.

    `||x||_q <= d^(1/q - 1/p) ||x||_p` where q is below p, met by x = (1, ..., 1); else the factor is 1, met by one
    feature.
    """
    p, q = (ORDERS[check_name("norm", norm, ORDERS)] for norm in (outer, inner))
    exponent = 1 / p - 1 / q
    if exponent <= 0:
        return np.array(radius, dtype=float)
    # more than the rounding of the power and of the division
    return np.asarray(radius, dtype=float) / features**exponent * (1 - 1e-15)


def check_shape(shape: object) -> tuple[int, ...]:
    """The shape of one input as a tuple of positive integers."""
    try:
        sizes = tuple(int(size) for size in shape)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        sizes = ()
    if not sizes or any(size < 1 for size in sizes) or math.prod(sizes) > MOST_FEATURES:
        raise InputError(f"shape must be the sizes of one input, for example (3, 32, 32); got {shape!r}")
    return sizes


def check_images(images: object, shape: tuple[int, ...]) -> np.ndarray:
    """Images as float64 `(n, *shape)`, all within [0, 1]."""
    array = np.asarray(images, dtype=np.float64)
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        raise InputError(f"images must have the shape (n, {', '.join(map(str, shape))}); got {array.shape}")
    if not array.size:
        return array
    if not (array.min() >= 0 and array.max() <= 1):
        raise InputError(
            f"images must lie in [0, 1]; found values from {array.min():g} to {array.max():g}: rescale them first"
        )
    return array


def largest_sums(costs: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The sum of the s largest `costs`, `(images, units)`, of each image, as a function of `s`, `(images, ...)`."""
    falling = np.sort(costs, axis=1)[:, ::-1]
    sums = np.concatenate([np.zeros((len(falling), 1)), np.cumsum(falling, axis=1)], axis=1)

    def look_up(s: np.ndarray) -> np.ndarray:
        s = np.asarray(s).astype(np.int64)
        return np.take_along_axis(sums, s.reshape(len(sums), -1), axis=1).reshape(s.shape)

    return look_up


def longest_l2(ball: Ball) -> Callable[[np.ndarray], np.ndarray]:
    """The l2 length of the longest move within radius `r`, `(images, ...)`: infinite beyond all moves of a box."""
    if ball.norm == "l0":
        if ball.images is None:
            return lambda s: np.sqrt(s * ball.unit_features)
        squares = largest_sums((ball.unit_moves() ** 2).sum(axis=2))
    elif ball.images is not None:
        squares = farthest_sums(ball.unit_moves()[:, :, 0], np.square)
    else:
        root = math.sqrt(ball.features) if ball.norm == "linf" else 1.0
        return lambda r: r * root
    return lambda r: np.sqrt(squares(r))


def usual_radius(ball: Ball, sigma: float) -> float:
    """A radius of the usual size for noise of `sigma` that is decided by l2 lengths, to start a search from."""
    return {"l0": 1.0, "linf": sigma / math.sqrt(ball.features)}.get(ball.norm, sigma)


def farthest_sums(
    moves: np.ndarray, cost: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """The cost of the l1 length `r`, spent on the farthest `moves`, `(images, features)`, of each image in turn.

    The largest sum of a convex `cost`, 0 at 0, over all moves of that length within the box (docs/math/rules.md), and
    infinite beyond the longest. As a function of `r`, `(images, ...)`.
    """
    falling = np.sort(moves, axis=1)[:, ::-1]
    start = np.zeros((len(moves), 1))
    ends = np.concatenate([start, np.cumsum(falling, axis=1)], axis=1)
    costs = np.concatenate([start, np.cumsum(cost(falling), axis=1)], axis=1)

    def look_up(r: np.ndarray) -> np.ndarray:
        flat = np.broadcast_to(r, (len(moves), *np.shape(r)[1:])).reshape(len(moves), -1)
        full = np.array(
            [np.searchsorted(end, one, side="right") - 1 for end, one in zip(ends, flat, strict=True)]
        )
        left = flat - np.take_along_axis(ends, full, axis=1)
        spent = np.take_along_axis(costs, full, axis=1) + cost(left)
        return np.where((full == moves.shape[1]) & (left > 0), np.inf, spent).reshape(np.shape(r))

    return look_up
