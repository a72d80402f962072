"""Splitting noise: each feature is replaced by its cell in a randomly shifted grid (docs/math/splitting.md)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from radii.errors import InputError
from radii.noises import uniform
from radii.noises.base import (
    GREY_LEVELS,
    LARGEST_SIGMA,
    SMALLEST_SIGMA,
    EnumerableNoise,
    Noise,
    Rule,
    Source,
    check_number,
    like,
)
from radii.noises.norms import Ball, largest_sums
from radii.noises.theory.tradeoffs import Map, TotalVariation

# Up to this number of shifts, the whole numbers of `_middles`, in half grey levels, are far below the 2^24 up to which
# float32 is exact, and `UNEVEN` makes cells narrower by 1.6 % at most.
MOST_SHIFTS = 2**16

# A shift drawn as a float32 is more probable than its equal share by less than this (tests/noises/test_splitting.py).
UNEVEN = 2.0**-22

# More than the relative rounding of a radius given in 255ths: 2/255 allows two whole grey levels, however it rounds.
LEVEL_ROUNDING = 1e-12


def longest_l1(ball: Ball) -> Map:
    """Return the largest l1 length, in image units, of a change within radius r that keeps to whole grey levels."""
    if ball.norm == "l0":
        if ball.images is None:
            return lambda s: s * ball.unit_features
        return largest_sums(ball.box_limits().sum(axis=2))
    if ball.norm == "l1":
        return lambda r: r
    return in_whole_levels(ball, lambda level: level / GREY_LEVELS, lambda r: r * math.sqrt(ball.features))


def in_whole_levels(ball: Ball, cost: Map, off_grid: Map) -> Map:
    """Return an upper bound on the sum of the costs of all features, changed by whole grey levels within radius r.

    Parameters
    ----------
    ball
        Of l2 or linf.
    cost
        Cost of one change, in grey levels: rising from 0, and the cost of two changes adds up to no more than that of
        one change by both. Divided by the square of the change, it is largest at one end of any interval.
    off_grid
        The largest sum of costs of any changes within radius r in l2.

    Notes
    -----
    Parts of the first grey level count as well, in l2 on one feature and in linf on all, though no image is there:
    radii are then in the order of the norms, and none ends just below one level. Proof: docs/math/splitting.md.
    """

    def l2(r: np.ndarray) -> np.ndarray:
        length = r * GREY_LEVELS
        # a step can cost infinity, which must not meet a length of 0 in a product
        steps = np.where(length > 0, length**2, 1) * cost(np.where(length > 0, 1.0, 0.0))
        return np.minimum(np.maximum(steps, cost(length)), off_grid(r))

    def linf(r: np.ndarray) -> np.ndarray:
        length = r * GREY_LEVELS * (1 + LEVEL_ROUNDING)
        return np.maximum(l2(r), ball.features * cost(np.where(length < 1, length, np.floor(length))))

    return l2 if ball.norm == "l2" else linf


def union_bound(noise: "Cells", ball: Ball) -> TotalVariation:
    """Return the trade-offs by the probability that some feature crosses a wall: at most l1 length over `2 lambda`."""
    length, width = longest_l1(ball), noise.width
    return TotalVariation(lambda r: np.minimum(length(r) / width, 1), 1 if ball.norm == "l0" else noise.scale)


def independent_walls(noise: "Cells", ball: Ball) -> TotalVariation:
    """Return the trade-offs by the probability that no feature crosses a wall, a product over the features."""
    levels = noise.width * GREY_LEVELS
    losses = in_whole_levels(
        ball,
        lambda level: -uniform.log_left(level / levels),
        lambda r: -uniform.log_overlap_l2(r / noise.width, ball.features),
    )
    return uniform.overlapping_cubes(lambda r: -losses(r), noise.scale)


UNION = "sound: as if no two features crossed walls together"
SOURCE = "Levine & Feizi 2021"
ALIKE = "as uniform noise: each feature crosses walls by itself"
WALLS = "as uniform noise, for changes by whole grey levels"


@dataclass(frozen=True)
class Cells(Noise):
    """Noise that replaces a feature by the middle of its cell, of width `2 lambda`, clipped to [0, 1]."""

    sigma: float
    of_bytes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", check_number("sigma", self.sigma, SMALLEST_SIGMA, LARGEST_SIGMA))
        if not 1 <= self.shifts <= MOST_SHIFTS:
            least, most = (shifts / (2 * math.sqrt(3) * GREY_LEVELS) for shifts in (1, MOST_SHIFTS))
            raise InputError(
                f"sigma of {self.name} must be from {least:.4f} to {most:.4g}; got {self.sigma:g}"
            )

    @property
    def shifts(self) -> int:
        """Number of shifts of the grid, one grey level apart: the width of a cell in grey levels."""
        return round(2 * math.sqrt(3) * self.sigma * GREY_LEVELS)

    @property
    def scale(self) -> float:
        """Half the width of a cell, `lambda`, in image units."""
        return self.shifts / (2 * GREY_LEVELS)

    @property
    def width(self) -> float:
        """Width `2 lambda` of a cell: a feature changed by t crosses a wall with probability at most `t / width`."""
        return self.shifts / GREY_LEVELS

    def _random_shifts(self, source: Source, shape: tuple[int, ...]) -> Any:
        """Return uniform shifts in whole grey levels."""
        # the clip guards against a source that returns 1
        return (source.uniform(shape) * self.shifts // 1).clip(0, self.shifts - 1)

    def _middles(self, images: Any, shifts: Any) -> Any:
        """Return the middles of the cells in image units.

        All but the last division is arithmetic of whole numbers, in half grey levels: exact in float32. Walls lie at
        odd numbers and features at even ones, so that no feature lies on a wall.
        """
        width, shift = 2 * self.shifts, 2 * shifts + 1
        # rounded to the nearest level
        level = (images * GREY_LEVELS + 0.5) // 1
        wall = (2 * level - shift) // width * width + shift
        return (wall.clip(0, 2 * GREY_LEVELS) + (wall + width).clip(0, 2 * GREY_LEVELS)) / (4 * GREY_LEVELS)


@dataclass(frozen=True)
class Splitting(Cells, EnumerableNoise):
    """Derandomized splitting noise: all features share one random shift of the grid of cells.

    A feature is replaced by the middle of its cell, of width `2 lambda`. Each feature adds a fixed offset to the
    shared shift, so that there are `2 lambda 255` equally likely outcomes. All are enumerated, without sampling
    error. `lambda` is `sigma sqrt(3)`, rounded to half grey levels.

    Parameters
    ----------
    sigma : float
        Strength: the standard deviation of uniform noise on an interval as long as a cell, in image units.
    offsets : int
        Seed of the fixed offsets.
    symmetric : 0 or 1
        With 1, a pixel has the offset of its mirror image, left to right. Then the mirrored image has the mirrored
        noise samples, each under the same shift, as `radii.models.Mirrored` wants them.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    Guarantee: for 8-bit images perturbed to 8-bit images, tight in l1, sound in l0, l2 and linf
    (docs/math/splitting.md).

    References
    ----------
    Levine & Feizi 2021.

    Examples
    --------
    >>> import numpy as np, radii
    >>> noise = radii.Splitting(0.5)
    >>> noise.outcomes
    442
    >>> radii.certified_radius(noise, "l1", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.693, 0.849])
    """

    offsets: int = 0
    symmetric: int = 0
    name: ClassVar[str] = "splitting"
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(union_bound, UNION, SOURCE),
        "l1": Rule(union_bound, "tight", SOURCE),
        "l2": Rule(union_bound, UNION, SOURCE),
        "linf": Rule(union_bound, UNION, SOURCE),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        seed = self.offsets
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
            raise InputError(f"offsets must be a seed, a whole number from 0 to 2**64 - 1; got {seed!r}")
        if not isinstance(self.symmetric, int) or self.symmetric not in (0, 1):
            raise InputError(f"symmetric must be 0 or 1; got {self.symmetric!r}")
        # True is stored as 1, so that equal noises have one full name
        object.__setattr__(self, "symmetric", int(self.symmetric))

    @property
    def title(self) -> str:
        return "Symmetric splitting" if self.symmetric else super().title

    @property
    def parameters(self) -> dict[str, float]:
        # files and names from before the parameter existed stay as they are
        known = super().parameters
        return known if self.symmetric else {name: known[name] for name in known if name != "symmetric"}

    @property
    def outcomes(self) -> int:
        return self.shifts

    def log_likelihood(self, noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
        repeated = np.repeat(image[None].astype(np.float32), self.shifts, axis=0)
        # bytes, since outcomes are compared as a whole, and are exact
        possible = {outcome.tobytes() for outcome in self.outcome(repeated, np.arange(self.shifts))}
        return np.array([0.0 if sample.tobytes() in possible else -np.inf for sample in noisy])

    def perturb(self, images: Any, source: Source) -> Any:
        return self._shifted(images, self._random_shifts(source, (len(images),)))

    def outcome(self, images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return self._shifted(images, np.asarray(numbers, dtype=np.float32))

    def _shifted(self, images: Any, numbers: Any) -> Any:
        """Return the middles of the cells of image i in a grid with the shared shift `numbers[i]`."""
        shape = tuple(images.shape[1:])
        fixed = fixed_offsets(math.prod(shape), self.shifts, self.offsets).reshape(shape)
        if self.symmetric:
            column = np.arange(shape[-1])
            # columns of the right half repeat those of the left; the middle one of an odd width is its own mirror image
            fixed = fixed[..., np.minimum(column, column[::-1])]
        offsets = like(images, fixed)
        return self._middles(images, (numbers.reshape(-1, *[1] * len(shape)) + offsets) % self.shifts)


@dataclass(frozen=True)
class IndependentSplitting(Cells):
    """Splitting noise with an independent random shift for every feature; it is sampled like other noises.

    A feature is replaced by the middle of its cell, of width `2 lambda`, where `lambda` is `sigma sqrt(3)`, rounded to
    half grey levels.

    Parameters
    ----------
    sigma : float
        Strength: the standard deviation of uniform noise on an interval as long as a cell, in image units.

    Notes
    -----
    Guarantee: for 8-bit images perturbed to 8-bit images, tight in l0 and l1, and in l2 and linf at
    whole grey levels, up to the unequal shares of float32 numbers (docs/math/splitting.md).

    References
    ----------
    Levine & Feizi 2021.

    Examples
    --------
    >>> import numpy as np, radii
    >>> noise = radii.IndependentSplitting(0.5)
    >>> radii.certified_radius(noise, "l1", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.693, 0.849])
    """

    name: ClassVar[str] = "independent-splitting"
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(uniform.l0, "tight", ALIKE),
        "l1": Rule(uniform.l1, "tight", SOURCE),
        "l2": Rule(independent_walls, "tight at whole grey levels", WALLS),
        "linf": Rule(independent_walls, "tight at whole grey levels", WALLS),
    }

    @property
    def width(self) -> float:
        """A little less than `2 lambda`, since shifts drawn as float32 numbers have unequal shares."""
        # the largest share of a shift, 1 / shifts + UNEVEN, is the probability of a wall between neighbouring levels
        return 1 / (GREY_LEVELS * (1 / self.shifts + UNEVEN))

    def log_likelihood(self, noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
        shifts = np.arange(self.shifts, dtype=np.float32).reshape(-1, *[1] * image.ndim)
        possible = self._middles(image.astype(np.float32), shifts).reshape(self.shifts, -1)
        flat = noisy.reshape(len(noisy), -1)
        fits = [np.isin(flat[:, feature], possible[:, feature]) for feature in range(flat.shape[1])]
        return np.where(np.all(fits, axis=0), 0.0, -np.inf)

    def perturb(self, images: Any, source: Source) -> Any:
        return self._middles(images, self._random_shifts(source, tuple(images.shape)))


@lru_cache(maxsize=8)
def fixed_offsets(features: int, shifts: int, seed: int) -> np.ndarray:
    """Return random whole numbers below `shifts`, `(features,)` float32, that depend on the arguments alone."""
    # numpy keeps the raw words of a bit generator stable between versions, not the numbers made of them
    bits = np.random.Philox(key=seed).random_raw(features)
    return (bits % np.uint64(shifts)).astype(np.float32)
