"""Uniform noise: the moved cube overlaps the cube in a volume V, and all that matters is V (docs/math/rules.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from radii.noises.base import ProductNoise, Rule, Source
from radii.noises.norms import Ball, greedy_costs, largest_sums
from radii.noises.theory.tradeoffs import Map, TotalVariation


def moved_cube(log_overlap: Map, start: float) -> TotalVariation:
    """Outside the overlap of the two cubes everything is lost, `1 - V`; inside, nothing."""
    return TotalVariation(lambda r: -np.expm1(log_overlap(r)), start)


def log_left(share: np.ndarray) -> np.ndarray:
    """`log(1 - share)`, minus infinity from share 1 on: what is left of one side of the cube."""
    return np.log1p(-np.minimum(share, 1 - 1e-300), where=share < 1, out=np.full(np.shape(share), -np.inf))


class Cube(Protocol):
    """Noise that a move of one feature by `t` makes known with probability `t / width`, each feature by itself."""

    @property
    def width(self) -> float: ...


def l1(noise: Cube, ball: Ball) -> TotalVariation:
    """The worst move within l1 radius r is r on one feature, or in a box on as few as it takes."""
    width = noise.width
    if ball.images is None:
        return moved_cube(lambda r: log_left(r / width), width / 2)
    losses = greedy_costs(ball.box_limits()[:, :, 0], lambda move: -log_left(move / width))
    return moved_cube(lambda r: -losses(r), width / 2)


def linf(noise: Cube, ball: Ball) -> TotalVariation:
    """The worst move within linf radius r is r on every feature."""
    d, width = ball.features, noise.width
    return moved_cube(lambda r: d * log_left(r / width), width / (2 * d))


def l2(noise: Cube, ball: Ball) -> TotalVariation:
    """The worst move within l2 radius r: equal on all features, or all but one (docs/math/rules.md)."""
    d, width = ball.features, noise.width
    return moved_cube(lambda r: log_overlap_l2(r / width, d), width / (2 * math.sqrt(d)))


def log_overlap_l2(u: np.ndarray, d: int) -> np.ndarray:
    """Least log-overlap within l2 distance `u`, in sides of the cube: over every stationary move and end point."""
    u = np.asarray(u, dtype=float)
    equal = d * log_left(u / math.sqrt(d))
    if d == 1:
        return equal
    # one feature moves by c, the others by (1 - c): the stationary points besides all equal
    root = np.sqrt(np.maximum(d * u**2 - (d - 1), 0))
    singles = [u, np.zeros_like(u), ((d - 1) + root) / d, ((d - 1) - root) / d]
    least = equal
    for c in singles:
        c = np.clip(c, 0, u)
        rest = np.sqrt(np.maximum(u**2 - c**2, 0) / (d - 1))
        least = np.minimum(least, log_left(c) + (d - 1) * log_left(rest))
    return least


def l0(noise: Cube, ball: Ball) -> TotalVariation:
    """The worst move within s units takes them across the whole range: 1, or the image's own box."""
    if ball.images is None:
        each = float(log_left(np.array(1 / noise.width))) * ball.unit_features
        return moved_cube(lambda s: np.where(s > 0, s, 1) * np.where(s > 0, each, 0.0), 1)
    losses = largest_sums(-log_left(ball.box_limits() / noise.width).sum(axis=2))
    return moved_cube(lambda s: -losses(s), 1)


@dataclass(frozen=True)
class Uniform(ProductNoise):
    """Noise uniform on `[-a, a]` for every feature, `a = sigma * sqrt(3)`."""

    name: ClassVar[str] = "uniform"
    mean_magnitude: ClassVar[float] = 0.5
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(l0, "exact", "overlap of cubes: Lee, Yuan, Chang & Jaakkola 2019; Yang et al. 2020"),
        "l1": Rule(l1, "exact", "overlap of cubes: Yang et al. 2020, Theorem for uniform noise"),
        "l2": Rule(l2, "exact", "overlap of cubes, least at all features equal but one"),
        "linf": Rule(linf, "exact", "overlap of cubes: Yang et al. 2020"),
    }

    @property
    def scale(self) -> float:
        return self.sigma * math.sqrt(3)

    @property
    def width(self) -> float:
        """`2 a`: the side of the cube."""
        return 2 * self.scale

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        return (source.uniform(shape) * 2 - 1) * self.scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return np.where(np.abs(z) <= 1, 0.0, -np.inf)

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        return 1 - tail
