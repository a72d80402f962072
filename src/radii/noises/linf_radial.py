"""Exponential and power laws of the linf length: the noise depends on one feature of a perturbation, at random
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

# More than the relative error of incomplete beta functions. It is added to the larger term of a difference, so that it
# also covers what the difference cancels.
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class FaceRates(TradeOffs):
    """A region of probability `u <= 1/2` changes at a rate of at most `m psi(min(u / m, 1))`.

    Here m is the share of the noise that depends on the perturbation, `share(r)`, and `distance(r)` the time that it
    takes. `depth(x)` is the integral of `1 / psi` from x to 1, `inverse` its inverse, and `full = psi(1)`.
    """

    depth: Map
    inverse: Map
    full: float
    share: Map
    distance: Map
    start: float

    def quantile(self, p: np.ndarray, m: np.ndarray) -> np.ndarray:
        """Return the integral of one over the rate, from 1/2 to p."""
        tail = np.minimum(p, 1 - p)
        # the rate is constant between m and 1/2, and psi decides below m
        half = (0.5 - np.maximum(tail, m)) / (m * self.full) + self.depth(np.minimum(tail / m, 1))
        return np.where(p < 0.5, -half, half)

    def cdf(self, z: np.ndarray, m: np.ndarray) -> np.ndarray:
        """Return the inverse of `quantile`."""
        distance = np.abs(z)
        flat = (0.5 - m) / (m * self.full)
        tail = np.where(
            distance <= flat,
            0.5 - m * self.full * distance,
            m * self.inverse(np.maximum(distance - flat, 0)),
        )
        return np.where(z < 0, tail, 1 - tail)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.cdf(self.quantile(p, self.share(r)) + self.distance(r), self.share(r))

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.cdf(self.quantile(p, self.share(r)) - self.distance(r), self.share(r))


def face_rates(noise: "Cubic", ball: Ball) -> FaceRates:
    """Return the trade-offs by the share of the noise that depends on a perturbation.

    At unit speed it is one of 2 d faces for l1 and half of all faces for linf; for l0 it is s features, at t = 1.
    """
    d, scale = ball.features, noise.scale_for(ball.features)
    depth, inverse, full = noise.face_rate(d)
    if ball.norm == "l0":
        share = changed_share(ball)
        return FaceRates(depth, inverse, full, share, lambda s: np.where(s > 0, 1 / scale, 0.0), 1.0)
    # perturbations of unit length change `m = sum |v_i| / 2d` of the noise: 1/2 where all |v_i| are 1
    m = 0.5 if ball.norm == "linf" else 1 / (2 * d)
    return FaceRates(
        depth, inverse, full, lambda r: np.full(np.shape(r), m), lambda r: r / scale, scale / (2 * m)
    )


def changed_share(ball: Ball) -> Map:
    """Return the share of the noise that depends on s changed units: their total change in the box, over 2 d."""
    d = ball.features
    # a share of 0 would be divided by; at s = 0 the distance is 0, so that any share will do
    if ball.images is None:
        return lambda s: np.where(s > 0, s, 1) * ball.unit_features / (2 * d)
    changes = largest_sums(ball.box_limits().sum(axis=2))
    return lambda s: changes(np.maximum(s, 1)) / (2 * d)


def fastest_paths(noise: "ExponentialLinf", ball: Ball) -> FastestPaths:
    """Return the trade-offs by the least time over all straight perturbations."""
    return FastestPaths(ball.features, noise.scale_for(ball.features))


@dataclass(frozen=True)
class Cubic(Radial):
    """Noise whose density falls with the largest feature of `x / lambda`."""

    order: ClassVar[float] = math.inf

    @abstractmethod
    def face_rate(self, features: int) -> tuple[Map, Map, float]:
        """Return `depth`, `inverse` and `full` of `FaceRates` at scale 1."""

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        # a uniform distribution on cubes whose half-side is Gamma(d + 1) has a density proportional to exp(-||x||_inf)
        return (source.uniform(shape) * 2 - 1) * gamma(source, shape[0], shape[1] + 1)


FACES = "as l1: the noise depends on s features instead of one"
DIFFERENTIAL = "Yang et al. 2020, differential method"


@dataclass(frozen=True)
class ExponentialLinf(Cubic):
    """Noise with density proportional to `exp(-||x||_inf / lambda)`, for d features.

    The scale is `lambda = sigma sqrt(3 / ((d + 1) (d + 2)))`.

    Parameters
    ----------
    sigma : float
        Standard deviation of one feature, in image units.

    Notes
    -----
    Guarantee: tight in linf, sound in l0, l1 and l2 (docs/math/ball-noises.md).

    References
    ----------
    Yang, Duan, Hu, Salman, Razenshteyn & Li 2020. l2: this package.

    Examples
    --------
    >>> import numpy as np, radii
    >>> radii.certified_radius(radii.ExponentialLinf(0.5), "l1", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.692, 0.848])
    """

    name: ClassVar[str] = "exponential-linf"
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(face_rates, "sound, as l1", FACES),
        "l1": Rule(face_rates, "sound, 0 to 3 % below the best known attack", DIFFERENTIAL),
        "l2": Rule(
            fastest_paths,
            "sound, 0 to 31 % below the best known attack",
            "the fastest straight path is a cycloid",
        ),
        "linf": Rule(face_rates, "tight", "Yang et al. 2020"),
    }

    def scale_for(self, features: int) -> float:
        return self.sigma * math.sqrt(3 / ((features + 1) * (features + 2)))

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        return -length

    def face_rate(self, features: int) -> tuple[Map, Map, float]:
        # psi(x) = x, since the slope of the log-density is 1 at every length
        return lambda x: -np.log(x), lambda z: np.exp(-z), 1.0


@dataclass(frozen=True)
class PowerLinf(Cubic):
    """Noise with density proportional to `(1 + ||x||_inf / lambda)^-(d + tail)`, for d features.

    The scale is `lambda = sigma sqrt(3 (tail - 1) (tail - 2) / ((d + 1) (d + 2)))`; the linf length exceeds t with a
    probability that falls as `t^-tail`.

    Parameters
    ----------
    sigma : float
        Standard deviation of one feature, in image units.
    tail : int
        Exponent of the tail, from 3 to 1000.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    Guarantee: sound in l0, l1 and linf (docs/math/ball-noises.md).

    References
    ----------
    Yang, Duan, Hu, Salman, Razenshteyn & Li 2020.

    Examples
    --------
    >>> import numpy as np, radii
    >>> radii.certified_radius(radii.PowerLinf(0.5), "l1", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.48 , 0.588])
    """

    tail: int = 5
    name: ClassVar[str] = "power-linf"
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(face_rates, "sound, as l1", FACES),
        "l1": Rule(face_rates, "sound, 1 to 31 % below the best known attack for p up to 0.99", DIFFERENTIAL),
        "linf": Rule(
            face_rates, "sound, 4 to 37 % below the best known attack for p up to 0.99", DIFFERENTIAL
        ),
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
        # a power law is an exponential law of random scale, the inverse of a Gamma variable
        return super().standard(source, shape) / gamma(source, shape[0], self.tail)

    def face_rate(self, features: int) -> tuple[Map, Map, float]:
        bound = rate(features, self.tail)
        # psi(1) is the mean slope, (d + tail) E B = tail; rounded up like the heights of the lines
        return bound.integral, bound.inverse, self.tail * (1 + ROUNDING)


@lru_cache(maxsize=16)
def rate(d: int, tail: int) -> Rate:
    """Return an upper bound on psi: lines `E ((d + tail) B - tau)_+ + tau u`, at scale 1.

    psi(u) is the largest mean of the slope `(d + tail) B` over a share u of the noise, and `B = 1 / (1 + length)` has
    the distribution Beta(tail, d).
    """
    at = np.concatenate([[0.0], quantiles(d, tail)])
    first = tail * betaincc(tail + 1, d, at) * (1 + ROUNDING)
    slopes = (d + tail) * at
    heights = first - slopes * betaincc(tail, d, at)
    # a line whose height vanishes in rounding is left out: fewer lines only raise their envelope
    return lowest_lines(
        ((slope, high) for slope, high in zip(slopes, heights, strict=True) if high > 0), top=1.0
    )
