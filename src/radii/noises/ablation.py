"""Pixel ablation: the base classifier gets a few random pixels of an image and no others (docs/math/l0.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from radii.errors import InputError
from radii.noises.base import FINE, Noise, Rule, Source, fine_uniform, like
from radii.noises.norms import Ball
from radii.noises.theory.tradeoffs import TotalVariation


def l0(noise: "Ablation", ball: Ball) -> TotalVariation:
    """Return the trade-offs by the probability that a changed pixel is kept; s features are in at most s pixels."""
    noise.output_shape(ball.shape)  # raises where the shape does not fit
    pixels = ball.features // ball.shape[0]
    # C(d - s, kept) / C(d, kept) as a product over s, without large numbers
    # (ratios of binomials overflow); the clip is for s > d - kept, where every choice shows a changed pixel
    factors = np.clip(1 - noise.kept / (pixels - np.arange(pixels)), 0, 1)
    unchanged = np.concatenate([[1.0], np.cumprod(factors)])
    # ties among random numbers of 48 bits, for the image and the changed one (docs/math/l0.md)
    tie = 2 * pixels**2 * float(FINE) ** 2

    def kept(s: np.ndarray) -> np.ndarray:
        changed = np.minimum(s, pixels).astype(np.int64)
        # 1e-12 covers the rounding of the product: 5e-15 at most, against 40 digits, for up to 2^20 pixels
        return np.where(changed > 0, np.minimum(1 - unchanged[changed] * (1 - 1e-12) + tie, 1), 0.0)

    return TotalVariation(kept, 1)


@dataclass(frozen=True)
class Ablation(Noise):
    """Pixel ablation: `kept` pixels, chosen uniformly at random, are kept; the others are blanked.

    The base classifier gets twice the channels: `x` and `1 - x`, and 0 in both where a pixel is blank, which encodes
    no colour.

    Parameters
    ----------
    kept : int
        Number of pixels that are kept, at least 1 and fewer than all.

    Raises
    ------
    InputError
        If a parameter is out of range.

    Notes
    -----
    Guarantee: tight in l0, up to the granularity of probabilities (docs/math/l0.md).

    References
    ----------
    Levine & Feizi 2020; for top-k, Jia, Wang, Cao, Liu & Gong 2022.

    Examples
    --------
    >>> import numpy as np, radii
    >>> noise = radii.Ablation(45)
    >>> radii.certified_radius(noise, "l0", np.array([0.9, 0.99]), shape=(3, 32, 32), unit="pixel")
    array([11., 14.])
    """

    kept: int
    name: ClassVar[str] = "ablation"
    typical: ClassVar[dict[str, float]] = {"kept": 45}
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(l0, "tight", "Levine & Feizi 2020; top-k: Jia, Wang, Cao, Liu & Gong 2022")
    }

    def __post_init__(self) -> None:
        if isinstance(self.kept, bool) or not isinstance(self.kept, int) or self.kept < 1:
            raise InputError(f"kept must be a number of pixels, at least 1; got {self.kept!r}")

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) != 3:
            raise InputError(f"ablation needs images (channels, height, width); got the shape {shape}")
        if self.kept >= (pixels := math.prod(shape[1:])):
            raise InputError(f"kept must be below the {pixels} pixels of an image; got {self.kept}")
        return 2 * shape[0], *shape[1:]

    def pictures(self, noisy: np.ndarray) -> np.ndarray:
        image, inverse = np.split(noisy, 2, axis=1)
        # a pixel is blank where x and 1 - x are both 0; it is shown in grey, as black and white are colours of images
        return np.where((image + inverse > 0).any(axis=1, keepdims=True), image, 0.5)

    def log_likelihood(self, noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
        # float32, as `perturb` returns it: equal pixels must compare equal
        both = np.stack([image, 1 - image]).astype(np.float32)
        parts = noisy.reshape(len(noisy), 2, *image.shape)
        shown = parts.sum(axis=(1, 2), keepdims=True) > 0
        fits = ~shown | (parts == both)
        return np.where(fits.reshape(len(noisy), -1).all(axis=1), 0.0, -np.inf)

    def perturb(self, images: Any, source: Source) -> Any:
        count, _, *size = images.shape
        # ranks of independent numbers are uniform among all orders, but for ties
        rank = fine_uniform(source, (count, math.prod(size))).argsort(1).argsort(1)
        shown = (rank < self.kept).reshape(count, 1, *size)
        both = images[:, None] * like(images, np.array([1, -1]).reshape(2, 1, 1, 1))
        both = both + like(images, np.array([0, 1]).reshape(2, 1, 1, 1))
        return both.reshape(count, *self.output_shape(tuple(images.shape[1:]))) * shown
