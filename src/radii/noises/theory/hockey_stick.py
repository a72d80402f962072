"""The worst case of Laplace noise on many features at once, by composing privacy losses (docs/math/composition.md).

One feature moved by `t` scales (`t = delta / b`) has the loss `l = log dQ/dP`: under the midpoint measure,
proportional to `sqrt(dP dQ)`, it is `+t` and `-t` with equal masses and uniform in between. Losses of independent
features add. The hockey-stick curve of their sum,

    D(c) = E_Q[(1 - exp(c - loss))_+]   ,   c >= 0,

bounds every region: `lower(p)` is the largest over c of `1 - D(c) - exp(c) (1 - p)` and, since the noise is
symmetric, `exp(-c) (p - D(c))` (Dong, Roth & Su 2022). Any finite set of c gives a sound bound.

Losses are put on a grid of spacing `h` that holds both atoms. What lies between two grid points is split over
them so that its masses under P and under Q stay the same, which can only make the pair easier to tell apart
('connect the dots', Doroshenko, Ghazi, Kamath, Kumar & Manurangsi 2022). The characteristic function of a split
loss has a closed form, so one inverse Fourier transform yields the whole curve.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from radii.noises.theory.bisection import bisect_whole

# Losses farther than this many Hoeffding deviations from their mean are bounded, not summed.
REACH = 8.5
OUTSIDE = 2 * float(np.exp(-(REACH**2) / 2))
# Losses up to which exp(c) is finite.
LARGEST = 700.0
EPS = float(np.finfo(np.float64).eps)

# D and c at point numbers `(...)` of each element's own curve.
Curve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def lowest(curve: Curve, points: int | np.ndarray, p: np.ndarray, complement: np.ndarray) -> np.ndarray:
    """`lower(p)` from hockey-stick curves of `points` points, `complement = 1 - p`; arrays of one shape.

    The candidates form a concave sequence, from `c = -last` to `c = +last`, so its largest is found by bisection
    on the sign of the next step. Whatever is found is sound.
    """

    def bound(position: np.ndarray) -> np.ndarray:
        divergence, c = curve(np.abs(position))
        # where exp(c) would overflow, D <= 1 says all that can be said
        divergence, c = np.where(c > LARGEST, 1, divergence), np.minimum(c, LARGEST)
        return np.where(position < 0, np.exp(-c) * (p - divergence), 1 - divergence - np.exp(c) * complement)

    last = np.broadcast_to(np.asarray(points) - 1, p.shape)
    _, highest = bisect_whole(
        lambda here: bound(np.minimum(here + 1, last)) > bound(np.maximum(here, -last)), -last - 1, last
    )
    return np.clip(bound(highest), 0, 1)


@dataclass(frozen=True, eq=False)
class HockeyStick:
    """The curve `D(c)` of a composed loss at `c = 0, step, 2 step, ...`; `divergence`: `(points,)`.

    Guarantee: `divergence` is never below the exact curve.
    """

    step: float
    divergence: np.ndarray

    def lower(self, p: np.ndarray, complement: np.ndarray) -> np.ndarray:
        """Smallest probability after the move of a region of probability `p`; `complement` is `1 - p`."""
        return lowest(lambda j: (self.divergence[j], j * self.step), len(self.divergence), p, complement)


def each_lower(
    curves: Sequence[HockeyStick], which: np.ndarray, p: np.ndarray, complement: np.ndarray
) -> np.ndarray:
    """`HockeyStick.lower` of several curves at once: row i of `p` is about `curves[which[i]]`."""
    which = which.reshape(-1, *[1] * (p.ndim - 1))
    points = np.array([len(one.divergence) for one in curves])
    steps = np.array([one.step for one in curves])[which]
    starts = (np.cumsum(points) - points)[which]
    joined = np.concatenate([one.divergence for one in curves])
    return lowest(lambda j: (joined[starts + j], j * steps), points[which], p, complement)


def mean_loss(cells: np.ndarray, h: float) -> np.ndarray:
    """Mean under Q of the split loss of a feature that moves by `cells * h` scales."""
    return h * (cells + np.expm1(-cells * h) / (2 * np.sinh(h / 2)))


def log_characteristic(cells: int, h: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-modulus and angle of `E_Q exp(i phi loss / h)` of a split loss, `phi = 2 pi k / size`, `k <= size // 2`.

    The feature moves by `cells * h` scales. One minus the expectation is written in products, so that it is
    accurate to the last bits near 1, where a high power of the expectation is wanted.
    """
    k = np.arange(size // 2 + 1)
    move = cells * h
    # cells * phi, reduced exactly in whole numbers
    angle = 2 * np.pi * ((cells * k) % size) / size
    half_angle = np.pi * ((cells * k) % (2 * size)) / size
    half_phi = np.pi * k / size
    # exp(-move / 2) sinh(cells z) and sinh(z / 2), z = h / 2 + i phi
    sinh_cells = (-np.expm1(-move) * np.cos(angle) + 1j * (1 + np.exp(-move)) * np.sin(angle)) / 2
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


def loss_masses(h: float, cells: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Masses under Q of the composed loss at `0, h, 2h, ...`, where `times[i]` features move `cells[i] * h` scales.

    The window of the transform holds all but `OUTSIDE` of the mass.
    """
    deviation = np.sqrt(np.sum(times * cells.astype(float) ** 2))
    mean = np.sum(times * mean_loss(cells, h)) / h
    most = int(np.sum(times * cells))
    low = max(-most, int(np.floor(mean - REACH * deviation)))
    high = min(most, int(np.ceil(mean + REACH * deviation)))
    size = fast_size(high - low + 1)
    log_modulus, angle = np.zeros(size // 2 + 1), np.zeros(size // 2 + 1)
    for each, t in zip(cells, times, strict=True):
        one = log_characteristic(int(each), h, size)
        log_modulus, angle = log_modulus + t * one[0], angle + t * one[1]
    return masses_of(log_modulus, angle, size, high)


def masses_of(log_modulus: np.ndarray, angle: np.ndarray, size: int, high: int) -> np.ndarray:
    """Masses at the grid points 0 to `high` from a characteristic function, by a transform of length `size`.

    What lies outside the window that ends at `high` wraps into it, which only adds to the masses.
    """
    masses = np.fft.irfft(np.exp(log_modulus) * np.exp(-1j * angle), size)
    return np.maximum(masses[np.arange(high + 1) % size], 0)


def fast_size(n: int) -> int:
    """A length of at least `n` at which Fourier transforms are fast."""
    power = 1 << max(4, (n - 1).bit_length())
    return min(size for size in (power, power // 4 * 3, power // 8 * 5) if size >= n)


def summed(masses: np.ndarray, h: float, slack: float, stride: int, points: int | None) -> HockeyStick:
    """The curve of a loss with `masses` under Q at `0, h, 2h, ...`, raised by `slack` for all that is not in them.

    It is kept at every `stride`-th grid point, up to `points` of them: beyond the largest loss only the slack is
    left of it, beyond `LARGEST` it is bounded by 1.
    """
    loss = np.arange(len(masses))
    # reversed sums: mass above c under Q, and the same under P
    above = np.cumsum(masses[::-1])[::-1]
    above_p = np.cumsum((masses * np.exp(-loss * h))[::-1])[::-1]
    at = loss[: int(LARGEST / h) + 1 : stride][:points]
    divergence = np.maximum(above[at] - np.exp(at * h) * above_p[at], 0)
    if points is not None:
        beyond = 0.0 if at[-1] + stride > loss[-1] else 1.0
        divergence = np.concatenate([divergence, np.full(points - len(divergence), beyond)])
    return HockeyStick(stride * h, np.minimum(divergence + slack, 1))


def hockey_stick(
    h: float, cells: np.ndarray, times: np.ndarray, stride: int = 1, points: int | None = None
) -> HockeyStick:
    """Compose Laplace losses: `times[i]` features move by `cells[i] * h` scales each.

    The rounding allowed for is that of the transform and of a power `sum(times)` of the spectrum.
    """
    rounding = EPS * (128 + 64 * float(np.sqrt(np.sum(times))))
    return summed(loss_masses(h, cells, times), h, OUTSIDE + rounding, stride, points)
