"""Laplace noise: one feature is a translation, many compose (docs/math/rules.md, docs/math/composition.md)."""

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

# Above this number of features, the rule of the l1 ball is no better in l2 at any probability that a float can hold: it
# gains most at 1 - 2^-53, where it is level with the translation for 29 features.
FEW = 32


def quantile(p: np.ndarray) -> np.ndarray:
    """Return the quantile of the Laplace distribution of scale 1."""
    # from the smaller tail, which keeps its digits
    tail = np.log(2 * np.minimum(p, 1 - p))
    return np.where(p < 0.5, tail, -tail)


def cdf(z: np.ndarray) -> np.ndarray:
    """Return the distribution function of the Laplace distribution of scale 1."""
    tail = np.exp(-np.abs(z)) / 2
    return np.where(z < 0, tail, 1 - tail)


def one_feature(noise: ProductNoise, distance: Map, start: float) -> Translation:
    """Return the trade-offs of a shift of a single feature by `distance(r)`."""
    return Translation(quantile, cdf, lambda r: distance(r) / noise.scale, start)


def l1(noise: ProductNoise, ball: Ball) -> TradeOffs:
    """Return the trade-offs of the worst perturbation: r on one feature, or the greedy one in the box."""
    free = one_feature(noise, lambda r: r, noise.scale)
    return within_boxes(free, ball, noise.scale, LAPLACE)


def l2(noise: ProductNoise, ball: Ball) -> TradeOffs:
    """Return the bound for any number of features, or that of the l1 ball of radius `r sqrt(d)`, if it is better."""
    free = WorstDirection(noise.scale)
    if ball.features > FEW:
        return free
    # l1 <= sqrt(d) l2, with equality where all features change equally
    root = math.sqrt(ball.features)
    return Tightest((free, one_feature(noise, lambda r: r * root, noise.scale)), noise.scale)


def linf(noise: ProductNoise, ball: Ball) -> TradeOffs:
    """Return the trade-offs of the worst perturbation: r on every feature."""
    return ComposedShift(ball.features, noise.scale)


def l0(noise: ProductNoise, ball: Ball) -> TradeOffs:
    """Return the trade-offs of the worst perturbation: s units by the whole range, or as far as the box allows."""
    return ComposedUnits(ball.unit_features, noise.scale, None if ball.images is None else ball.box_limits())


@dataclass(frozen=True)
class Laplace(ProductNoise):
    """Laplace noise, independent over features: density `exp(-|x| / b) / 2b`, `b = sigma / sqrt(2)`.

    Parameters
    ----------
    sigma : float
        Standard deviation of one feature, in image units.

    Notes
    -----
    Guarantee: tight in l1; within a relative 1e-4 of the tight radius in linf and, but for rounding in the box, in l0;
    sound in l2, whatever the number of features (docs/math/laplace-l2.md).

    References
    ----------
    l1: Teng, Lee & Yuan 2019. linf and l0: privacy losses composed as by Doroshenko et al.
    2022. l2: this package, with the inequality of Eaton 1970 and Pinelis 1994.

    Examples
    --------
    >>> import numpy as np, radii
    >>> radii.certified_radius(radii.Laplace(0.5), "l1", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.569, 1.383])
    """

    name: ClassVar[str] = "laplace"
    mean_magnitude: ClassVar[float] = 1.0
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(l0, "tight to 1e-4", "composition of privacy losses"),
        "l1": Rule(l1, "tight", "Teng, Lee & Yuan 2019"),
        "l2": Rule(
            l2,
            "sound, on many features 2 to 5 % below the best known attack for p up to 0.999",
            "Rademacher sums over a cover of all directions",
        ),
        "linf": Rule(linf, "tight to 1e-4", "composition of privacy losses"),
    }

    @property
    def scale(self) -> float:
        return self.sigma / math.sqrt(2)

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        # the difference of two exponential variables has a Laplace distribution
        return (source.exponential(shape) - source.exponential(shape)) * self.scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return -np.abs(z)

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        return -np.log(tail)
