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

# Above this number of features, the rule of the l1 ball is no better in l2 at any probability that a float can hold: it
# gains most at exponent 64 and p near 1/2, where it is level with the mixture bound for 40 features.
FEW = 64


def one_feature(noise: "GeneralizedNormal", distance: Map, start: float) -> Translation:
    """Return the trade-offs of a shift of a single feature by `distance(r)`."""
    density = noise.density
    return Translation(density.quantile, density.cdf, lambda r: distance(r) / noise.scale, start)


def l1(noise: "GeneralizedNormal", ball: Ball) -> TradeOffs:
    """Return the trade-offs of the worst perturbation: r on one feature, or the greedy one in the box."""
    free = one_feature(noise, lambda r: r, noise.scale)
    return within_boxes(free, ball, noise.scale, noise.loss)


def l2(noise: "GeneralizedNormal", ball: Ball) -> TradeOffs:
    """Return the bound for any number of features, or that of the l1 ball of radius `r sqrt(d)`, if it is better."""
    # at 1 the table of Laplace noise is better than its translation; at 2 the rule of Gaussian noise is tight
    if noise.exponent == 1:
        return laplace.l2(noise, ball)
    if noise.exponent == 2:
        return gaussian.longest_shift(noise, ball)
    unit = noise.scale / math.sqrt(noise.density.information)
    rate = mixture_rate(noise.exponent)
    free = Translation(rate.quantile, rate.cdf, lambda r: r / unit, unit)
    if ball.features > FEW:
        return free
    # l1 <= sqrt(d) l2, with equality where all features change equally
    root = math.sqrt(ball.features)
    return Tightest((free, one_feature(noise, lambda r: r * root, noise.scale)), unit)


def linf(noise: "GeneralizedNormal", ball: Ball) -> TradeOffs:
    """Return the trade-offs of the worst perturbation: r on every feature."""
    # a single feature has a closed form, without the 1e-3 that the table can lose
    if ball.features == 1:
        return l1(noise, ball)
    return ComposedShift(ball.features, noise.scale, noise.loss)


def l0(noise: "GeneralizedNormal", ball: Ball) -> TradeOffs:
    """Return the trade-offs of the worst perturbation: s units by the whole range, or as far as the box allows."""
    limits = None if ball.images is None else ball.box_limits()
    return ComposedUnits(ball.unit_features, noise.scale, limits, noise.loss)


@dataclass(frozen=True)
class GeneralizedNormal(ProductNoise):
    """Generalized normal noise, independent over features: density proportional to `exp(-|x / c|^exponent)`.

    Exponent 1 is Laplace noise and 2 is Gaussian noise; large exponents come near to uniform noise.

    Parameters
    ----------
    sigma : float
        Standard deviation of one feature, in image units.
    exponent : float
        From 1 to 64.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    Guarantee: tight in l1; within a relative 1e-3, mostly 1e-4, of the tight radius in linf and, but for rounding in
    the box, in l0; sound in l2, and there tight up to p = .73 from exponent 2 on, in many features
    (docs/math/product-noises.md).

    References
    ----------
    Subbotin 1923 (the density). l1: Yang, Duan, Hu, Salman, Razenshteyn & Li 2020. linf and l0: privacy losses
    composed as by Doroshenko et al. 2022. l2: this package.

    Examples
    --------
    >>> import numpy as np, radii
    >>> noise = radii.GeneralizedNormal(0.5, exponent=4)
    >>> radii.certified_radius(noise, "l2", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.535, 0.825])
    """

    exponent: float

    name: ClassVar[str] = "generalized-normal"
    typical: ClassVar[dict[str, float]] = {"exponent": 4}
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(l0, "tight to 1e-3, mostly 1e-4", "composition of privacy losses"),
        "l1": Rule(l1, "tight", "rate of change, convex in the direction: Yang et al. 2020"),
        "l2": Rule(l2, "sound; from exponent 2 on tight up to p = 0.73", "mixtures of normal distributions"),
        "linf": Rule(linf, "tight to 1e-3, mostly 1e-4", "composition of privacy losses"),
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
        """Density of one feature at scale 1."""
        return GeneralizedNormalDensity(self.exponent)

    @property
    def loss(self) -> PrivacyLoss:
        """Privacy loss of one feature; that of Laplace noise has atoms, for which there is a closed form."""
        return LAPLACE if self.exponent == 1 else DensityLoss(self.density)

    @property
    def scale(self) -> float:
        return self.sigma / self.density.sigma

    @property
    def mean_magnitude(self) -> float:  # type: ignore[override]
        return self.density.mean_magnitude

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        # Uniform on an interval whose log-half-width is a polynomial of a normal variable: one normal and one uniform
        # number for every feature, so that random numbers stay counted. Unlike the quantile of the noise itself, this
        # function is analytic on the whole line. Horner's rule in place spares temporaries as large as a batch.
        x = source.normal(shape).clip(-FARTHEST, FARTHEST) * (1 / FARTHEST)
        highest, *others, constant = log_half_width(self.exponent)
        log_width = x * highest
        for coefficient in others:
            log_width += coefficient
            log_width *= x
        # math.e ** x is exp(x) for arrays and for tensors alike
        return (source.uniform(shape) * 2 - 1) * math.e ** (log_width + constant) * self.scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return -(np.abs(z) ** self.exponent)

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        return self.density.tail_quantile(tail)
