"""Random flips of features with a finite alphabet: binary or grey images (docs/math/l0.md)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from radii.errors import InputError
from radii.noises.base import Noise, Rule, Source, check_number, fine_uniform
from radii.noises.norms import Ball
from radii.noises.theory.hockey_stick import EPS, HockeyStick
from radii.noises.theory.tradeoffs import ComplementaryTradeOffs, TradeOffs

# The probability of keeping a value is a multiple of 2^-24, as random float32 numbers are: it is sampled without
# error.
GRAIN = 2**24

# The share of each other value, selected by 48 random bits, is off by less than this, for each of the values.
UNEVEN = 2.0**-46


def l0(noise: "Flips", ball: Ball) -> TradeOffs:
    """Return the trade-offs of the worst perturbation: all features of s units change to other values."""
    return FlippedUnits(noise, ball.unit_features, ball.features)


@dataclass(frozen=True, eq=False)
class FlippedUnits(ComplementaryTradeOffs):
    """Trade-off functions of flips when s units of an image change all their features to other values."""

    noise: "Flips"
    unit_features: int
    features: int
    start: float = 1.0

    def smallest(self, p: np.ndarray, complement: np.ndarray, r: np.ndarray) -> np.ndarray:
        p, complement, s = np.broadcast_arrays(p, complement, r)
        result = np.array(p, dtype=float)
        # probabilities under the sampled distribution and the ideal one differ by at most this relative share
        share = self.features * self.noise.values * UNEVEN
        for units in np.unique(s[s > 0]):
            at = s == units
            changed = min(int(units) * self.unit_features, self.features)
            curve = flip_curve(self.noise.keep, self.noise.values, changed)
            result[at] = curve.lower(p[at] * (1 - share), complement[at] * (1 + share)) * (1 - share)
        return result


@lru_cache(maxsize=4096)
def flip_curve(keep: float, values: int, features: int) -> HockeyStick:
    """Return the curve of `features` changed features, tight but for rounding upwards.

    The privacy loss is `log(keep / other)` times M, how often the new values are shown minus how often the old ones
    are.
    """
    other = (1 - keep) / (values - 1)
    # under Q, probabilities of M = -features, ..., features; mirrored, they are those under P
    masses = convolution_power(np.array([other, (values - 2) * other, keep]), features)
    # D is piecewise linear in exp(c) with corners at these c alone, so the best bound over them is tight
    step = np.log(keep / other)
    at = np.arange(features + 1)
    # E_Q (1 - exp(c - loss))_+ at c = 0, step, ..., features * step: the corners of the curve
    above, above_p = (
        np.cumsum(part[::-1])[::-1] for part in (masses[features:], masses[: features + 1][::-1])
    )
    with np.errstate(over="ignore", invalid="ignore"):
        weight = np.exp(at * step)
        divergence = above - weight * above_p
        # each of the convolutions adds rounding: 1.6e-14 for 300 features of two values, where this allows 5e-13
        error = EPS * (64 + 8 * features) * (above + weight * above_p)
    # where exp(c) overflows, D is bounded by 1
    return HockeyStick(float(step), np.where(np.isfinite(error), np.clip(divergence + error, 0, 1), 1))


def convolution_power(masses: np.ndarray, times: int) -> np.ndarray:
    """Return the distribution of a sum of `times` independent variables, by repeated squaring."""
    result, square = np.ones(1), masses
    while times:
        if times & 1:
            result = np.convolve(result, square)
        square, times = np.convolve(square, square) if times > 1 else square, times >> 1
    return result


@dataclass(frozen=True)
class Flips(Noise):
    """Random flips: a feature keeps its value with probability `keep`, or takes one of the others, all equally likely.

    Features are first rounded to `values` grey levels, equally spaced in [0, 1].

    Parameters
    ----------
    keep : float
        Probability of keeping the value, above `1 / values` and below 1; it is rounded to a multiple of `2**-24`.
    values : int
        Number of grey levels, from 2 to 256.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    Guarantee: tight in l0 (docs/math/l0.md).

    References
    ----------
    Lee, Yuan, Chang & Jaakkola 2019.

    Examples
    --------
    >>> import numpy as np, radii
    >>> radii.certified_radius(radii.Flips(0.8), "l0", np.array([0.9, 0.99]), shape=(1, 28, 28))
    array([1., 2.])
    """

    keep: float
    values: int = 2
    name: ClassVar[str] = "flips"
    typical: ClassVar[dict[str, float]] = {"keep": 0.8}
    rules: ClassVar[dict[str, Rule]] = {"l0": Rule(l0, "tight", "Lee, Yuan, Chang & Jaakkola 2019")}

    def __post_init__(self) -> None:
        if isinstance(self.values, bool) or not isinstance(self.values, int) or not 2 <= self.values <= 256:
            raise InputError(f"values must be a number of grey levels, 2 to 256; got {self.values!r}")
        keep = round(check_number("keep", self.keep, 0, 1) * GRAIN) / GRAIN
        if not 1 / self.values < keep < 1:
            raise InputError(
                f"keep must be above 1 / {self.values}, the share of each value, and below 1; got {self.keep!r}"
            )
        object.__setattr__(self, "keep", keep)

    def log_likelihood(self, noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
        level = (image * (self.values - 1) + 0.5) // 1
        # all other values are equally likely, so only the number of kept features counts
        kept = (np.rint(noisy * (self.values - 1)) == level).reshape(len(noisy), -1).sum(axis=1)
        return kept * np.log(self.keep * (self.values - 1) / (1 - self.keep))

    def perturb(self, images: Any, source: Source) -> Any:
        shape, most = tuple(images.shape), self.values - 1
        level = (images * most + 0.5) // 1
        kept = source.uniform(shape) < self.keep
        # 1 to `most` levels upwards, modulo the number of levels: any value but the old one;
        # the clip is for tensors, where `fine_uniform` can round up to 1
        other = (level + 1 + (fine_uniform(source, shape) * most // 1).clip(0, most - 1)) % self.values
        noisy = level * kept + other * ~kept
        return (noisy.astype(np.float32) if isinstance(noisy, np.ndarray) else noisy) / most
