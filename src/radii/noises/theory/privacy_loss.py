"""The worst case of any symmetric log-concave noise on many features: privacy losses on a grid, composed.

One feature moved by t has the loss `l = log dQ/dP`, which rises from one end of the line to the other. It is cut
where it passes the points of a grid, and the masses P and Q of each cell are put on its two ends so that both stay
what they were, which can only make the pair easier to tell apart ('connect the dots', Doroshenko, Ghazi, Kamath,
Kumar & Manurangsi 2022). What lies beyond the grid is put at its lower end and at infinity. Proofs, and what each
rounding costs: docs/math/product-noises.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radii.noises.theory.densities import Density
from radii.noises.theory.hockey_stick import EPS, LARGEST, HockeyStick, curve_of_masses, fast_size, invert
from radii.noises.theory.product import LAST_POINT, POINT_STEP

FINENESS = 1 / 32
"""Spacing of the grid, in deviations of one loss."""

COARSEST = 0.02
"""The largest spacing of the grid."""

NEGLIGIBLE = 80.0
"""`exp` of minus this is nothing."""

TAIL = 1e-20
"""Of the noise of one feature: what lies farther out counts as an infinite loss."""
OUTSIDE = 36.0
"""Minus the logarithm of the mass on each side of the window of the transform, at most."""
ROUNDING = 512 * EPS
"""More than the error in D for each feature: of its masses, of the transform and of the power."""


@dataclass(frozen=True, eq=False)
class SplitLoss:
    """One feature's loss on the grid `h j`, `-n <= j <= n`; `masses`: `(2n + 1,)`, under Q.

    `infinite` is the mass at infinity; `missed` bounds how far a loss lies outside the cell that it was split over.
    """

    h: float
    masses: np.ndarray
    infinite: float
    missed: float

    @property
    def last(self) -> int:
        return len(self.masses) // 2

    @property
    def losses(self) -> np.ndarray:
        return self.h * np.arange(-self.last, self.last + 1)

    def log_mean(self, power: float) -> float:
        """`log E_Q exp(power * loss)` over finite losses."""
        exponent = np.where(self.masses > 0, power * self.losses, -np.inf)
        most = exponent.max()
        return float(most + np.log(np.sum(self.masses * np.exp(exponent - most))))


def crossings(density: Density, move: float, h: float, cap: float) -> tuple[np.ndarray, float]:
    """Where the loss passes `0, h, 2h, ...`, as distances from the midpoint, and the largest error in these losses.

    The last one is where the noise ends for this purpose, or where the loss passes `cap`.
    """
    end = float(density.tail_quantile(np.array(TAIL))) + move / 2
    dense = end * np.linspace(0, 1, 513)
    seen = np.maximum.accumulate(np.minimum(density.loss(dense, move), 2 * cap))
    n = max(int(np.ceil(min(seen[-1], cap) / h)), 1)
    wanted = h * np.arange(n)
    right = np.clip(np.searchsorted(seen, wanted, side="right"), 1, len(dense) - 1)
    low, high = dense[right - 1], dense[right]
    u = np.interp(wanted, seen, dense)
    # Newton's method within brackets; what it leaves is measured, so that soundness does not rest on it
    for _ in range(60):
        above = density.loss(u, move) - wanted
        low, high = np.where(above <= 0, u, low), np.where(above >= 0, u, high)
        slope = density.score(u + move / 2) - density.score(u - move / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = u - above / slope
        moved = np.where((step >= low) & (step <= high), step, (low + high) / 2)
        done = np.max(np.abs(moved - u)) <= 4 * EPS * end
        u = moved
        if done:
            break
    missed = float(np.max(np.abs(density.loss(u, move) - wanted)))
    return np.append(u, max(u[-1], dense[seen <= n * h][-1])), missed


def split_loss(density: Density, move: float, h: float, cap: float = LARGEST) -> SplitLoss:
    """The loss of one feature that moves by `move` scales, split over a grid of spacing `h`; above `cap`, infinite."""
    u, missed = crossings(density, move, h, cap)
    n = len(u) - 1
    near, far = density.tail(np.abs(u - move / 2)) / 2, density.tail(u + move / 2) / 2
    # probability from u[i] to u[i + 1] beyond the midpoint: of the moved noise, and of the noise that stayed
    above = np.where(u < move / 2, 1 - near, near)
    moved = above[:-1] - above[1:]
    stayed = far[:-1] - far[1:]
    # on the other side of the midpoint the two change places
    q, p = np.concatenate([stayed[::-1], moved]), np.concatenate([moved[::-1], stayed])
    left = h * np.arange(-n, n)
    up = np.clip((q - p * np.exp(left)) / -np.expm1(-h), 0, q)
    masses = np.zeros(2 * n + 1)
    masses[:-1] = q - up
    masses[1:] += up
    masses[0] += far[-1]
    return SplitLoss(h, masses, float(above[-1]), missed)


# the full range of a feature, and parts of it, meet again from image to image
known_loss = lru_cache(maxsize=128)(split_loss)

Parts = Sequence[tuple[SplitLoss, int]]
"""Losses on one grid, and how many features have each."""


def window(parts: Parts) -> tuple[int, int]:
    """Grid points beyond which the composed loss has at most `exp(-OUTSIDE)` of its mass, on each side (Chernoff)."""
    deviation = np.sqrt(sum(times * spread(loss) for loss, times in parts))
    ends = []
    for sign in (1, -1):
        powers = sign * np.sqrt(2 * OUTSIDE) / deviation * 2.0 ** np.arange(-3, 3)
        bounds = [(sum(t * loss.log_mean(x) for loss, t in parts) + OUTSIDE) / x for x in powers]
        ends.append(sign * min(sign * bound for bound in bounds) / parts[0][0].h)
    most = sum(loss.last * times for loss, times in parts)
    return max(-most, int(np.floor(ends[1]))), min(most, max(int(np.ceil(ends[0])), 0))


def spread(loss: SplitLoss) -> float:
    """Variance of the finite losses of one feature, for the choice of powers."""
    share = loss.masses / loss.masses.sum()
    mean = float(share @ loss.losses)
    return max(float(share @ (loss.losses - mean) ** 2), loss.h**2)


def composed(parts: Parts, stride: int = 1, points: int | None = None) -> HockeyStick:
    """The curve of the sum of independent losses, kept at every `stride`-th grid point, up to `points` of them."""
    h = parts[0][0].h
    everywhere_one = HockeyStick(stride * h, np.ones(points or 1))
    if not all(loss.masses.any() for loss, _ in parts):
        return everywhere_one
    low, high = window(parts)
    if low * h > LARGEST:
        return everywhere_one
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
    missed = 3 * sum(times * loss.missed for loss, times in parts)
    slack = float(infinite) + missed + 2 * np.exp(-OUTSIDE) + ROUNDING * features
    return curve_of_masses(invert(log_modulus, angle, size, high), h, slack, stride, points)


@dataclass(frozen=True)
class DensityLoss:
    """Noise of any symmetric log-concave density, as the tables of `radii.noises.theory.product` want it."""

    density: Density

    @property
    def information(self) -> float:
        return self.density.information

    def widest(self, move: float) -> float:
        """Spacing of the grid: small against the deviation of one loss, and against what bends `exp`."""
        return min(move * math.sqrt(self.information) * FINENESS, COARSEST)

    def grid(self, features: int) -> tuple[float, int]:
        return POINT_STEP, math.floor(LAST_POINT / POINT_STEP + 1e-9) + 1

    def alike(self, move: float, features: int, step: float, points: int) -> np.ndarray:
        stride = math.ceil(step / self.widest(move))
        # c ends at LAST_POINT deviations, and the other losses hardly take more than ten back
        cap = min(NEGLIGIBLE + 20 * move * math.sqrt(self.information * features), LARGEST)
        loss = split_loss(self.density, move, step / stride, cap)
        return composed([(loss, features)], stride, points).divergence

    def apart(self, step: float, levels: tuple[int, ...], times: tuple[int, ...]) -> HockeyStick:
        h = self.widest(step * max(levels))
        losses = [known_loss(self.density, step * level, h) for level in levels]
        return composed(list(zip(losses, times, strict=True)))
