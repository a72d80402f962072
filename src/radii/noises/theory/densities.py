"""Symmetric log-concave densities: how one feature of a product noise is distributed (docs/math/product-noises.md)."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.polynomial import chebyshev
from scipy.special import gammaincc, gammainccinv, gammaincinv, ndtr

LARGEST_EXPONENT = 64.0
"""Up to here all formulas keep their digits; the law is within .8 % of the uniform one in total variation."""
FARTHEST = 6.5
"""Normal variables are cut off here when they choose a half-width."""

DEGREE = 32

# Below this power of the distance the density is level to the last bit.
LEVEL = 1e-20


class Density(Hashable, Protocol):
    """A density proportional to `exp(-potential(x))` with an even, convex potential, at scale 1.

    It must be continuous and have a finite Fisher information (this excludes the uniform law).
    """

    @property
    def information(self) -> float:
        """Fisher information of a shift, the mean of the squared score."""

    def score(self, x: np.ndarray) -> np.ndarray:
        """The slope of the potential."""

    def loss(self, u: np.ndarray, move: float) -> np.ndarray:
        """`log dQ/dP` for a move by `move`, `u >= 0` beyond the midpoint of the two centres."""

    def tail(self, y: np.ndarray) -> np.ndarray:
        """Probability of an absolute value above `y`, for `y >= 0`."""

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        """The absolute value that is exceeded with probability `tail`."""


@dataclass(frozen=True)
class GeneralizedNormalDensity:
    """The generalized normal law, `exp(-|x|^exponent) / 2 Gamma(1 + 1 / exponent)` (Subbotin 1923).

    The power of the absolute value is a Gamma variable of shape `1 / exponent`. Probabilities and quantiles are
    correct to a relative 2^-48 or so (tests/noises/test_densities.py compares with 40 digits).
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
        """The inverse of the density of the absolute value at 0."""
        return math.gamma(1 + 1 / self.exponent)

    def score(self, x: np.ndarray) -> np.ndarray:
        return self.exponent * np.sign(x) * np.abs(x) ** (self.exponent - 1)

    def loss(self, u: np.ndarray, move: float) -> np.ndarray:
        near = np.abs(u - move / 2)
        # the difference of two powers as a product: it keeps its digits when the move is small
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            growth = np.expm1(self.exponent * np.log1p(np.minimum(2 * u, move) / near))
            product = near**self.exponent * growth
            plain = (u + move / 2) ** self.exponent - near**self.exponent
        return np.where(near > move / 4, product, plain)

    def tail(self, y: np.ndarray) -> np.ndarray:
        power = np.abs(y) ** self.exponent
        return np.where(power < LEVEL, 1 - y / self.width, gammaincc(1 / self.exponent, power))

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        tail = np.asarray(tail, dtype=float)
        level = (1 - tail) * self.width
        shape = 1 / self.exponent
        power = np.where(tail < 0.5, gammainccinv(shape, tail), gammaincinv(shape, 1 - tail))
        return np.where(level**self.exponent < LEVEL, level, power**shape)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Distribution function."""
        tail = self.tail(np.abs(x)) / 2
        return np.where(x < 0, tail, 1 - tail)

    def quantile(self, p: np.ndarray) -> np.ndarray:
        """Inverse of the distribution function."""
        distance = self.tail_quantile(2 * np.minimum(p, 1 - p))
        return np.where(p < 0.5, -distance, distance)


@lru_cache(maxsize=32)
def log_half_width(exponent: float) -> tuple[float, ...]:
    """The generalized normal law as uniform noise of random half-width: its logarithm, given a normal variable.

    A density with one peak mixes uniform laws on intervals around it (Khintchine 1938). Here the power of the
    half-width is a Gamma variable of shape `1 + 1 / exponent`, and its logarithm, as a function of the normal
    variable Z with the same probabilities, is a polynomial in `Z / FARTHEST`: coefficients, highest power first.

    Guarantee: the law that comes of it, in real numbers, is within 2e-9 of the generalized normal law in total
    variation (docs/math/product-noises.md).
    """
    shape = 1 + 1 / exponent
    x = chebyshev.chebpts1(DEGREE + 1)
    z = FARTHEST * x
    power = np.where(z < 0, gammaincinv(shape, ndtr(z)), gammainccinv(shape, ndtr(-z)))
    powers = chebyshev.cheb2poly(chebyshev.chebfit(x, np.log(power) / exponent, DEGREE))
    return tuple(float(coefficient) for coefficient in powers[::-1])
