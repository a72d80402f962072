"""Noise on a lattice, so that image plus noise is exact in float32 and the theorems hold for the program itself.

Proofs: docs/math/exact.md.
"""

import math

import numpy as np

from radii.errors import InputError
from radii.noises import GREY_LEVELS, Noise, ProductNoise
from radii.noises.streams import Stream

PARTS = 16
"""Steps of the lattice in one grey level."""

BITS = 52
"""Of the number that chooses how far the noise of one feature goes; one more chooses its sign."""

RELATIVE = 2.0**-46
"""More than the relative error of any quantile computed here (tests/noises/test_lattice.py compares with 60 digits)."""


def draw_levels(noise: ProductNoise, stream: Stream, shape: tuple[int, ...]) -> np.ndarray:
    """Noise in grey levels, rounded to the lattice: float32 of `shape`, whole multiples of `1 / PARTS`."""
    noisy = np.empty(shape, dtype=np.float32)
    # one row at a time stays in the processor's cache, which is twice as fast
    for row, number in zip(noisy, stream.double(shape), strict=True):
        row[...] = _levels(noise, number)
    return noisy


def _levels(noise: ProductNoise, number: np.ndarray) -> np.ndarray:
    """Noise in grey levels from random multiples of `2**-53` in [0, 1), which are overwritten."""
    number *= 2.0**BITS
    whole = np.floor(number)
    # the last of 53 bits is the sign; the others are the probability of going farther, never 0
    number -= whole
    sign = np.subtract(1, 4 * number, out=number)
    whole += 0.5
    whole *= 2.0**-BITS
    steps = np.rint(noise.tail_quantile(whole) * _steps(noise))
    return sign * steps / PARTS


def check_range(noise: Noise) -> None:
    """Refuse noise that is no independent law of each feature, or so wide that an image plus noise does not fit the 24
    bits of float32."""
    if not isinstance(noise, ProductNoise):
        raise InputError(
            f"exact arithmetic is for noise that is added to each feature by itself, which {noise.name} is not"
        )
    if GREY_LEVELS * PARTS + _farthest(noise) >= 2**24:
        raise InputError(
            f"sigma {noise.sigma:g} is too large for exact arithmetic: image plus noise must fit the 24 bits of float32"
        )


def distance(noise: ProductNoise, features: int) -> float:
    """How far the law of the noise drawn on so many features can be from the rounded law of `noise` at most.

    In total variation: no set of noises has probabilities under the two that differ by more. Rounded up.
    """
    discrete = (_farthest(noise) + 1) * 2.0 ** -(BITS + 1)
    computed = RELATIVE * (_steps(noise) * noise.mean_magnitude + 1)
    return features * (discrete + computed)


def levels_of(images: np.ndarray) -> np.ndarray:
    """8-bit images as bytes, which they are already, or numbers in [0, 1] that are bytes divided by 255."""
    if images.dtype == np.uint8:
        return images
    levels = np.rint(images * np.float32(GREY_LEVELS)).astype(np.uint8)
    if not np.array_equal(levels / np.float32(GREY_LEVELS), images):
        raise InputError(
            "exact arithmetic needs 8-bit images: bytes divided by 255 in float32; round them to the nearest first"
        )
    return levels


def _steps(noise: ProductNoise) -> float:
    """Steps of the lattice in one scale of the noise."""
    return noise.scale * GREY_LEVELS * PARTS


def _farthest(noise: ProductNoise) -> float:
    """The largest number of steps that can be drawn."""
    return math.ceil(float(noise.tail_quantile(np.array([2.0 ** -(BITS + 1)]))[0]) * _steps(noise)) + 1
