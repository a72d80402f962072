"""Gaussian noise: in every norm a translation by an l2 length (docs/math/rules.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from radii.noises.base import ProductNoise, Rule, Source
from radii.noises.norms import Ball, longest_l2, usual_radius
from radii.noises.theory.tradeoffs import Translation


def longest_shift(noise: ProductNoise, ball: Ball) -> Translation:
    """Return the trade-offs of the longest shift: the likelihood ratio depends on its l2 length alone."""
    # rotations leave the noise as it is, so the direction of a perturbation does not matter
    length = longest_l2(ball)
    return Translation(ndtri, ndtr, lambda r: length(r) / noise.sigma, usual_radius(ball, noise.sigma))


@dataclass(frozen=True)
class Gaussian(ProductNoise):
    """Normal noise, independent over features.

    Parameters
    ----------
    sigma : float
        Standard deviation of one feature, in image units.

    Notes
    -----
    Guarantee: tight in every norm. A ball counts by its longest perturbation in l2 (docs/math/rules.md).

    References
    ----------
    Cohen, Rosenfeld & Kolter 2019, Theorem 1.

    Examples
    --------
    >>> import numpy as np, radii
    >>> radii.certified_radius(radii.Gaussian(0.5), "l2", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.641, 1.163])
    """

    name: ClassVar[str] = "gaussian"
    mean_magnitude: ClassVar[float] = math.sqrt(2 / math.pi)
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(longest_shift, "tight", "as l2, with the range of s features"),
        "l1": Rule(longest_shift, "tight", "as l2: the longest perturbation changes one feature by r"),
        "l2": Rule(longest_shift, "tight", "Cohen, Rosenfeld & Kolter 2019, Theorem 1"),
        "linf": Rule(longest_shift, "tight", "as l2, with r sqrt(d)"),
    }

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        return source.normal(shape) * self.scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return -(z**2) / 2

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        # of the lower half, since 1 - tail / 2 would lose the digits of small tails
        return -ndtri(tail / 2)
