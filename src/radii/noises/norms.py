"""The threat models: norms, balls of perturbations, the units that l0 counts, and the box that images lie in."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from radii.errors import InputError, check_name

# any text is accepted, as it comes from files and commands, and checked at run time; editors offer the choices
Norm = Literal["l0", "l1", "l2", "linf"] | str
Unit = Literal["feature", "pixel"] | str
NORMS = ("l0", "l1", "l2", "linf")
UNITS = ("feature", "pixel")

ORDERS = {"l1": 1.0, "l2": 2.0, "linf": math.inf}
"""p of each norm that is an l_p norm."""

# More features than any image has; beyond, a typing error would cost minutes of arithmetic.
MOST_FEATURES = 2**31


@dataclass(frozen=True, eq=False)
class Ball:
    """The perturbations that an adversary may apply: all within some radius of the input, in one norm.

    Parameters
    ----------
    norm : {"l0", "l1", "l2", "linf"}
        l1, l2 and linf are measured in image units (images lie in [0, 1]); l0 counts changed units.
    shape : tuple of int
        Shape of one input.
    unit : {"feature", "pixel"}
        What l0 counts: single features, or pixels, that is all channels (the first axis of `shape`) of one position.
        In the other norms it becomes "feature".
    images : array, shape `(n, *shape)`, optional
        Images in [0, 1], for l0 and l1. The ball of each image is then intersected with the box [0, 1]: a feature
        `x` changes by at most `max(x, 1 - x)`.

    Raises
    ------
    InputError
        If the arguments do not fit together.

    Examples
    --------
    >>> Ball("l0", (3, 32, 32), unit="pixel").units
    1024
    """

    norm: Norm
    shape: tuple[int, ...]
    unit: Unit = "pixel"
    images: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_name("norm", self.norm, NORMS)
        check_name("unit", self.unit, UNITS)
        object.__setattr__(self, "unit", unit_of(self.norm, self.unit))
        object.__setattr__(self, "shape", check_shape(self.shape))
        if self.norm not in ("l0", "l1") and self.images is not None:
            raise InputError(f"images limit the balls of l0 and l1 only; for {self.norm} leave them out")
        if self.unit == "pixel" and len(self.shape) != 3:
            raise InputError(
                f"pixels are counted in shapes (channels, height, width), got {self.shape}: take unit='feature'"
            )
        if self.images is not None:
            object.__setattr__(self, "images", check_images(self.images, self.shape))

    @property
    def features(self) -> int:
        """Number of features of one input, `d`."""
        return math.prod(self.shape)

    @property
    def unit_features(self) -> int:
        """Number of features in one unit: the channels of a pixel, or 1."""
        return self.shape[0] if self.unit == "pixel" else 1

    @property
    def units(self) -> int:
        """Number of units in one input: the largest l0 radius."""
        return self.features // self.unit_features

    def box_limits(self) -> np.ndarray:
        """Return the largest change of every feature within the box of its image, `(n, units, unit_features)`."""
        assert self.images is not None
        limits = np.maximum(self.images, 1 - self.images).reshape(len(self.images), -1)
        if self.unit == "feature":
            return limits[:, :, None]
        return limits.reshape(len(limits), self.unit_features, self.units).transpose(0, 2, 1)


def unit_of(norm: Norm, unit: Unit) -> Unit:
    """Return the unit of radii in `norm`, given the unit that l0 is to count; other norms have no choice."""
    return unit if norm == "l0" else "feature"


def inner_radius(radius: np.ndarray, outer: str, inner: str, features: int) -> np.ndarray:
    """Return the radius of the largest `inner` ball within an `outer` ball of `radius`, `(...)`, rounded down.

    Both are l1, l2 or linf. `||x||_q <= d^(1/q - 1/p) ||x||_p` for q below p (Hoelder), with equality at
    x = (1, ..., 1); otherwise the factor is 1, with equality for a single feature.
    """
    p, q = (ORDERS[check_name("norm", norm, ORDERS)] for norm in (outer, inner))
    exponent = 1 / p - 1 / q
    if exponent <= 0:
        return np.array(radius, dtype=float)
    # the power and the division are off by a few 1e-16: take off more than that, so that the inner ball fits
    return np.asarray(radius, dtype=float) / features**exponent * (1 - 1e-15)


def radii_array(radii: object) -> np.ndarray:
    """Return radii as float64 `(radii,)`, or raise InputError if they are not a list of numbers."""
    try:
        # a list first, since numpy does not read sets and generators
        values = np.array(list(radii))  # type: ignore[call-overload]
        # numpy would parse texts, "8/255" excepted
        numbers = None if values.dtype.kind in "SU" else values.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = None
    if numbers is None or numbers.ndim != 1:
        raise InputError(f"radii must be a list of numbers, for example [0.5]; got {radii!r}")
    return numbers


def check_shape(shape: object) -> tuple[int, ...]:
    """Return the shape of one input as a tuple of positive integers, or raise InputError."""
    try:
        sizes = tuple(int(size) for size in shape)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        sizes = ()
    # a Python product, which does not overflow as one of numpy would
    if not sizes or any(size < 1 for size in sizes) or math.prod(sizes) > MOST_FEATURES:
        raise InputError(f"shape must be the sizes of one input, for example (3, 32, 32); got {shape!r}")
    return sizes


def check_images(images: object, shape: tuple[int, ...]) -> np.ndarray:
    """Return images as float64 `(n, *shape)`, or raise InputError if shape or range [0, 1] are wrong."""
    array = np.asarray(images, dtype=np.float64)
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        raise InputError(f"images must have the shape (n, {', '.join(map(str, shape))}); got {array.shape}")
    # written so that NaN fails, too
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise InputError(
            f"images must lie in [0, 1]; got values from {array.min():g} to {array.max():g}: rescale them first"
        )
    return array


def longest_l2(ball: Ball) -> Callable[[np.ndarray], np.ndarray]:
    """Return the largest l2 length of a perturbation within radius r, as a function of r, `(images, ...)`.

    It is infinite at radii beyond every perturbation in the box.
    """
    if ball.norm == "l0":
        if ball.images is None:
            return lambda s: np.sqrt(s * ball.unit_features)
        squares = largest_sums((ball.box_limits() ** 2).sum(axis=2))
    elif ball.images is not None:
        # the squared length is a sum of convex costs, as the greedy argument needs
        squares = greedy_costs(ball.box_limits()[:, :, 0], np.square)
    else:
        root = math.sqrt(ball.features) if ball.norm == "linf" else 1.0
        return lambda r: r * root
    return lambda r: np.sqrt(squares(r))


def usual_radius(ball: Ball, sigma: float) -> float:
    """Return a radius of typical size where l2 length decides, from which a search starts."""
    return {"l0": 1.0, "linf": sigma / math.sqrt(ball.features)}.get(ball.norm, sigma)


def largest_sums(costs: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the sum of the s largest `costs`, `(images, units)`, as a function of s, `(images, ...)`."""
    falling = np.sort(costs, axis=1)[:, ::-1]
    sums = np.concatenate([np.zeros((len(falling), 1)), np.cumsum(falling, axis=1)], axis=1)

    def sum_of_largest(s: np.ndarray) -> np.ndarray:
        # radii come as floats, whole in l0
        s = np.asarray(s).astype(np.int64)
        return np.take_along_axis(sums, s.reshape(len(sums), -1), axis=1).reshape(s.shape)

    return sum_of_largest


def greedy_costs(
    limits: np.ndarray, cost: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the largest total cost of a perturbation of l1 length r in the box, as a function of r, `(images, ...)`.

    `limits`, `(images, features)`: the largest change of each feature; `cost`: a convex function of one change, 0 at
    0. The greedy perturbation, which changes the features with the largest limits fully, one after the other, costs
    most (docs/math/rules.md). The cost is infinite at lengths beyond every perturbation in the box.
    """
    falling = np.sort(limits, axis=1)[:, ::-1]
    start = np.zeros((len(limits), 1))
    lengths = np.concatenate([start, np.cumsum(falling, axis=1)], axis=1)
    costs = np.concatenate([start, np.cumsum(cost(falling), axis=1)], axis=1)

    def total_cost(r: np.ndarray) -> np.ndarray:
        flat = np.broadcast_to(r, (len(limits), *np.shape(r)[1:])).reshape(len(limits), -1)
        # number of features that change fully; row by row, as searchsorted takes one sorted array
        full = np.array(
            [
                np.searchsorted(ends, radii, side="right") - 1
                for ends, radii in zip(lengths, flat, strict=True)
            ]
        )
        rest = flat - np.take_along_axis(lengths, full, axis=1)
        total = np.take_along_axis(costs, full, axis=1) + cost(rest)
        # no perturbation in the box is longer: an infinite cost ends the search at the longest one
        return np.where((full == limits.shape[1]) & (rest > 0), np.inf, total).reshape(np.shape(r))

    return total_cost
