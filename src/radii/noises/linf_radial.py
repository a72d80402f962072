"""Exponential and power laws of the largest feature: all that the noise sees of a move is one feature of it, at random
(docs/math/ball-noises.md)."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from scipy.special import betaincc

from radii.noises.base import Rule, Source
from radii.noises.norms import Ball, largest_sums
from radii.noises.radial import Radial, check_tail, gamma, quantiles
from radii.noises.theory.cycloid import FastestPaths
from radii.noises.theory.differential import Rate, lowest_lines
from radii.noises.theory.tradeoffs import Map, TradeOffs

ROUNDING = 1e-9
"""More than the relative error of incomplete beta functions and of their differences here."""


@dataclass(frozen=True, eq=False)
class SeenFaces(TradeOffs):
    """A region of probability `u <= 1/2` changes at a rate of at most `m psi(min(u / m, 1))`, m the share of the noise
    that sees the move, `share(r)`; `distance(r)` is how long it changes.

    `depth(x)` is the integral of `1 / psi` from x to 1, `inverse` its inverse, and `full = psi(1)`.
    """

    depth: Map
    inverse: Map
    full: float
    share: Map
    distance: Map
    start: float

    def quantile(self, p: np.ndarray, m: np.ndarray) -> np.ndarray:
        tail = np.minimum(p, 1 - p)
        seen = self.depth(np.minimum(tail / m, 1))
        half = (0.5 - np.maximum(tail, m)) / (m * self.full) + seen
        return np.where(p < 0.5, -half, half)

    def cdf(self, z: np.ndarray, m: np.ndarray) -> np.ndarray:
        far = np.abs(z)
        level = (0.5 - m) / (m * self.full)
        tail = np.where(far <= level, 0.5 - m * self.full * far, m * self.inverse(np.maximum(far - level, 0)))
        return np.where(z < 0, tail, 1 - tail)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.cdf(self.quantile(p, self.share(r)) + self.distance(r), self.share(r))

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.cdf(self.quantile(p, self.share(r)) - self.distance(r), self.share(r))


def faces(noise: "Cubic", ball: Ball) -> SeenFaces:
    """A move of l1 length r is seen on one feature from one side, of linf length r on all, of s features on s."""
    d, scale = ball.features, noise.scale_for(ball.features)
    depth, inverse, full = noise.seen_rate(d)
    if ball.norm == "l0":
        share, start = seen_share(ball), 1.0
        return SeenFaces(depth, inverse, full, share, lambda s: np.where(s > 0, 1 / scale, 0.0), start)
    m = 0.5 if ball.norm == "linf" else 1 / (2 * d)
    return SeenFaces(
        depth, inverse, full, lambda r: np.full(np.shape(r), m), lambda r: r / scale, scale / (2 * m)
    )


def seen_share(ball: Ball) -> Map:
    """The share of the noise that sees a move of s units: of its features, each by how far it can go in the box."""
    d = ball.features
    if ball.images is None:
        return lambda s: np.where(s > 0, s, 1) * ball.unit_features / (2 * d)
    moves = largest_sums(ball.box_limits().sum(axis=2))
    return lambda s: moves(np.maximum(s, 1)) / (2 * d)


def fastest(noise: "ExponentialLinf", ball: Ball) -> FastestPaths:
    """The least time over all straight moves."""
    return FastestPaths(ball.features, noise.scale_for(ball.features))


@dataclass(frozen=True)
class Cubic(Radial):
    """Noise with a density that falls with the largest feature of `x / lambda`."""

    order: ClassVar[float] = math.inf

    @abstractmethod
    def seen_rate(self, features: int) -> tuple[Map, Map, float]:
        """`depth`, `inverse` and `full` of the rate at which a move is seen, at scale 1."""

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        """Uniform on a cube whose random side has a gamma law: given the largest feature, uniform on its surface."""
        return (source.uniform(shape) * 2 - 1) * gamma(source, shape[0], shape[1] + 1)


SEEN = "as l1: a move is seen on s features instead of one"
DIFFERENTIAL = "Yang et al. 2020, differential method"


@dataclass(frozen=True)
class ExponentialLinf(Cubic):
    """Noise with density proportional to `exp(-||x||_inf / lambda)`, d features.

    `lambda = sigma sqrt(3 / ((d + 1) (d + 2)))`.
    """

    name: ClassVar[str] = "exponential-linf"
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(faces, "sound, as l1", SEEN),
        "l1": Rule(faces, "sound, 0 to 3 % below the best known attack", DIFFERENTIAL),
        "l2": Rule(
            fastest, "sound, 0 to 31 % below the best known attack", "the fastest straight move is a cycloid"
        ),
        "linf": Rule(faces, "exact", "Yang et al. 2020"),
    }

    def scale_for(self, features: int) -> float:
        return self.sigma * math.sqrt(3 / ((features + 1) * (features + 2)))

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        return -length

    def seen_rate(self, features: int) -> tuple[Map, Map, float]:
        return lambda x: -np.log(x), lambda z: np.exp(-z), 1.0


@dataclass(frozen=True)
class PowerLinf(Cubic):
    """Noise with density proportional to `(1 + ||x||_inf / lambda)^-(d + tail)`, d features.

    `lambda = sigma sqrt(3 (tail - 1) (tail - 2) / ((d + 1) (d + 2)))`. The largest feature exceeds t with a
    probability that falls as `t^-tail`.
    """

    tail: int = 5
    name: ClassVar[str] = "power-linf"
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(faces, "sound, as l1", SEEN),
        "l1": Rule(faces, "sound, 1 to 31 % below the best known attack for p up to 0.99", DIFFERENTIAL),
        "linf": Rule(faces, "sound, 4 to 37 % below the best known attack for p up to 0.99", DIFFERENTIAL),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tail(self.tail)

    def scale_for(self, features: int) -> float:
        moment = (self.tail - 1) * (self.tail - 2)
        return self.sigma * math.sqrt(3 * moment / ((features + 1) * (features + 2)))

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        return -(features + self.tail) * np.log1p(length)

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        """A power law is an exponential law of a random scale, one over a gamma number."""
        return super().standard(source, shape) / gamma(source, shape[0], self.tail)

    def seen_rate(self, features: int) -> tuple[Map, Map, float]:
        found = rate(features, self.tail)
        return found.integral, found.inverse, self.tail * (1 + ROUNDING)


@lru_cache(maxsize=16)
def rate(d: int, tail: int) -> Rate:
    """The largest mean of the slope `(d + tail) B` over a share u of the noise, at scale 1.

    `B = 1 / (1 + length)` has the law Beta(tail, d). Lines `E ((d + tail) B - tau)_+ + tau u`.
    """
    at = np.concatenate([[0.0], quantiles(d, tail)])
    first = tail * betaincc(tail + 1, d, at) * (1 + ROUNDING)
    slopes = (d + tail) * at
    heights = first - slopes * betaincc(tail, d, at)
    return lowest_lines(
        ((slope, high) for slope, high in zip(slopes, heights, strict=True) if high > 0), top=1.0
    )
