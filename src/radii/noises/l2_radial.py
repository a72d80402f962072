"""Exponential and power laws of the l2 length: the l2 length of a perturbation decides (docs/math/ball-noises.md)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from scipy.special import betainc, betaincc, betainccinv, betaincinv, poch

from radii.noises import laplace
from radii.noises.base import Rule, Source
from radii.noises.norms import NORMS, Ball
from radii.noises.radial import Radial, check_tail, gamma, on_sphere, quantiles, scaled_length
from radii.noises.theory.differential import Rate, lowest_lines
from radii.noises.theory.tradeoffs import Translation

# More than the relative error of the sums and differences of incomplete beta functions below: 4e-13 at most, against 40
# digits, for up to 3072 features and tails up to 1000.
ROUNDING = 1e-9

# Number of lines above a rate, for either half of the levels. Beside 4000 lines, radii lose a relative 2e-4 at most
# (tail 1000, 3072 features), and 7e-5 for tail 5.
LINES = 600


def exponential_shift(noise: "ExponentialL2", ball: Ball) -> Translation:
    """Return the translation `(d - 1) artanh(w)`, w a quantile of one coordinate of a point on the sphere."""
    length, start = scaled_length(noise, ball)
    d = ball.features
    # the sphere of one feature is two points, without a density
    if d == 1:
        return Translation(laplace.quantile, laplace.cdf, length, start)
    return Translation(lambda p: depth(p, d), lambda z: height(z, d), length, start)


def depth(p: np.ndarray, d: int) -> np.ndarray:
    """Return `(d - 1) artanh(w)`, where a coordinate on the sphere of R^d is at most `w` with probability p."""
    # W^2 has the distribution Beta(1/2, (d - 1) / 2)
    tail, half = np.minimum(p, 1 - p), (d - 1) / 2
    square = betainccinv(0.5, half, 2 * tail)
    # 1 - w^2 without cancellation: w is nearly 1 in few features, where artanh(w) depends on nothing else
    rest = np.where(square < 0.5, 1 - square, betaincinv(half, 0.5, 2 * tail))
    distance = (d - 1) * (np.log1p(np.sqrt(square)) - np.log(rest) / 2)
    return np.where(p < 0.5, -distance, distance)


def height(z: np.ndarray, d: int) -> np.ndarray:
    """Return the inverse of `depth`."""
    square, half = np.tanh(z / (d - 1)) ** 2, (d - 1) / 2
    # 1 - w^2, without cancellation where w is nearly 1
    small = np.exp(-2 * np.abs(z) / (d - 1))
    rest = 4 * small / (1 + small) ** 2
    tail = np.where(square < 0.5, betaincc(0.5, half, square), betainc(half, 0.5, rest)) / 2
    return np.where(z < 0, tail, 1 - tail)


def power_shift(noise: "PowerL2", ball: Ball) -> Translation:
    """Return the translation that follows from the rate of a power law."""
    length, start = scaled_length(noise, ball)
    bound = rate(ball.features, noise.tail)
    return Translation(bound.quantile, bound.cdf, length, start)


@lru_cache(maxsize=16)
def rate(d: int, tail: int) -> Rate:
    """Return an upper bound on the rate of change under the power law: lines `E (S - tau)_+ + tau u`, at scale 1.

    The score is `S = (d + tail) B W`, where `B = 1 / (1 + length)` has the distribution Beta(tail, d) and W is a
    coordinate on the sphere. Given B, the mean is a convex function of B, so it lies below its chord on every cell of
    a partition of [0, 1].
    """
    edges = np.concatenate([[0.0], quantiles(d, tail), [1.0]])
    mass = masses(edges, tail, d)
    # B times its density is a multiple of the density of Beta(tail + 1, d)
    first = masses(edges, tail + 1, d) * tail / (d + tail)
    width = np.diff(edges)
    # the weight of every edge in the means of the chords; it cannot be negative but for rounding
    ends = np.zeros(len(edges))
    ends[:-1] += np.maximum(edges[1:] * mass - first, 0) / width
    ends[1:] += np.maximum(first - edges[:-1] * mass, 0) / width
    slopes = (d + tail) * score_levels(d, tail)
    scale = (d + tail) * edges[1:]
    heights = excess(slopes[:, None] / scale, d) * scale @ ends[1:]
    # a line whose height vanishes in rounding is left out: fewer lines only raise their envelope
    return lowest_lines(
        (slope, high * (1 + ROUNDING)) for slope, high in zip(slopes, heights, strict=True) if high > 0
    )


def masses(edges: np.ndarray, a: float, b: float) -> np.ndarray:
    """Return the probabilities of the cells between `edges` under Beta(a, b)."""
    # differences of the smaller tail, which keep their digits
    below, above = betainc(a, b, edges), betaincc(a, b, edges)
    return np.where(below[1:] < 0.5, np.diff(below), -np.diff(above))


def score_levels(d: int, tail: int) -> np.ndarray:
    """Return levels of `B W` for the lines, dense around its typical size and near 1; any levels are sound."""
    typical = float(betaincinv(tail, d, 0.5)) / math.sqrt(d)
    low, high = typical * np.geomspace(1e-3, 100, LINES), 1 - np.geomspace(1e-9, 1, LINES)
    return np.unique(np.concatenate([low[low < 1], high]))


def excess(s: np.ndarray, d: int) -> np.ndarray:
    """Return `E (W - s)_+` of a coordinate W on the sphere in d dimensions, for `s >= 0`, rounded up."""
    s = np.minimum(s, 1)
    # W is a sign
    if d == 1:
        return (1 - s) / 2
    # log1p keeps the digits of a high power of 1 - s^2, and is -inf at s = 1; poch is a quotient of Gamma functions,
    # each of which overflows from 344 dimensions on
    with np.errstate(divide="ignore"):
        mean = (
            np.exp((d - 1) / 2 * np.log1p(-(s**2))) * poch((d - 1) / 2, 0.5) / (math.sqrt(math.pi) * (d - 1))
        )
    return np.maximum(mean * (1 + ROUNDING) - s * betainc((d - 1) / 2, 0.5, 1 - s**2) / 2, 0)


SAME_LENGTH = "as l2: all that matters is the l2 length of the longest perturbation"
NEAR = "sound, 0 to 5 % below the tight radius"
POWER = "sound, 1 to 29 % below the tight radius for p up to 0.99"


@dataclass(frozen=True)
class ExponentialL2(Radial):
    """Noise with density proportional to `exp(-||x||_2 / lambda)`, `lambda = sigma / sqrt(d + 1)`, for d features.

    Parameters
    ----------
    sigma : float
        Standard deviation of one feature, in image units.

    Notes
    -----
    Guarantee: sound. A ball counts by its longest perturbation in l2 (docs/math/ball-noises.md).

    References
    ----------
    Yang, Duan, Hu, Salman, Razenshteyn & Li 2020.

    Examples
    --------
    >>> import numpy as np, radii
    >>> radii.certified_radius(radii.ExponentialL2(0.5), "l2", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.641, 1.163])
    """

    name: ClassVar[str] = "exponential-l2"
    order: ClassVar[float] = 2
    rules: ClassVar[dict[str, Rule]] = {
        **dict.fromkeys(NORMS, Rule(exponential_shift, NEAR, SAME_LENGTH)),
        "l2": Rule(exponential_shift, NEAR, "Yang et al. 2020, differential method"),
    }

    def scale_for(self, features: int) -> float:
        return self.sigma / math.sqrt(features + 1)

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        return -length

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        # the length has the distribution Gamma(d)
        return on_sphere(source, shape) * gamma(source, *shape)


@dataclass(frozen=True)
class PowerL2(Radial):
    """Noise with density proportional to `(1 + ||x||_2 / lambda)^-(d + tail)`, for d features.

    The scale is `lambda = sigma sqrt((tail - 1) (tail - 2) / (d + 1))`; the l2 length exceeds t with a probability
    that falls as `t^-tail`.

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
    Guarantee: sound. A ball counts by its longest perturbation in l2 (docs/math/ball-noises.md).

    References
    ----------
    Yang, Duan, Hu, Salman, Razenshteyn & Li 2020.

    Examples
    --------
    >>> import numpy as np, radii
    >>> radii.certified_radius(radii.PowerL2(0.5), "l2", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.424, 0.713])
    """

    tail: int = 5
    name: ClassVar[str] = "power-l2"
    order: ClassVar[float] = 2
    rules: ClassVar[dict[str, Rule]] = {
        **dict.fromkeys(NORMS, Rule(power_shift, POWER, SAME_LENGTH)),
        "l2": Rule(power_shift, POWER, "differential method of Yang et al. 2020"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tail(self.tail)

    def scale_for(self, features: int) -> float:
        return self.sigma * math.sqrt((self.tail - 1) * (self.tail - 2) / (features + 1))

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        return -(features + self.tail) * np.log1p(length)

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        # a power law is an exponential law of random scale, the inverse of a Gamma variable
        return on_sphere(source, shape) * gamma(source, *shape) / gamma(source, shape[0], self.tail)
