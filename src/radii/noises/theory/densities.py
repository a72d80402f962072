"""Symmetric log-concave densities of one feature of a product noise (docs/math/product-noises.md)."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.polynomial import chebyshev
from scipy.special import gammaincc, gammainccinv, gammaincinv, ndtr

# Up to here all formulas keep their digits. The distribution is then within .8 % of the uniform one in total
# variation.
LARGEST_EXPONENT = 64.0

# Where `|x|^exponent` is below this, the density equals its value at 0 to the last bit.
LEVEL = 1e-20

# The normal variable that selects a half-width is cut off at 6.5, beyond which its mass is 8e-11. With this degree the
# polynomial errs by less than what the guarantee of `log_half_width` leaves (tests/noises/test_densities.py).
FARTHEST = 6.5
DEGREE = 32


class Density(Hashable, Protocol):
    """A density proportional to `exp(-potential(x))` with an even, convex potential, at scale 1.

    It must be continuous and have a finite Fisher information, which excludes the uniform distribution.
    """

    @property
    def information(self) -> float:
        """Fisher information of the location: the mean of the squared score."""

    def score(self, x: np.ndarray) -> np.ndarray:
        """Return the derivative of the potential."""

    def loss(self, u: np.ndarray, shift: float) -> np.ndarray:
        """Return the privacy loss `log dQ/dP` of a shift, at distance `u >= 0` beyond the midpoint of both modes."""

    def tail(self, y: np.ndarray) -> np.ndarray:
        """Return the probability of an absolute value above `y`, for `y >= 0`."""

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        """Return the absolute value that is exceeded with probability `tail`."""


@dataclass(frozen=True)
class GeneralizedNormalDensity:
    """The generalized normal density, `exp(-|x|^exponent) / 2 Gamma(1 + 1 / exponent)` (Subbotin 1923).

    `|x|^exponent` is a Gamma variable of shape `1 / exponent`. Probabilities and quantiles have relative errors near
    2^-48 (tests/noises/test_densities.py compares with 40 digits).
    """

    exponent: float

    @property
    def sigma(self) -> float:
        """Standard deviation."""
        return math.sqrt(math.gamma(3 / self.exponent) / math.gamma(1 / self.exponent))

    @property
    def mean_magnitude(self) -> float:
        """Mean absolute value."""
        return math.gamma(2 / self.exponent) / math.gamma(1 / self.exponent)

    @property
    def information(self) -> float:
        return self.exponent**2 * math.gamma(2 - 1 / self.exponent) / math.gamma(1 / self.exponent)

    @property
    def width(self) -> float:
        """Inverse of the density of the absolute value at 0."""
        return math.gamma(1 + 1 / self.exponent)

    def score(self, x: np.ndarray) -> np.ndarray:
        return self.exponent * np.sign(x) * np.abs(x) ** (self.exponent - 1)

    def loss(self, u: np.ndarray, shift: float) -> np.ndarray:
        near = np.abs(u - shift / 2)
        # near the mode at `u = shift / 2` the plain difference of powers; elsewhere a product, which keeps its digits
        # when the shift is small
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            growth = np.expm1(self.exponent * np.log1p(np.minimum(2 * u, shift) / near))
            product = near**self.exponent * growth
            plain = (u + shift / 2) ** self.exponent - near**self.exponent
        return np.where(near > shift / 4, product, plain)

    def tail(self, y: np.ndarray) -> np.ndarray:
        power = np.abs(y) ** self.exponent
        return np.where(power < LEVEL, 1 - y / self.width, gammaincc(1 / self.exponent, power))

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        tail = np.asarray(tail, dtype=float)
        level = (1 - tail) * self.width
        shape = 1 / self.exponent
        # the inverse of the smaller of both tails, which keeps its digits
        power = np.where(tail < 0.5, gammainccinv(shape, tail), gammaincinv(shape, 1 - tail))
        return np.where(level**self.exponent < LEVEL, level, power**shape)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Return the distribution function."""
        tail = self.tail(np.abs(x)) / 2
        return np.where(x < 0, tail, 1 - tail)

    def quantile(self, p: np.ndarray) -> np.ndarray:
        """Return the inverse of the distribution function."""
        distance = self.tail_quantile(2 * np.minimum(p, 1 - p))
        return np.where(p < 0.5, -distance, distance)


@lru_cache(maxsize=32)
def log_half_width(exponent: float) -> tuple[float, ...]:
    """Return the polynomial of `Z / FARTHEST`, highest power first, that is the log-half-width of a uniform mixture.

    A unimodal density mixes uniform distributions on intervals around its mode (Khintchine 1938). For the generalized
    normal density, the power of the half-width is a Gamma variable of shape `1 + 1 / exponent`. Its logarithm, as an
    increasing function of a normal variable Z, is interpolated at Chebyshev points.

    Guarantee: in real arithmetic, uniform noise of this half-width is within 2e-9 of the generalized normal
    distribution in total variation (docs/math/product-noises.md).
    """
    shape = 1 + 1 / exponent
    x = chebyshev.chebpts1(DEGREE + 1)
    z = FARTHEST * x
    power = np.where(z < 0, gammaincinv(shape, ndtr(z)), gammainccinv(shape, ndtr(-z)))
    powers = chebyshev.cheb2poly(chebyshev.chebfit(x, np.log(power) / exponent, DEGREE))
    return tuple(float(coefficient) for coefficient in powers[::-1])
