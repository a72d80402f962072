"""Pareto noise on every feature: what tells most is a move of one feature (docs/math/ball-noises.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from radii.noises import linf_radial
from radii.noises.base import Additive, Rule, Source
from radii.noises.norms import Ball
from radii.noises.radial import check_tail


def l1(noise: "Pareto", ball: Ball) -> linf_radial.SeenFaces:
    """One feature is a power law in one dimension, and no move of length r changes regions faster than one of it."""
    one, scale = linf_radial.rate(1, noise.tail), noise.scale
    full = noise.tail * (1 + linf_radial.ROUNDING)
    return linf_radial.SeenFaces(
        one.integral, one.inverse, full, lambda r: np.full(np.shape(r), 0.5), lambda r: r / scale, scale
    )


@dataclass(frozen=True)
class Pareto(Additive):
    """Noise with density proportional to `(1 + |x| / lambda)^-(tail + 1)` on every feature, each by itself.

    `lambda = sigma sqrt((tail - 1) (tail - 2) / 2)`. A feature exceeds t with a probability that falls as `t^-tail`.
    """

    tail: int = 5
    name: ClassVar[str] = "pareto"
    rules: ClassVar[dict[str, Rule]] = {
        "l1": Rule(
            l1, "sound, 4 to 34 % below the best known attack for p up to 0.99", linf_radial.DIFFERENTIAL
        )
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tail(self.tail)

    @property
    def scale(self) -> float:
        return self.sigma * math.sqrt((self.tail - 1) * (self.tail - 2) / 2)

    def log_likelihood(self, copies: np.ndarray, image: np.ndarray) -> np.ndarray:
        far = np.abs(copies - image).reshape(len(copies), -1) / self.scale
        return -(self.tail + 1) * np.log1p(far).sum(axis=1)

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        far = math.e ** (source.exponential(shape) / self.tail) - 1
        sign = (source.uniform(shape) < 0.5) * 2 - 1
        return far * sign * self.scale
