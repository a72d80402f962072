"""Noise uniform on the l2 ball: all that matters is how far two balls overlap (docs/math/ball-noises.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import betainc

from radii.noises.base import Rule, Source
from radii.noises.radial import Radial, moved_length
from radii.norms import Ball
from radii.tradeoffs import TotalVariation

ROUNDING = 1e-12
"""More than the relative error of the incomplete beta function (tests/test_ball_noises.py)."""


def moved_ball(noise: "UniformBall", ball: Ball) -> TotalVariation:
    """Outside the overlap of the two balls everything is lost; inside, nothing."""
    length, start = moved_length(noise, ball)
    d = ball.features
    return TotalVariation(lambda r: lost_share(length(r), d), start)


def lost_share(length: np.ndarray, d: int) -> np.ndarray:
    """The share of a ball of radius 1 that leaves it when it moves by `length`: two caps make the overlap."""
    share = betainc(0.5, (d + 1) / 2, np.minimum(length / 2, 1) ** 2)
    return np.minimum(share * (1 + ROUNDING), 1)


@dataclass(frozen=True)
class UniformBall(Radial):
    """Noise uniform on the l2 ball of radius `R` around the image, `R = sigma * sqrt(d + 2)`, d features."""

    name: ClassVar[str] = "ball"
    order: ClassVar[float] = 2
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(moved_ball, "exact", "as l2, with the range of s features"),
        "l1": Rule(moved_ball, "exact", "as l2: the farthest move within l1 radius r is r on one feature"),
        "l2": Rule(moved_ball, "exact", "overlap of balls: Yang et al. 2020"),
        "linf": Rule(moved_ball, "exact", "as l2, with r sqrt(d)"),
    }

    def scale_for(self, features: int) -> float:
        return self.sigma * math.sqrt(features + 2)

    def log_density(self, length: np.ndarray, features: int) -> np.ndarray:
        # image plus noise is rounded to float32
        return np.where(length <= 1 + 1e-5, 0.0, -np.inf)

    def standard(self, source: Source, shape: tuple[int, int]) -> Any:
        """The first d of d + 2 coordinates on the sphere: the squares of the other two add up to an exponential."""
        z = source.normal(shape)
        square = (z**2).sum(1) + 2 * source.exponential((shape[0],))
        return z / square.reshape(-1, 1) ** 0.5
