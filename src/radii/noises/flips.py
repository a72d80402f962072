"""Random flips of features of a finite alphabet: binary or grey images (docs/math/l0.md)."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from radii.errors import InputError
from radii.noises.base import Noise, Rule, Source, check_number, fine_uniform
from radii.noises.norms import Ball
from radii.noises.theory.hockey_stick import EPS, HockeyStick
from radii.noises.theory.tradeoffs import TradeOffs

GRAIN = 2**24
"""The probability to keep a value is a multiple of its inverse, and so drawn exactly."""

UNEVEN = 2.0**-46
"""More than the share of a value among all others, drawn from 48 bits, can be off, for each of them."""


@lru_cache(maxsize=4096)
def flipped(keep: float, values: int, features: int) -> HockeyStick:
    """The worst case of `features` changed features: exact, but for rounding upwards."""
    other = (1 - keep) / (values - 1)
    one = np.array([other, (values - 2) * other, keep])
    masses = power(
        one, features
    )  # under Q, of the number of new values shown minus that of old ones, from -s to s
    step = np.log(keep / other)
    upper = masses[features:]
    at = np.arange(features + 1)
    # E_Q (1 - exp(c - loss))_+ at c = 0, step, ..., s step; the same masses, mirrored, are those under P
    above, above_p = (np.cumsum(part[::-1])[::-1] for part in (upper, masses[: features + 1][::-1]))
    with np.errstate(over="ignore", invalid="ignore"):
        weight = np.exp(at * step)
        divergence = above - weight * above_p
        error = EPS * (64 + 8 * features) * (above + weight * above_p)
    return HockeyStick(float(step), np.where(np.isfinite(error), np.clip(divergence + error, 0, 1), 1))


def power(one: np.ndarray, times: int) -> np.ndarray:
    """The law of a sum of `times` independent numbers, each of law `one`."""
    result, square = np.ones(1), one
    while times:
        if times & 1:
            result = np.convolve(result, square)
        square, times = np.convolve(square, square) if times > 1 else square, times >> 1
    return result


@dataclass(frozen=True, eq=False)
class FlippedUnits(TradeOffs):
    """s units of an image change, all their features to other values."""

    noise: "Flips"
    unit_features: int
    features: int
    start: float = 1.0

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.smallest(p, 1 - p, r)

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return 1 - self.smallest(1 - p, p, r)

    def smallest(self, p: np.ndarray, complement: np.ndarray, s: np.ndarray) -> np.ndarray:
        """`lower(p, s)` with `complement = 1 - p`; arrays that broadcast, `s` of whole numbers."""
        p, complement, s = np.broadcast_arrays(p, complement, s)
        result = np.array(p, dtype=float)
        # the law that is drawn and the law itself give no set of outcomes more than this share more or less
        share = self.features * self.noise.values * UNEVEN
        for units in np.unique(s[s > 0]):
            at = s == units
            changed = min(int(units) * self.unit_features, self.features)
            curve = flipped(self.noise.keep, self.noise.values, changed)
            result[at] = curve.lower(p[at] * (1 - share), complement[at] * (1 + share)) * (1 - share)
        return result


def l0(noise: "Flips", ball: Ball) -> TradeOffs:
    """A changed feature shows the new value as often as it showed the old one before."""
    return FlippedUnits(noise, ball.unit_features, ball.features)


@dataclass(frozen=True)
class Flips(Noise):
    """Every feature, rounded to one of `values` grey levels, keeps it with probability `keep`.

    Else it becomes one of the others, all equally likely. `keep` is rounded to a multiple of `2**-24`.
    """

    keep: float
    values: int = 2
    name: ClassVar[str] = "flips"
    typical: ClassVar[dict[str, float]] = {"keep": 0.8}
    rules: ClassVar[dict[str, Rule]] = {"l0": Rule(l0, "exact", "Lee, Yuan, Chang & Jaakkola 2019")}

    def __post_init__(self) -> None:
        if isinstance(self.values, bool) or not isinstance(self.values, int) or not 2 <= self.values <= 256:
            raise InputError(f"values must be a number of grey levels, 2 to 256; got {self.values!r}")
        keep = round(check_number("keep", self.keep, 0, 1) * GRAIN) / GRAIN
        if not 1 / self.values < keep < 1:
            raise InputError(
                f"keep must be above 1 / {self.values}, the share of each value, and below 1; got {self.keep!r}"
            )
        object.__setattr__(self, "keep", keep)

    def log_likelihood(self, copies: np.ndarray, image: np.ndarray) -> np.ndarray:
        level = (image * (self.values - 1) + 0.5) // 1
        kept = (np.rint(copies * (self.values - 1)) == level).reshape(len(copies), -1).sum(axis=1)
        return kept * np.log(self.keep * (self.values - 1) / (1 - self.keep))

    def perturb(self, images: Any, source: Source) -> Any:
        shape, most = tuple(images.shape), self.values - 1
        level = (images * most + 0.5) // 1
        kept = source.uniform(shape) < self.keep
        other = (level + 1 + (fine_uniform(source, shape) * most // 1).clip(0, most - 1)) % self.values
        noisy = level * kept + other * ~kept
        return (noisy.astype(np.float32) if isinstance(noisy, np.ndarray) else noisy) / most
