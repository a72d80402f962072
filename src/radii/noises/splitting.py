"""Splitting noise: of each feature the model sees its cell in a randomly shifted grid (docs/math/splitting.md)."""

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

MOST_SHIFTS = 2**16
"""Up to which float32 holds every number here exactly."""

UNEVEN = 2.0**-22
"""More than the probability of a shift, drawn as a float32, can exceed its share (tests/noises/test_splitting.py)."""


def longest_move(ball: Ball) -> Map:
    """The l1 length of the longest move within radius r: d r in linf, r sqrt(d) in l2; full moves in l0."""
    if ball.norm != "l0":
        factor = {"l1": 1.0, "l2": math.sqrt(ball.features), "linf": float(ball.features)}[ball.norm]
        return lambda r: r * factor
    if ball.images is None:
        return lambda s: s * ball.unit_features
    return largest_sums(ball.box_limits().sum(axis=2))


def crossing(noise: "Cells", ball: Ball) -> TotalVariation:
    """A move is seen only if some feature crosses a wall: with probability at most its l1 length over `2 lambda`."""
    length, width = longest_move(ball), noise.width
    return TotalVariation(lambda r: np.minimum(length(r) / width, 1), 1 if ball.norm == "l0" else noise.scale)


UNION = "sound: as if no two features crossed walls together"
SOURCE = "Levine & Feizi 2021"
ALIKE = "as uniform noise: each feature crosses walls by itself"


@dataclass(frozen=True)
class Cells(Noise):
    """A feature becomes the middle of its cell, of width `2 lambda`, in a shifted grid, cut by [0, 1]."""

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
        """Different shifts of the grid, one grey level apart: the width of a cell in grey levels."""
        return round(2 * math.sqrt(3) * self.sigma * GREY_LEVELS)

    @property
    def scale(self) -> float:
        """`lambda`."""
        return self.shifts / (2 * GREY_LEVELS)

    @property
    def width(self) -> float:
        """`2 lambda`: a move of one feature by t crosses a wall with probability at most `t / width`."""
        return self.shifts / GREY_LEVELS

    def _drawn(self, source: Source, shape: tuple[int, ...]) -> Any:
        """Random shifts, in whole grey levels."""
        return (source.uniform(shape) * self.shifts // 1).clip(0, self.shifts - 1)

    def _middles(self, images: Any, shifts: Any) -> Any:
        """Images as the model sees them: all but the last division is of whole numbers, exact in float32."""
        width, shift = 2 * self.shifts, 2 * shifts + 1
        level = (images * GREY_LEVELS + 0.5) // 1
        wall = (2 * level - shift) // width * width + shift
        return (wall.clip(0, 2 * GREY_LEVELS) + (wall + width).clip(0, 2 * GREY_LEVELS)) / (4 * GREY_LEVELS)


@dataclass(frozen=True)
class Splitting(Cells, EnumerableNoise):
    """Splitting noise: a feature becomes the middle of its cell, of width `2 lambda`, in a shifted grid of cells.

    All features share one random shift, to which each adds a fixed offset of its own, so that there are
    `2 lambda 255` noisy copies: all are listed, and nothing is left to chance. `lambda = sigma sqrt(3)`, rounded to
    half grey levels; `offsets` is the seed of the offsets. For 8-bit images, moved within the 8-bit grid.
    """

    offsets: int = 0
    name: ClassVar[str] = "splitting"
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(crossing, UNION, SOURCE),
        "l1": Rule(crossing, "exact", SOURCE),
        "l2": Rule(crossing, UNION, SOURCE),
        "linf": Rule(crossing, UNION, SOURCE),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        seed = self.offsets
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**64:
            raise InputError(f"offsets must be a seed, a whole number from 0 to 2**64 - 1; got {seed!r}")

    @property
    def outcomes(self) -> int:
        return self.shifts

    def log_likelihood(self, copies: np.ndarray, image: np.ndarray) -> np.ndarray:
        every = np.repeat(image[None].astype(np.float32), self.shifts, axis=0)
        known = {one.tobytes() for one in self.outcome(every, np.arange(self.shifts))}
        return np.array([0.0 if one.tobytes() in known else -np.inf for one in copies])

    def perturb(self, images: Any, source: Source) -> Any:
        return self._shifted(images, self._drawn(source, (len(images),)))

    def outcome(self, images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return self._shifted(images, np.asarray(numbers, dtype=np.float32))

    def _shifted(self, images: Any, numbers: Any) -> Any:
        one = tuple(images.shape[1:])
        apart = like(images, fixed_offsets(math.prod(one), self.shifts, self.offsets).reshape(one))
        return self._middles(images, (numbers.reshape(-1, *[1] * len(one)) + apart) % self.shifts)


@dataclass(frozen=True)
class IndependentSplitting(Cells):
    """Splitting noise with a random shift of its own for every feature: sampled, as other noises are.

    `lambda = sigma sqrt(3)`, rounded to half grey levels. For 8-bit images, moved within the 8-bit grid.
    """

    name: ClassVar[str] = "independent-splitting"
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(uniform.l0, "exact", ALIKE),
        "l1": Rule(uniform.l1, "exact", SOURCE),
        "l2": Rule(uniform.l2, "exact", ALIKE),
        "linf": Rule(uniform.linf, "exact", ALIKE),
    }

    @property
    def width(self) -> float:
        """A little less than `2 lambda`, since float32 numbers give shifts uneven shares."""
        return 1 / (GREY_LEVELS * (1 / self.shifts + UNEVEN))

    def log_likelihood(self, copies: np.ndarray, image: np.ndarray) -> np.ndarray:
        every = np.arange(self.shifts, dtype=np.float32).reshape(-1, *[1] * image.ndim)
        known = self._middles(image.astype(np.float32), every).reshape(self.shifts, -1)
        seen = copies.reshape(len(copies), -1)
        fits = [np.isin(seen[:, feature], known[:, feature]) for feature in range(seen.shape[1])]
        return np.where(np.all(fits, axis=0), 0.0, -np.inf)

    def perturb(self, images: Any, source: Source) -> Any:
        return self._middles(images, self._drawn(source, tuple(images.shape)))


@lru_cache(maxsize=8)
def fixed_offsets(features: int, shifts: int, seed: int) -> np.ndarray:
    """Whole numbers below `shifts`, `(features,)` float32, spread at random: the same for ever."""
    bits = np.random.Philox(key=seed).random_raw(features)
    return (bits % np.uint64(shifts)).astype(np.float32)
