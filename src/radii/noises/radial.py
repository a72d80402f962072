"""Noise whose density depends on one length of it alone, l2 or linf (docs/math/ball-noises.md)."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import betainc, betaincinv

from radii.errors import InputError
from radii.noises.base import Additive, Rule, Source
from radii.noises.norms import Ball, longest_l2, usual_radius
from radii.noises.theory.tradeoffs import Map, TotalVariation

MOST_TAIL = 1000
"""Of the exponent of a power law, for which as many numbers are drawn for each copy; it is an exponential by then."""

CELLS, FARTHEST = 500, 45
"""Points of the law of lengths, and the logarithm of the odds of the farthest: what lies beyond is bounded."""


@dataclass(frozen=True)
class Radial(Additive):
    """Noise with a density in one length of `x / scale`, whose scale depends on the number of features."""

    order: ClassVar[float]
    """Of the length: 2 or infinity."""

    @abstractmethod
    def scale_for(self, features: int) -> float:
        """The scale at which one feature out of so many has the standard deviation `sigma`."""

    @abstractmethod
    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        """Logarithm of the density at scale 1, up to a constant, at this length."""

    @abstractmethod
    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        """Noise at scale 1, `(images, features)`."""

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        features = math.prod(shape[1:])
        return (self.standard(source, (shape[0], features)) * self.scale_for(features)).reshape(shape)

    def log_likelihood(self, copies: np.ndarray, image: np.ndarray) -> np.ndarray:
        flat = (copies - image).reshape(len(copies), -1).astype(np.float64)
        features = flat.shape[1]
        return self.log_density(np.linalg.norm(flat, self.order, axis=1) / self.scale_for(features), features)


def moved_length(noise: Radial, ball: Ball) -> tuple[Map, float]:
    """The l2 length, in scales, of the longest move within radius r, and a radius of the usual size."""
    length, scale = longest_l2(ball), noise.scale_for(ball.features)
    return lambda r: length(r) / scale, usual_radius(ball, noise.sigma)


def check_tail(tail: object) -> None:
    """Refuse an exponent of a power law that leaves no variance, or is no whole number."""
    if isinstance(tail, bool) or not isinstance(tail, int) or not 3 <= tail <= MOST_TAIL:
        raise InputError(f"tail must be a whole number from 3 to {MOST_TAIL}; got {tail!r}")


def on_sphere(source: Source, shape: tuple[int, int]) -> Any:
    """Random directions of l2 length 1, `(images, features)`: normal numbers, scaled."""
    z = source.normal(shape)
    return z / (z**2).sum(1).reshape(-1, 1) ** 0.5


def gamma(source: Source, images: int, shape: int) -> Any:
    """Gamma numbers of a whole `shape`, `(images, 1)`: sums of exponential ones."""
    return source.exponential((images, shape)).sum(1).reshape(-1, 1)


def quantiles(d: int, tail: int) -> np.ndarray:
    """Points of the law Beta(tail, d), which is that of `1 / (1 + length)` under a power law, far into both tails."""
    log_odds = FARTHEST * np.sinh(np.linspace(-4, 4, CELLS)) / math.sinh(4)
    found = betaincinv(tail, d, 1 / (1 + np.exp(-log_odds)))
    return np.unique(found[(found > 0) & (found < 1 - 1e-9)])


ROUNDING = 1e-12
"""More than the relative error of the incomplete beta function (tests/noises/test_radial_noises.py)."""


def moved_ball(noise: "UniformBall", ball: Ball) -> TotalVariation:
    """Outside the overlap of the two balls everything is lost; inside, nothing."""
    length, start = moved_length(noise, ball)
    d = ball.features
    return TotalVariation(lambda r: lost_share(length(r), d), start)


def lost_share(length: np.ndarray, d: int) -> np.ndarray:
    """The share of a ball of radius 1 that leaves it when it moves by `length`: two caps make the overlap."""
    share = betainc(0.5, (d + 1) / 2, np.minimum(length / 2, 1) ** 2)
    return np.minimum(share * (1 + ROUNDING), 1)


@dataclass(frozen=True)
class UniformBall(Radial):
    """Noise uniform on the l2 ball of radius `R` around the image, `R = sigma * sqrt(d + 2)`, d features."""

    name: ClassVar[str] = "ball"
    order: ClassVar[float] = 2
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(moved_ball, "exact", "as l2, with the range of s features"),
        "l1": Rule(moved_ball, "exact", "as l2: the farthest move within l1 radius r is r on one feature"),
        "l2": Rule(moved_ball, "exact", "overlap of balls: Yang et al. 2020"),
        "linf": Rule(moved_ball, "exact", "as l2, with r sqrt(d)"),
    }

    def scale_for(self, features: int) -> float:
        return self.sigma * math.sqrt(features + 2)

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        # image plus noise is rounded to float32
        return np.where(length <= 1 + 1e-5, 0.0, -np.inf)

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        """The first d of d + 2 coordinates on the sphere: the squares of the other two add up to an exponential."""
        z = source.normal(shape)
        square = (z**2).sum(1) + 2 * source.exponential((shape[0],))
        return z / square.reshape(-1, 1) ** 0.5
