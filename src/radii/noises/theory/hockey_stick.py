"""Laplace noise on many features: hockey-stick curves of composed privacy losses (docs/math/composition.md).

A feature shifted by `t` scales (`t = delta / b`) has the privacy loss `l = log dQ/dP`. Under the midpoint measure,
proportional to `sqrt(dP dQ)`, it has equal atoms at `+t` and `-t` and is uniform in between. Losses of independent
features add. The hockey-stick curve of their sum,

    D(c) = E_Q[(1 - exp(c - loss))_+]   ,   c >= 0,

bounds every region: `lower(p)` is the maximum over c of `1 - D(c) - exp(c) (1 - p)` and, since the noise is
symmetric, of `exp(-c) (p - D(c))` (Dong, Roth & Su 2022). Any finite set of c gives a sound bound.

Losses are put on a grid of spacing `h` that contains both atoms. Mass between two grid points is split over them such
that its mass under P and under Q is preserved, which only makes the pair easier to distinguish ('connect the dots',
Doroshenko, Ghazi, Kamath, Kumar & Manurangsi 2022). The characteristic function of a split loss has a closed form, so
one inverse Fourier transform yields the whole curve.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from radii.noises.theory.bisection import bisect_whole

EPS = float(np.finfo(np.float64).eps)

# Half-width of the window of the transform, in Hoeffding deviations `sqrt(sum t_i^2)` of the loss. Hoeffding's bound on
# the mass beyond one end is then 2e-16, the size of a rounding error; it is added to the curve, twice.
REACH = 8.5
OUTSIDE = 2 * float(np.exp(-(REACH**2) / 2))

# The largest c at which a curve is evaluated: exp(c) overflows float64 from 709.8 on.
LARGEST = 700.0

Curve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""D and c at point numbers `(...)`, each number counting along the curve of its own element."""


@dataclass(frozen=True, eq=False)
class HockeyStick:
    """The curve `D(c)` of a composed loss at `c = 0, step, 2 step, ...`; `divergence`: `(points,)`.

    Guarantee: `divergence` is never below the true curve.
    """

    step: float
    divergence: np.ndarray

    def lower(self, p: np.ndarray, complement: np.ndarray) -> np.ndarray:
        """Return the smallest probability under Q of a region of probability `p`; `complement` is `1 - p`."""
        return lower_of_curve(
            lambda j: (self.divergence[j], j * self.step), len(self.divergence), p, complement
        )


def hockey_stick(
    h: float, cells: np.ndarray, times: np.ndarray, stride: int = 1, points: int | None = None
) -> HockeyStick:
    """Return the curve of Laplace noise when `times[i]` features are shifted by `cells[i] * h` scales each.

    It is kept at every `stride`-th grid point, up to `points` of them.
    """
    # bounds the rounding of the transform and of the power `sum(times)` of the spectrum (docs/math/composition.md)
    rounding = EPS * (128 + 64 * float(np.sqrt(np.sum(times))))
    return curve_of_masses(composed_masses(h, cells, times), h, OUTSIDE + rounding, stride, points)


def lower_of_curve(
    curve: Curve, points: int | np.ndarray, p: np.ndarray, complement: np.ndarray
) -> np.ndarray:
    """Return `lower(p)` from curves of `points` points each, with `complement = 1 - p`; arrays of one shape.

    Each grid point gives two bounds, for c and for -c. In the order of c they form a concave sequence, so bisection on
    the sign of the next difference finds the largest. Every bound is sound, so an inexact maximum is sound, too.
    """

    def bound(position: np.ndarray) -> np.ndarray:
        divergence, c = curve(np.abs(position))
        # where exp(c) would overflow, D <= 1 is the only bound left
        divergence, c = np.where(c > LARGEST, 1, divergence), np.minimum(c, LARGEST)
        return np.where(position < 0, np.exp(-c) * (p - divergence), 1 - divergence - np.exp(c) * complement)

    last = np.broadcast_to(np.asarray(points) - 1, p.shape)
    _, best = bisect_whole(
        lambda j: bound(np.minimum(j + 1, last)) > bound(np.maximum(j, -last)), -last - 1, last
    )
    return np.clip(bound(best), 0, 1)


def lower_of_curves(
    curves: Sequence[HockeyStick], which: np.ndarray, p: np.ndarray, complement: np.ndarray
) -> np.ndarray:
    """Return `HockeyStick.lower` with a curve for each row: row i of `p` belongs to `curves[which[i]]`."""
    which = which.reshape(-1, *[1] * (p.ndim - 1))
    points = np.array([len(curve.divergence) for curve in curves])
    steps = np.array([curve.step for curve in curves])[which]
    starts = (np.cumsum(points) - points)[which]
    # one array for all curves, so that one bisection serves every image
    joined = np.concatenate([curve.divergence for curve in curves])
    return lower_of_curve(lambda j: (joined[starts + j], j * steps), points[which], p, complement)


def composed_masses(h: float, cells: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the masses under Q of the composed loss at `0, h, 2h, ...`, arguments as in `hockey_stick`.

    The window of the transform misses a mass of at most `OUTSIDE`.
    """
    deviation = np.sqrt(np.sum(times * cells.astype(float) ** 2))
    mean = np.sum(times * mean_loss(cells, h)) / h
    most = int(np.sum(times * cells))
    # no window is wider than the support, outside of which there is no mass to miss
    low = max(-most, int(np.floor(mean - REACH * deviation)))
    high = min(most, int(np.ceil(mean + REACH * deviation)))
    size = fast_size(high - low + 1)
    log_modulus, angle = np.zeros(size // 2 + 1), np.zeros(size // 2 + 1)
    for shift, count in zip(cells, times, strict=True):
        of_feature = log_characteristic(int(shift), h, size)
        # logarithms, since powers of thousands underflow
        log_modulus, angle = log_modulus + count * of_feature[0], angle + count * of_feature[1]
    return invert(log_modulus, angle, size, high)


def mean_loss(cells: np.ndarray, h: float) -> np.ndarray:
    """Return the mean under Q of the split loss of a feature shifted by `cells * h` scales."""
    return h * (cells + np.expm1(-cells * h) / (2 * np.sinh(h / 2)))


def log_characteristic(cells: int, h: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return log-modulus and angle of `E_Q exp(i phi loss / h)` at `phi = 2 pi k / size`, `k <= size // 2`.

    The loss is the split loss of a feature shifted by `cells * h` scales. One minus the expectation is computed as a
    sum of products without cancellation: it stays accurate where the expectation is nearly 1, and the expectation is
    then raised to a power of thousands.
    """
    k = np.arange(size // 2 + 1)
    shift = cells * h
    # cells * phi modulo 2 pi, reduced in whole numbers, which is exact
    angle = 2 * np.pi * ((cells * k) % size) / size
    half_angle = np.pi * ((cells * k) % (2 * size)) / size
    half_phi = np.pi * k / size
    # exp(-shift / 2) sinh(cells z) and sinh(z / 2), z = h / 2 + i phi
    sinh_cells = (-np.expm1(-shift) * np.cos(angle) + 1j * (1 + np.exp(-shift)) * np.sin(angle)) / 2
    sinh_half = np.sinh(h / 4) * np.cos(half_phi) + 1j * np.cosh(h / 4) * np.sin(half_phi)
    excess = 1j * (
        2 * np.sin(half_angle) * np.exp(1j * half_angle)
        - sinh_cells * np.sin(half_phi) / (np.cosh(h / 4) * sinh_half)
    )
    square = 2 * excess.real + excess.real**2 + excess.imag**2
    modulus = np.hypot(1 + excess.real, excess.imag)
    with np.errstate(divide="ignore"):
        # log1p keeps the digits of a modulus near 1, log those of one near 0
        log_modulus = np.where(square > -0.5, np.log1p(np.maximum(square, -0.5)) / 2, np.log(modulus))
    return log_modulus, np.arctan2(excess.imag, 1 + excess.real)


def invert(log_modulus: np.ndarray, angle: np.ndarray, size: int, high: int) -> np.ndarray:
    """Return the masses at grid points 0 to `high` from a characteristic function, by a transform of length `size`.

    Mass outside the window that ends at `high` wraps into it, which only adds to the masses.
    """
    masses = np.fft.irfft(np.exp(log_modulus) * np.exp(-1j * angle), size)
    return np.maximum(masses[np.arange(high + 1) % size], 0)


def fast_size(n: int) -> int:
    """Return a length of at least `n` whose only prime factors are 2, 3 and 5, at which Fourier transforms are fast."""
    # a window of prime length 65537 took 21 times as long as one of 81920
    power = 1 << max(4, (n - 1).bit_length())
    return min(size for size in (power, power // 4 * 3, power // 8 * 5) if size >= n)


def curve_of_masses(
    masses: np.ndarray, h: float, slack: float, stride: int, points: int | None
) -> HockeyStick:
    """Return the curve of a loss with `masses` under Q at `0, h, 2h, ...`, plus `slack` for all that they miss.

    It is kept at every `stride`-th grid point, up to `points` of them. Beyond the largest loss the curve is the slack
    alone; beyond c = `LARGEST` it is bounded by 1.
    """
    loss = np.arange(len(masses))
    # masses above c under Q and under P, summed from the far end, where masses are smallest
    above = np.cumsum(masses[::-1])[::-1]
    above_p = np.cumsum((masses * np.exp(-loss * h))[::-1])[::-1]
    kept = loss[: int(LARGEST / h) + 1 : stride][:points]
    divergence = np.maximum(above[kept] - np.exp(kept * h) * above_p[kept], 0)
    if points is not None:
        beyond = 0.0 if kept[-1] + stride > loss[-1] else 1.0
        divergence = np.concatenate([divergence, np.full(points - len(divergence), beyond)])
    return HockeyStick(stride * h, np.minimum(divergence + slack, 1))
