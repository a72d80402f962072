"""Exponential and power laws of the l2 length: a move is decided by its own l2 length (docs/math/ball-noises.md)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from scipy.special import betainc, betaincc, betainccinv, betaincinv, poch

from radii.noises import laplace
from radii.noises.base import Rule, Source
from radii.noises.norms import Ball
from radii.noises.radial import Radial, check_tail, gamma, moved_length, on_sphere, quantiles
from radii.noises.theory.differential import Rate, lowest_lines
from radii.noises.theory.tradeoffs import Translation

ROUNDING = 1e-9
"""More than the relative error of sums and differences of incomplete beta functions here."""

LINES = 600
"""Above a rate, twice: so many that they cost a relative 1e-4 at most."""


def moved_exponential(noise: "ExponentialL2", ball: Ball) -> Translation:
    """The integral of one over the rate is `(d - 1) artanh` of a quantile of one coordinate on the sphere."""
    length, start = moved_length(noise, ball)
    d = ball.features
    if d == 1:
        return Translation(laplace.quantile, laplace.cdf, length, start)
    return Translation(lambda p: depth(p, d), lambda z: height(z, d), length, start)


def depth(p: np.ndarray, d: int) -> np.ndarray:
    """`(d - 1) artanh(w)`, where a coordinate on the sphere in d dimensions is at most `w` with probability p."""
    tail, half = np.minimum(p, 1 - p), (d - 1) / 2
    square = betainccinv(0.5, half, 2 * tail)
    # 1 - w^2, without losing digits where w is nearly 1
    rest = np.where(square < 0.5, 1 - square, betaincinv(half, 0.5, 2 * tail))
    far = (d - 1) * (np.log1p(np.sqrt(square)) - np.log(rest) / 2)
    return np.where(p < 0.5, -far, far)


def height(z: np.ndarray, d: int) -> np.ndarray:
    """The inverse of `depth`."""
    square, half = np.tanh(z / (d - 1)) ** 2, (d - 1) / 2
    # 1 - w^2, without losing digits where w is nearly 1
    small = np.exp(-2 * np.abs(z) / (d - 1))
    rest = 4 * small / (1 + small) ** 2
    tail = np.where(square < 0.5, betaincc(0.5, half, square), betainc(half, 0.5, rest)) / 2
    return np.where(z < 0, tail, 1 - tail)


def moved_power_law(noise: "PowerL2", ball: Ball) -> Translation:
    """The integral of one over the rate, whose lines are means over lengths."""
    length, start = moved_length(noise, ball)
    found = rate(ball.features, noise.tail)
    return Translation(found.quantile, found.cdf, length, start)


@lru_cache(maxsize=16)
def rate(d: int, tail: int) -> Rate:
    """How fast a region can change under the power law of exponent `d + tail`: lines `E (S - tau)_+ + tau u`.

    The score is `S = (d + tail) B W`, where `B = 1 / (1 + length)` has the law Beta(tail, d) and W is a coordinate on
    the sphere. Given B, the mean is a convex function of B, and so below its chord on every cell of B's law.
    """
    edges = np.concatenate([[0.0], quantiles(d, tail), [1.0]])
    mass = masses(edges, tail, d)
    first = masses(edges, tail + 1, d) * tail / (d + tail)
    width = np.diff(edges)
    # the weights of the two ends of each chord
    ends = np.zeros(len(edges))
    ends[:-1] += np.maximum(edges[1:] * mass - first, 0) / width
    ends[1:] += np.maximum(first - edges[:-1] * mass, 0) / width
    slopes = (d + tail) * score_levels(d, tail)
    scale = (d + tail) * edges[1:]
    heights = excess(slopes[:, None] / scale, d) * scale @ ends[1:]
    return lowest_lines(
        (slope, high * (1 + ROUNDING)) for slope, high in zip(slopes, heights, strict=True) if high > 0
    )


def masses(edges: np.ndarray, a: float, b: float) -> np.ndarray:
    """Probabilities of the cells between `edges` under the law Beta(a, b)."""
    below, above = betainc(a, b, edges), betaincc(a, b, edges)
    return np.where(below[1:] < 0.5, np.diff(below), -np.diff(above))


def score_levels(d: int, tail: int) -> np.ndarray:
    """Levels of `B W`, from 0 far into its tail, where lines are drawn: any will do."""
    typical = float(betaincinv(tail, d, 0.5)) / math.sqrt(d)
    low, high = typical * np.geomspace(1e-3, 100, LINES), 1 - np.geomspace(1e-9, 1, LINES)
    return np.unique(np.concatenate([low[low < 1], high]))


def excess(s: np.ndarray, d: int) -> np.ndarray:
    """`E (W - s)_+` of a coordinate W on the sphere in d dimensions, for s of at least 0, rounded up."""
    s = np.minimum(s, 1)
    if d == 1:
        return (1 - s) / 2
    rest = 1 - s**2
    with np.errstate(divide="ignore"):
        mean = (
            np.exp((d - 1) / 2 * np.log1p(-(s**2))) * poch((d - 1) / 2, 0.5) / (math.sqrt(math.pi) * (d - 1))
        )
    return np.maximum(mean * (1 + ROUNDING) - s * betainc((d - 1) / 2, 0.5, rest) / 2, 0)


SAME_LENGTH = "as l2: all that matters is the l2 length of the longest move"
NEAR = "sound, 0 to 5 % below exact"
POWER = "sound, 1 to 29 % below exact for p up to 0.99"


@dataclass(frozen=True)
class ExponentialL2(Radial):
    """Noise with density proportional to `exp(-||x||_2 / lambda)`, `lambda = sigma / sqrt(d + 1)`, d features."""

    name: ClassVar[str] = "exponential-l2"
    order: ClassVar[float] = 2
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(moved_exponential, NEAR, SAME_LENGTH),
        "l1": Rule(moved_exponential, NEAR, SAME_LENGTH),
        "l2": Rule(moved_exponential, NEAR, "Yang et al. 2020, differential method"),
        "linf": Rule(moved_exponential, NEAR, SAME_LENGTH),
    }

    def scale_for(self, features: int) -> float:
        return self.sigma / math.sqrt(features + 1)

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        return -length

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        return on_sphere(source, shape) * gamma(source, *shape)


@dataclass(frozen=True)
class PowerL2(Radial):
    """Noise with density proportional to `(1 + ||x||_2 / lambda)^-(d + tail)`, d features.

    `lambda = sigma sqrt((tail - 1) (tail - 2) / (d + 1))`. The l2 length exceeds t with a probability that falls as
    `t^-tail`.
    """

    tail: int = 5
    name: ClassVar[str] = "power-l2"
    order: ClassVar[float] = 2
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(moved_power_law, POWER, SAME_LENGTH),
        "l1": Rule(moved_power_law, POWER, SAME_LENGTH),
        "l2": Rule(moved_power_law, POWER, "differential method of Yang et al. 2020"),
        "linf": Rule(moved_power_law, POWER, SAME_LENGTH),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tail(self.tail)

    def scale_for(self, features: int) -> float:
        return self.sigma * math.sqrt((self.tail - 1) * (self.tail - 2) / (features + 1))

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        return -(features + self.tail) * np.log1p(length)

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        """A power law is an exponential law of a random scale, one over a gamma number."""
        return on_sphere(source, shape) * gamma(source, *shape) / gamma(source, shape[0], self.tail)
