"""Noise whose density depends on its l2 or linf length alone, and the uniform ball (docs/math/ball-noises.md)."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import betainc, betaincinv

from radii.errors import InputError
from radii.noises.base import Additive, Rule, Source
from radii.noises.norms import Ball, longest_l2, usual_radius
from radii.noises.theory.tradeoffs import Map, TotalVariation

# Each noise sample of a power law takes as many random numbers as its exponent; one this large is close to
# exponential.
MOST_TAIL = 1000

# Number of quantiles of the length, and the log-odds of the outermost: what lies beyond is bounded, not summed. Radii
# gain 5e-5 at most from six times as many. At log-odds of 100 the same number lies thinner, and radii lose 2e-5.
CELLS, FARTHEST = 500, 45

# More than the relative error of the incomplete beta function (tests/noises/test_radial_noises.py).
ROUNDING = 1e-12


@dataclass(frozen=True)
class Radial(Additive):
    """Noise whose density is a function of the length of `x / scale`; the scale depends on the number of features."""

    order: ClassVar[float]
    """Order of the norm that measures the length: 2 or infinity."""

    @abstractmethod
    def scale_for(self, features: int) -> float:
        """Return the scale at which one of `features` features has the standard deviation `sigma`."""

    @abstractmethod
    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        """Return the log-density at scale 1 and this length, up to a constant."""

    @abstractmethod
    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        """Return noise samples at scale 1, `(images, features)`."""

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        features = math.prod(shape[1:])
        return (self.standard(source, (shape[0], features)) * self.scale_for(features)).reshape(shape)

    def log_likelihood(self, noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
        # float64: a length near 3000 scales, usual on 3072 features, is off by 1e-4 in float32, as is its log-density
        flat = (noisy - image).reshape(len(noisy), -1).astype(np.float64)
        features = flat.shape[1]
        return self.log_density(np.linalg.norm(flat, self.order, axis=1) / self.scale_for(features), features)


def scaled_length(noise: Radial, ball: Ball) -> tuple[Map, float]:
    """Return the largest l2 length of a perturbation within radius r, in scales of the noise, and a typical radius."""
    length, scale = longest_l2(ball), noise.scale_for(ball.features)
    return lambda r: length(r) / scale, usual_radius(ball, noise.sigma)


def check_tail(tail: object) -> None:
    """Raise InputError unless the exponent of a power law is a whole number that leaves a variance."""
    if isinstance(tail, bool) or not isinstance(tail, int) or not 3 <= tail <= MOST_TAIL:
        raise InputError(f"tail must be a whole number from 3 to {MOST_TAIL}; got {tail!r}")


def on_sphere(source: Source, shape: tuple[int, int]) -> Any:
    """Return uniform directions of l2 length 1, `(images, features)`: normal vectors, normalized."""
    z = source.normal(shape)
    return z / (z**2).sum(1).reshape(-1, 1) ** 0.5


def gamma(source: Source, images: int, shape: int) -> Any:
    """Return Gamma variables of whole `shape`, `(images, 1)`: sums of exponential variables."""
    return source.exponential((images, shape)).sum(1).reshape(-1, 1)


def quantiles(d: int, tail: int) -> np.ndarray:
    """Return quantiles of Beta(tail, d), the distribution of `1 / (1 + length)` under a power law."""
    # far into both tails: dense in the middle and sparse in the tails, on the scale of the log-odds
    log_odds = FARTHEST * np.sinh(np.linspace(-4, 4, CELLS)) / math.sinh(4)
    points = betaincinv(tail, d, 1 / (1 + np.exp(-log_odds)))
    # nearer to 1, differences between neighbours would be mere rounding; the cut costs radii 4e-8 at most (tail 1000)
    return np.unique(points[(points > 0) & (points < 1 - 1e-9)])


def overlapping_balls(noise: "UniformBall", ball: Ball) -> TotalVariation:
    """Return the trade-offs of two l2 balls: uniform distributions agree on the overlap and are singular elsewhere."""
    length, start = scaled_length(noise, ball)
    d = ball.features
    return TotalVariation(lambda r: lost_share(length(r), d), start)


def lost_share(length: np.ndarray, d: int) -> np.ndarray:
    """Return the share of a ball of radius 1 outside of its overlap with the ball shifted by `length`, rounded up."""
    # a shift by 2 or more leaves no overlap
    share = betainc(0.5, (d + 1) / 2, np.minimum(length / 2, 1) ** 2)
    return np.minimum(share * (1 + ROUNDING), 1)


@dataclass(frozen=True)
class UniformBall(Radial):
    """Uniform noise on the l2 ball of radius `sigma sqrt(d + 2)`, for d features.

    Parameters
    ----------
    sigma : float
        Standard deviation of one feature, in image units.

    Notes
    -----
    Guarantee: tight in every norm. A ball counts by its longest perturbation in l2 (docs/math/ball-noises.md).

    References
    ----------
    Yang, Duan, Hu, Salman, Razenshteyn & Li 2020.

    Examples
    --------
    >>> import numpy as np, radii
    >>> radii.certified_radius(radii.UniformBall(0.5), "l2", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.525, 0.659])
    """

    name: ClassVar[str] = "ball"
    order: ClassVar[float] = 2
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(overlapping_balls, "tight", "as l2, with the range of s features"),
        "l1": Rule(overlapping_balls, "tight", "as l2: the longest perturbation changes one feature by r"),
        "l2": Rule(overlapping_balls, "tight", "overlap of balls: Yang et al. 2020"),
        "linf": Rule(overlapping_balls, "tight", "as l2, with r sqrt(d)"),
    }

    def scale_for(self, features: int) -> float:
        return self.sigma * math.sqrt(features + 2)

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        # 1e-5: image plus noise is rounded to float32
        return np.where(length <= 1 + 1e-5, 0.0, -np.inf)

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        # the first d of d + 2 coordinates on the sphere are uniform in the ball; the squares of the other two add up
        # to twice an exponential variable (Barthe, Guedon, Mendelson & Naor 2005)
        z = source.normal(shape)
        square = (z**2).sum(1) + 2 * source.exponential((shape[0],))
        return z / square.reshape(-1, 1) ** 0.5
