"""Generalized normal noise: from Laplace over Gaussian towards uniform (docs/math/product-noises.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from radii.errors import InputError
from radii.noises import gaussian, laplace
from radii.noises.base import ProductNoise, Rule, Source
from radii.noises.norms import Ball
from radii.noises.theory.densities import FARTHEST, LARGEST_EXPONENT, GeneralizedNormalDensity, log_half_width
from radii.noises.theory.generalized_normal_l2 import mixture_rate
from radii.noises.theory.l1_in_box import within_boxes
from radii.noises.theory.privacy_loss import DensityLoss
from radii.noises.theory.product import LAPLACE, ComposedShift, ComposedUnits, PrivacyLoss
from radii.noises.theory.tradeoffs import Map, Tightest, TradeOffs, Translation

# From here on the l1 ball is no better at any probability that a float can hold.
FEW = 64


def one_feature(noise: "GeneralizedNormal", distance: Map, start: float) -> Translation:
    """A move by `distance(r)` on a single feature."""
    law = noise.density
    return Translation(law.quantile, law.cdf, lambda r: distance(r) / noise.scale, start)


def l1(noise: "GeneralizedNormal", ball: Ball) -> TradeOffs:
    """The worst move within l1 radius r is r on one feature, or the greedy one within the box of the image."""
    free = one_feature(noise, lambda r: r, noise.scale)
    return within_boxes(free, ball, noise.scale, noise.losses)


def l2(noise: "GeneralizedNormal", ball: Ball) -> TradeOffs:
    """The dimension-free bound, or that of the l1 ball of radius `r sqrt(d)`, which can be better for few features."""
    if noise.exponent == 1:
        return laplace.l2(noise, ball)
    if noise.exponent == 2:
        return gaussian.moved(noise, ball)
    unit = noise.scale / math.sqrt(noise.density.information)
    rate = mixture_rate(noise.exponent)
    free = Translation(rate.quantile, rate.cdf, lambda r: r / unit, unit)
    if ball.features > FEW:
        return free
    root = math.sqrt(ball.features)
    return Tightest((free, one_feature(noise, lambda r: r * root, noise.scale)), unit)


def linf(noise: "GeneralizedNormal", ball: Ball) -> TradeOffs:
    """The worst move within linf radius r is r on every feature."""
    if ball.features == 1:
        return l1(noise, ball)
    return ComposedShift(ball.features, noise.scale, noise.losses)


def l0(noise: "GeneralizedNormal", ball: Ball) -> TradeOffs:
    """The worst move within s units takes them across the whole range: 1, or the image's own box."""
    moves = None if ball.images is None else ball.box_limits()
    return ComposedUnits(ball.unit_features, noise.scale, moves, noise.losses)


@dataclass(frozen=True)
class GeneralizedNormal(ProductNoise):
    """Noise with density proportional to `exp(-|x / c|^exponent)` on every feature.

    Exponent 1 is Laplace noise and 2 is Gaussian; larger ones come near to uniform noise.
    """

    exponent: float

    name: ClassVar[str] = "generalized-normal"
    typical: ClassVar[dict[str, float]] = {"exponent": 4}
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(l0, "exact to 1e-3, mostly 1e-4", "composition of privacy losses"),
        "l1": Rule(l1, "exact", "rate of change, convex in the direction: Yang et al. 2020"),
        "l2": Rule(l2, "sound; from exponent 2 on exact up to p = .73", "mixtures of normal laws"),
        "linf": Rule(linf, "exact to 1e-3, mostly 1e-4", "composition of privacy losses"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        exponent = self.exponent
        if isinstance(exponent, bool) or not isinstance(exponent, (int, float)):
            raise InputError(f"exponent must be a number; got {exponent!r}")
        if not 1 <= exponent <= LARGEST_EXPONENT:
            raise InputError(
                f"exponent must lie between 1 (Laplace) and {LARGEST_EXPONENT:g} (nearly uniform); got {exponent!r}"
            )
        object.__setattr__(self, "exponent", float(exponent))

    @property
    def density(self) -> GeneralizedNormalDensity:
        """The law of one feature at scale 1."""
        return GeneralizedNormalDensity(self.exponent)

    @property
    def losses(self) -> PrivacyLoss:
        """The privacy losses of one feature; those of Laplace noise have atoms and closed forms."""
        return LAPLACE if self.exponent == 1 else DensityLoss(self.density)

    @property
    def scale(self) -> float:
        return self.sigma / self.density.sigma

    @property
    def mean_magnitude(self) -> float:  # type: ignore[override]
        return self.density.mean_magnitude

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        # uniform on an interval whose random half-width is exp(polynomial of a normal variable)
        x = source.normal(shape).clip(-FARTHEST, FARTHEST) * (1 / FARTHEST)
        highest, *others = log_half_width(self.exponent)
        log = x * highest
        for coefficient in others[:-1]:
            log += coefficient
            log *= x
        return (source.uniform(shape) * 2 - 1) * math.e ** (log + others[-1]) * self.scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return -(np.abs(z) ** self.exponent)

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        return self.density.tail_quantile(tail)
