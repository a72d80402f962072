"""Gaussian noise: every ball is a translation by an l2 distance (docs/math/rules.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from radii.noises.base import ProductNoise, Rule, Source
from radii.noises.norms import Ball, longest_l2, usual_radius
from radii.noises.theory.tradeoffs import Translation


def moved(noise: ProductNoise, ball: Ball) -> Translation:
    """The likelihood ratio of a moved normal law depends on the l2 length of the move alone, here the longest."""
    length = longest_l2(ball)
    return Translation(ndtri, ndtr, lambda r: length(r) / noise.sigma, usual_radius(ball, noise.sigma))


@dataclass(frozen=True)
class Gaussian(ProductNoise):
    """Normal noise on every feature."""

    name: ClassVar[str] = "gaussian"
    mean_magnitude: ClassVar[float] = math.sqrt(2 / math.pi)
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(moved, "exact", "as l2, with the range of s features"),
        "l1": Rule(moved, "exact", "as l2: the farthest move within l1 radius r is r on one feature"),
        "l2": Rule(moved, "exact", "Cohen, Rosenfeld & Kolter 2019, Theorem 1"),
        "linf": Rule(moved, "exact", "as l2, with r sqrt(d)"),
    }

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        return source.normal(shape) * self.scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return -(z**2) / 2

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        return -ndtri(tail / 2)
