"""Pixel ablation: the model sees a few pixels of an image, chosen at random, and not the others (docs/math/l0.md)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from radii.errors import InputError
from radii.noises.base import FINE, Noise, Rule, Source, fine_uniform, like
from radii.noises.norms import Ball
from radii.noises.theory.tradeoffs import TotalVariation


def l0(noise: "Ablation", ball: Ball) -> TotalVariation:
    """Changes are seen only if a changed pixel is kept; s features are in at most s pixels."""
    pixels = ball.features // ball.shape[0]
    noise.output_shape(ball.shape)
    # C(d - s, kept) / C(d, kept), factor by factor
    factors = np.clip(1 - noise.kept / (pixels - np.arange(pixels)), 0, 1)
    unseen = np.concatenate([[1.0], np.cumprod(factors)])
    tie = 2 * pixels**2 * float(FINE) ** 2

    def seen(s: np.ndarray) -> np.ndarray:
        changed = np.minimum(s, pixels).astype(np.int64)
        return np.where(changed > 0, np.minimum(1 - unseen[changed] * (1 - 1e-12) + tie, 1), 0.0)

    return TotalVariation(seen, 1)


@dataclass(frozen=True)
class Ablation(Noise):
    """Pixel ablation: `kept` of all pixels, chosen at random, are shown, the others are blanked.

    The model sees twice the channels, `x` and `1 - x`, both 0 where a pixel is blank, which no colour is.
    """

    kept: int
    name: ClassVar[str] = "ablation"
    typical: ClassVar[dict[str, float]] = {"kept": 45}
    rules: ClassVar[dict[str, Rule]] = {
        "l0": Rule(l0, "exact", "Levine & Feizi 2020; top-k: Jia, Wang, Cao, Liu & Gong 2022")
    }

    def __post_init__(self) -> None:
        if isinstance(self.kept, bool) or not isinstance(self.kept, int) or self.kept < 1:
            raise InputError(f"kept must be a number of pixels, at least 1; got {self.kept!r}")

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(shape) != 3:
            raise InputError(f"ablation is of images (channels, height, width); got the shape {shape}")
        if self.kept >= (pixels := math.prod(shape[1:])):
            raise InputError(f"kept must be below the {pixels} pixels of an image; got {self.kept}")
        return 2 * shape[0], *shape[1:]

    def pictures(self, copies: np.ndarray) -> np.ndarray:
        """Blank pixels in grey."""
        image, other = np.split(copies, 2, axis=1)
        return np.where((image + other > 0).any(axis=1, keepdims=True), image, 0.5)

    def log_likelihood(self, copies: np.ndarray, image: np.ndarray) -> np.ndarray:
        both = np.concatenate([image, 1 - image]).astype(np.float32)
        shown = copies.reshape(len(copies), 2, *image.shape).sum(axis=(1, 2), keepdims=True) > 0
        fits = ~shown | (copies.reshape(len(copies), 2, *image.shape) == both.reshape(2, *image.shape))
        return np.where(fits.reshape(len(copies), -1).all(axis=1), 0.0, -np.inf)

    def perturb(self, images: Any, source: Source) -> Any:
        count, _, *size = images.shape
        shape = (count, math.prod(size))
        # the order of numbers without ties is uniform among all orders
        order = fine_uniform(source, shape).argsort(1).argsort(1)
        shown = (order < self.kept).reshape(count, 1, *size)
        both = images[:, None] * like(images, np.array([1, -1]).reshape(2, 1, 1, 1))
        both = both + like(images, np.array([0, 1]).reshape(2, 1, 1, 1))
        return both.reshape(count, *self.output_shape(tuple(images.shape[1:]))) * shown
