"""Laplace noise: one feature is a translation, many features compose (docs/math/rules.md, docs/math/composition.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from radii.noises.base import ProductNoise, Rule, Source
from radii.noises.norms import Ball
from radii.noises.theory.l1_in_box import within_boxes
from radii.noises.theory.laplace_l2 import WorstDirection
from radii.noises.theory.product import LAPLACE, ComposedShift, ComposedUnits
from radii.noises.theory.tradeoffs import Map, Tightest, TradeOffs, Translation

# From here on the l1 ball is no better at any probability that a float can hold.
FEW = 32


def quantile(p: np.ndarray) -> np.ndarray:
    """Quantile of the Laplace law of scale 1."""
    tail = np.log(2 * np.minimum(p, 1 - p))
    return np.where(p < 0.5, tail, -tail)


def cdf(z: np.ndarray) -> np.ndarray:
    """Distribution function of the Laplace law of scale 1."""
    tail = np.exp(-np.abs(z)) / 2
    return np.where(z < 0, tail, 1 - tail)


def one_feature(noise: ProductNoise, distance: Map, start: float) -> Translation:
    """A move by `distance(r)` on a single feature."""
    return Translation(quantile, cdf, lambda r: distance(r) / noise.scale, start)


def l1(noise: ProductNoise, ball: Ball) -> TradeOffs:
    """The worst move within l1 radius r is r on one feature, or the greedy one within the box of the image."""
    free = one_feature(noise, lambda r: r, noise.scale)
    return within_boxes(free, ball, noise.scale, LAPLACE)


def l2(noise: ProductNoise, ball: Ball) -> TradeOffs:
    """The worst direction of any number of features, or the l1 ball of radius `r sqrt(d)`: better for very few."""
    free = WorstDirection(noise.scale)
    if ball.features > FEW:
        return free
    root = math.sqrt(ball.features)
    return Tightest((free, one_feature(noise, lambda r: r * root, noise.scale)), noise.scale)


def linf(noise: ProductNoise, ball: Ball) -> TradeOffs:
    """The worst move within linf radius r is r on every feature."""
    return ComposedShift(ball.features, noise.scale)


def l0(noise: ProductNoise, ball: Ball) -> TradeOffs:
    """The worst move within s units takes them across the whole range: 1, or the image's own box."""
    return ComposedUnits(ball.unit_features, noise.scale, None if ball.images is None else ball.box_limits())


@dataclass(frozen=True)
class Laplace(ProductNoise):
    """Noise with density `exp(-|x| / b) / 2b` on every feature, `b = sigma / sqrt(2)`."""

    name: ClassVar[str] = "laplace"
    mean_magnitude: ClassVar[float] = 1.0
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(l0, "exact to 1e-4", "composition of privacy losses"),
        "l1": Rule(l1, "exact", "Teng, Lee & Yuan 2019"),
        "l2": Rule(
            l2,
            "sound, on many features 2 to 5 % below the best known attack for p up to 0.999",
            "Rademacher sums over a cover of all directions",
        ),
        "linf": Rule(linf, "exact to 1e-4", "composition of privacy losses"),
    }

    @property
    def scale(self) -> float:
        return self.sigma / math.sqrt(2)

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        return (source.exponential(shape) - source.exponential(shape)) * self.scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return -np.abs(z)

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        return -np.log(tail)
