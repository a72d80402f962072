"""Any symmetric log-concave noise on many features: privacy losses on a grid, composed (docs/math/product-noises.md).

The privacy loss `l = log dQ/dP` of a feature shifted by t is monotone along the line. The line is cut where the loss
passes the points of a grid. The mass of each cell is put on its two ends such that its mass under P and under Q is
preserved, which only makes the pair easier to distinguish ('connect the dots', Doroshenko, Ghazi, Kamath, Kumar &
Manurangsi 2022). Mass below the grid is put on its lower end, mass above it at infinity.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radii.noises.theory.densities import Density
from radii.noises.theory.hockey_stick import EPS, LARGEST, HockeyStick, curve_of_masses, fast_size, invert
from radii.noises.theory.product import LAST_POINT, POINT_STEP

# Spacing of the grid in standard deviations of one loss, and its upper limit. Splitting adds to the variance of a
# loss, by which the radius loses a relative 8.1e-5.
FINENESS = 1 / 32
COARSEST = 0.02

# The noise of one feature farther out than this probability, 1e-20, counts as an infinite loss.
TAIL = 1e-20
# exp(-NEGLIGIBLE), 2e-35, is nothing beside 1.
NEGLIGIBLE = 80.0
# The window of the transform loses a mass of at most exp(-OUTSIDE), 2e-16, at each end.
OUTSIDE = 36.0
# More than the rounding error in D, for each feature, of masses, transform and power (docs/math/product-noises.md).
ROUNDING = 512 * EPS


@dataclass(frozen=True)
class DensityLoss:
    """The privacy loss of any symmetric log-concave density: a `PrivacyLoss` of `radii.noises.theory.product`."""

    density: Density

    @property
    def information(self) -> float:
        return self.density.information

    def widest(self, shift: float) -> float:
        """Return the largest spacing of the grid for features shifted by at most `shift`."""
        return min(shift * math.sqrt(self.information) * FINENESS, COARSEST)

    def grid(self, features: int) -> tuple[float, int]:
        return POINT_STEP, math.floor(LAST_POINT / POINT_STEP + 1e-9) + 1

    def compose_equal(self, shift: float, features: int, step: float, points: int) -> np.ndarray:
        stride = math.ceil(step / self.widest(shift))
        # a loss above this is as good as infinite: c ends at 7.5 standard deviations of the total, and the other
        # losses hardly take back more than ten
        cap = min(NEGLIGIBLE + 20 * shift * math.sqrt(self.information * features), LARGEST)
        loss = split_loss(self.density, shift, step / stride, cap)
        return composed([(loss, features)], stride, points).divergence

    def compose_levels(self, step: float, levels: tuple[int, ...], times: tuple[int, ...]) -> HockeyStick:
        h = self.widest(step * max(levels))
        losses = [cached_split_loss(self.density, step * level, h) for level in levels]
        return composed(list(zip(losses, times, strict=True)))


@dataclass(frozen=True, eq=False)
class SplitLoss:
    """The loss of one feature on the grid `h j`, `-n <= j <= n`; `masses`, `(2n + 1,)`, are those under Q.

    `infinite` is the mass at infinity; `missed` bounds how far a loss lies outside the cell that it was split over.
    """

    h: float
    masses: np.ndarray
    infinite: float
    missed: float

    @property
    def last(self) -> int:
        """Index n of the last grid point."""
        return len(self.masses) // 2

    @property
    def losses(self) -> np.ndarray:
        """The grid points, `(2n + 1,)`."""
        return self.h * np.arange(-self.last, self.last + 1)

    def log_mean(self, power: float) -> float:
        """Return `log E_Q exp(power * loss)` over finite losses."""
        exponent = np.where(self.masses > 0, power * self.losses, -np.inf)
        # the largest exponent is taken out: exp overflows at losses of 700 and powers above 1
        most = exponent.max()
        return float(most + np.log(np.sum(self.masses * np.exp(exponent - most))))

    def variance(self) -> float:
        """Return the variance of the finite losses, at least `h^2`, to choose the powers of Chernoff bounds."""
        share = self.masses / self.masses.sum()
        mean = float(share @ self.losses)
        return max(float(share @ (self.losses - mean) ** 2), self.h**2)


def split_loss(density: Density, shift: float, h: float, cap: float = LARGEST) -> SplitLoss:
    """Return the loss of one feature shifted by `shift` scales, split over the grid `h j`; infinite above `cap`."""
    u, missed = crossings(density, shift, h, cap)
    n = len(u) - 1
    near, far = density.tail(np.abs(u - shift / 2)) / 2, density.tail(u + shift / 2) / 2
    # Q's mass beyond u, and P's in `far`
    above = np.where(u < shift / 2, 1 - near, near)
    # masses of the cells from u[i] to u[i + 1] under Q and P; on the other side of the midpoint they are exchanged
    q_above, p_above = above[:-1] - above[1:], far[:-1] - far[1:]
    q, p = np.concatenate([p_above[::-1], q_above]), np.concatenate([q_above[::-1], p_above])
    left = h * np.arange(-n, n)
    # the part of a cell's mass for its upper end that preserves both masses
    up = np.clip((q - p * np.exp(left)) / -np.expm1(-h), 0, q)
    masses = np.zeros(2 * n + 1)
    masses[:-1] = q - up
    masses[1:] += up
    masses[0] += far[-1]
    return SplitLoss(h, masses, float(above[-1]), missed)


# shifts by the full range of a feature, and by common parts of it, recur from image to image
cached_split_loss = lru_cache(maxsize=128)(split_loss)


def crossings(density: Density, shift: float, h: float, cap: float) -> tuple[np.ndarray, float]:
    """Return distances from the midpoint at which the loss passes `0, h, 2h, ...`, and the largest error of a loss.

    The last point is where the noise ends up to `TAIL`, or where the loss passes `cap`.
    """
    end = float(density.tail_quantile(np.array(TAIL))) + shift / 2
    # dense enough for Newton's method to start near: 3 or 4 steps from exponent 4 on, 5 to 10 from 17 points. Near
    # exponent 1, where the score has an infinite slope at the mode, it takes up to 45, from more points hardly fewer.
    dense = end * np.linspace(0, 1, 513)
    losses = np.maximum.accumulate(np.minimum(density.loss(dense, shift), 2 * cap))
    n = max(int(np.ceil(min(losses[-1], cap) / h)), 1)
    wanted = h * np.arange(n)
    right = np.clip(np.searchsorted(losses, wanted, side="right"), 1, len(dense) - 1)
    low, high = dense[right - 1], dense[right]
    u = np.interp(wanted, losses, dense)
    # Newton's method within brackets. Soundness does not rest on its convergence: the remaining error is measured.
    for _ in range(60):
        error = density.loss(u, shift) - wanted
        low, high = np.where(error <= 0, u, low), np.where(error >= 0, u, high)
        slope = density.score(u + shift / 2) - density.score(u - shift / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = u - error / slope
        improved = np.where((step >= low) & (step <= high), step, (low + high) / 2)
        converged = np.max(np.abs(improved - u)) <= 4 * EPS * end
        u = improved
        if converged:
            break
    missed = float(np.max(np.abs(density.loss(u, shift) - wanted)))
    return np.append(u, max(u[-1], dense[losses <= n * h][-1])), missed


Parts = Sequence[tuple[SplitLoss, int]]
"""Losses on one grid, and how many features have each."""


def composed(parts: Parts, stride: int = 1, points: int | None = None) -> HockeyStick:
    """Return the curve of the sum of independent losses, at every `stride`-th grid point, up to `points` of them."""
    h = parts[0][0].h
    trivial = HockeyStick(stride * h, np.ones(points or 1))
    if not all(loss.masses.any() for loss, _ in parts):
        return trivial
    low, high = window(parts)
    if low * h > LARGEST:
        return trivial
    size = fast_size(high - low + 1)
    log_modulus, angle = np.zeros(size // 2 + 1), np.zeros(size // 2 + 1)
    for loss, times in parts:
        at = np.arange(-loss.last, loss.last + 1) % size
        spectrum = np.fft.rfft(np.bincount(at, loss.masses, minlength=size))
        with np.errstate(divide="ignore"):
            log_modulus += times * np.log(np.abs(spectrum))
        angle -= times * np.angle(spectrum)
    features = sum(times for _, times in parts)
    infinite = -np.expm1(sum(times * np.log1p(-loss.infinite) for loss, times in parts))
    # losses outside of their cells by `missed` change D by at most `(2 + 2 h) missed` for each feature
    missed = 3 * sum(times * loss.missed for loss, times in parts)
    slack = float(infinite) + missed + 2 * np.exp(-OUTSIDE) + ROUNDING * features
    return curve_of_masses(invert(log_modulus, angle, size, high), h, slack, stride, points)


def window(parts: Parts) -> tuple[int, int]:
    """Return the grid points beyond which the composed loss has a mass of at most `exp(-OUTSIDE)`, on either side.

    Chernoff's bound holds for every power; the least bound of a few around the best power of a normal loss is taken.
    """
    deviation = np.sqrt(sum(times * loss.variance() for loss, times in parts))
    ends = []
    for sign in (1, -1):
        # for many features the normal power is the best; for ten, the others halve the window
        powers = sign * np.sqrt(2 * OUTSIDE) / deviation * 2.0 ** np.arange(-3, 3)
        bounds = [(sum(t * loss.log_mean(x) for loss, t in parts) + OUTSIDE) / x for x in powers]
        ends.append(sign * min(sign * bound for bound in bounds) / parts[0][0].h)
    most = sum(loss.last * times for loss, times in parts)
    return max(-most, int(np.floor(ends[1]))), min(most, max(int(np.ceil(ends[0])), 0))
