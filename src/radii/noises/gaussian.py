"""Gaussian noise: every ball is a translation by an l2 distance (docs/math/rules.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

from radii.noises.base import Independent, Rule, Source
from radii.norms import Ball, farthest_sums, largest_sums
from radii.tradeoffs import Map, Translation


def translation(noise: Independent, distance: Map, start: float) -> Translation:
    """The likelihood ratio of a moved normal law depends on the l2 distance alone, here `distance(r)`."""
    return Translation(ndtri, ndtr, lambda r: distance(r) / noise.sigma, start)


def l2(noise: Independent, ball: Ball) -> Translation:
    """The farthest move within l2 radius r has l2 distance r."""
    return translation(noise, lambda r: r, noise.sigma)


def l1(noise: Independent, ball: Ball) -> Translation:
    """The farthest move within l1 radius r is r on one feature, or in a box on as few as it takes."""
    if ball.images is None:
        return translation(noise, lambda r: r, noise.sigma)
    squares = farthest_sums(ball.unit_moves()[:, :, 0], np.square)
    return translation(noise, lambda r: np.sqrt(squares(r)), noise.sigma)


def linf(noise: Independent, ball: Ball) -> Translation:
    """The farthest move within linf radius r is r on every feature."""
    root = math.sqrt(ball.features)
    return translation(noise, lambda r: r * root, noise.sigma / root)


def l0(noise: Independent, ball: Ball) -> Translation:
    """The farthest move within s units takes them across the whole range: 1, or the image's own box."""
    if ball.images is None:
        return translation(noise, lambda s: np.sqrt(s * ball.unit_features), 1)
    squares = largest_sums((ball.unit_moves() ** 2).sum(axis=2))
    return translation(noise, lambda s: np.sqrt(squares(s)), 1)


@dataclass(frozen=True)
class Gaussian(Independent):
    """Normal noise on every feature."""

    name: ClassVar[str] = "gaussian"
    mean_magnitude: ClassVar[float] = math.sqrt(2 / math.pi)
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(l0, "exact", "as l2, with the range of s features"),
        "l1": Rule(l1, "exact", "as l2: the farthest move within l1 radius r is r on one feature"),
        "l2": Rule(l2, "exact", "Cohen, Rosenfeld & Kolter 2019, Theorem 1"),
        "linf": Rule(linf, "exact", "as l2, with r sqrt(d)"),
    }

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        return source.normal(shape) * self.scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return -(z**2) / 2

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        return -ndtri(tail / 2)
