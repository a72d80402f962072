"""Uniform noise: the volume of the overlap of two cubes decides (docs/math/rules.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from radii.noises.base import ProductNoise, Rule, Source
from radii.noises.norms import Ball, greedy_costs, largest_sums
from radii.noises.theory.tradeoffs import Map, TotalVariation


class Cube(Protocol):
    """Noise that reveals a change of one feature by `t` with probability `t / width`, independently over features."""

    @property
    def width(self) -> float: ...


def l1(noise: Cube, ball: Ball) -> TotalVariation:
    """Return the trade-offs of the worst perturbation: r on one feature, or the greedy one in the box."""
    width = noise.width
    if ball.images is None:
        return overlapping_cubes(lambda r: log_left(r / width), width / 2)
    # minus the log-overlap is a sum of convex costs of the changes, as the greedy argument needs
    losses = greedy_costs(ball.box_limits()[:, :, 0], lambda change: -log_left(change / width))
    return overlapping_cubes(lambda r: -losses(r), width / 2)


def linf(noise: Cube, ball: Ball) -> TotalVariation:
    """Return the trade-offs of the worst perturbation: r on every feature."""
    d, width = ball.features, noise.width
    return overlapping_cubes(lambda r: d * log_left(r / width), width / (2 * d))


def l2(noise: Cube, ball: Ball) -> TotalVariation:
    """Return the trade-offs of the worst perturbation: equal changes of all features, or of all but one."""
    d, width = ball.features, noise.width
    return overlapping_cubes(lambda r: log_overlap_l2(r / width, d), width / (2 * math.sqrt(d)))


def l0(noise: Cube, ball: Ball) -> TotalVariation:
    """Return the trade-offs of the worst perturbation: s units by the whole range, or as far as the box allows."""
    if ball.images is None:
        each = float(log_left(np.array(1 / noise.width))) * ball.unit_features
        # `each` can be minus infinity, which must not meet s = 0 in a product
        return overlapping_cubes(lambda s: np.where(s > 0, s, 1) * np.where(s > 0, each, 0.0), 1)
    losses = largest_sums(-log_left(ball.box_limits() / noise.width).sum(axis=2))
    return overlapping_cubes(lambda s: -losses(s), 1)


def overlapping_cubes(log_overlap: Map, start: float) -> TotalVariation:
    """Return the trade-offs of two cubes that overlap in the share V of their volume: the distance is `1 - V`."""
    # a power of thousands of features underflows, hence logarithms; expm1 keeps the digits of small distances
    return TotalVariation(lambda r: -np.expm1(log_overlap(r)), start)


def log_left(share: np.ndarray) -> np.ndarray:
    """Return `log(1 - share)`, minus infinity from share 1 on: how much of one side of the cube is left."""
    # `where` skips the shares at which log1p would warn
    return np.log1p(-share, where=share < 1, out=np.full(np.shape(share), -np.inf))


def log_overlap_l2(u: np.ndarray, d: int) -> np.ndarray:
    """Return the least log-overlap within l2 distance `u`, in sides of the cube (docs/math/rules.md).

    At the worst perturbation all features change by the same amount, or one changes by c and the others by m. The
    least is taken over all stationary points and both ends, c = 0 and c = u.
    """
    u = np.asarray(u, dtype=float)
    least = d * log_left(u / math.sqrt(d))
    if d == 1:
        return least
    # stationary with m = 1 - c: the roots of c^2 + (d - 1) (1 - c)^2 = u^2
    root = np.sqrt(np.maximum(d * u**2 - (d - 1), 0))
    for c in (u, np.zeros_like(u), ((d - 1) + root) / d, ((d - 1) - root) / d):
        # roots outside of [0, u] become its ends, which are tried anyway
        c = np.clip(c, 0, u)
        m = np.sqrt(np.maximum(u**2 - c**2, 0) / (d - 1))
        least = np.minimum(least, log_left(c) + (d - 1) * log_left(m))
    return least


@dataclass(frozen=True)
class Uniform(ProductNoise):
    """Uniform noise on `[-a, a]` for every feature, `a = sigma sqrt(3)`.

    Parameters
    ----------
    sigma : float
        Standard deviation of one feature, in image units.

    Notes
    -----
    Guarantee: tight in every norm (docs/math/rules.md).

    References
    ----------
    Lee, Yuan, Chang & Jaakkola 2019; Yang, Duan, Hu, Salman, Razenshteyn & Li 2020. l2: this package.

    Examples
    --------
    >>> import numpy as np, radii
    >>> radii.certified_radius(radii.Uniform(0.5), "l1", np.array([0.9, 0.99]), shape=(3, 32, 32)).round(3)
    array([0.693, 0.849])
    """

    name: ClassVar[str] = "uniform"
    mean_magnitude: ClassVar[float] = 0.5
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(l0, "tight", "overlap of cubes: Lee, Yuan, Chang & Jaakkola 2019; Yang et al. 2020"),
        "l1": Rule(l1, "tight", "overlap of cubes: Yang et al. 2020, Theorem for uniform noise"),
        "l2": Rule(l2, "tight", "overlap of cubes, least at all features equal but one"),
        "linf": Rule(linf, "tight", "overlap of cubes: Yang et al. 2020"),
    }

    @property
    def scale(self) -> float:
        return self.sigma * math.sqrt(3)

    @property
    def width(self) -> float:
        """Side `2 a` of the cube."""
        return 2 * self.scale

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        return (source.uniform(shape) * 2 - 1) * self.scale

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return np.where(np.abs(z) <= 1, 0.0, -np.inf)

    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        return 1 - tail
