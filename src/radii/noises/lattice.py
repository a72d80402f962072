"""Noise on a lattice: image plus noise is exact in float32, so theorems hold for the program (docs/math/exact.md)."""

import math

import numpy as np

from radii.errors import InputError
from radii.noises import GREY_LEVELS, Noise, ProductNoise
from radii.noises.streams import Stream

# Multiples of 1/16 below 2^20 levels fit the 24 bits of float32, enough for sigma up to 150 (docs/math/exact.md). A
# finer lattice is no sounder, and has more boundaries that the sampler can miss.
PARTS = 16
"""Steps of the lattice per grey level."""

# Random bits that select the absolute value of the noise of one feature. One more selects its sign: the 53 bits of a
# float64 in [0, 1).
BITS = 52

# More than the relative error of every quantile computed here (tests/noises/test_lattice.py compares with 60 digits).
RELATIVE = 2.0**-46


def draw_levels(noise: ProductNoise, stream: Stream, shape: tuple[int, ...]) -> np.ndarray:
    """Return noise samples in grey levels, rounded to the lattice: float32 of `shape`, multiples of `1 / PARTS`."""
    noisy = np.empty(shape, dtype=np.float32)
    # one row at a time stays in the processor's cache: 1.1 to 3 times as fast as whole batches of 1 to 50 MB
    for row, uniform in zip(noisy, stream.double(shape), strict=True):
        row[...] = _levels(noise, uniform)
    return noisy


def _levels(noise: ProductNoise, uniform: np.ndarray) -> np.ndarray:
    """Return noise in grey levels from random multiples of `2**-53` in [0, 1), which are overwritten."""
    uniform *= 2.0**BITS
    whole = np.floor(uniform)
    # the last of the 53 bits, 0 or 1/2 after the subtraction, becomes the sign
    uniform -= whole
    sign = np.subtract(1, 4 * uniform, out=uniform)
    # the other bits become a tail probability; the added half keeps it away from 0 and is exact in float64
    whole += 0.5
    whole *= 2.0**-BITS
    steps = np.rint(noise.tail_quantile(whole) * _steps(noise))
    return sign * steps / PARTS


def check_range(noise: Noise) -> None:
    """Raise InputError unless the noise is independent over features, and image plus noise fits 24 bits of float32."""
    if not isinstance(noise, ProductNoise):
        raise InputError(
            f"exact arithmetic is for noise that is added to each feature by itself, which {noise.name} is not"
        )
    if GREY_LEVELS * PARTS + _farthest(noise) >= 2**24:
        raise InputError(
            f"sigma {noise.sigma:g} is too large for exact arithmetic: image plus noise must fit the 24 bits of float32"
        )


def distance(noise: ProductNoise, features: int) -> float:
    """Return an upper bound on the total variation distance between the noise sampled and the rounded noise.

    The first is what `draw_levels` samples on `features` features, the second the distribution of the theorems,
    rounded to the lattice.
    """
    discrete = (_farthest(noise) + 1) * 2.0 ** -(BITS + 1)
    computed = RELATIVE * (_steps(noise) * noise.mean_magnitude + 1)
    return features * (discrete + computed)


def levels_of(images: np.ndarray) -> np.ndarray:
    """Return images as bytes, from bytes or from bytes divided by 255 in float32; raise InputError for others."""
    if images.dtype == np.uint8:
        return images
    # only the float32 numbers that division of bytes gives pass: others would be rounded to another image
    levels = np.rint(images * np.float32(GREY_LEVELS)).astype(np.uint8)
    if not np.array_equal(levels / np.float32(GREY_LEVELS), images):
        raise InputError(
            "exact arithmetic needs 8-bit images: bytes divided by 255 in float32; round them to the nearest first"
        )
    return levels


def _steps(noise: ProductNoise) -> float:
    """Return the number of lattice steps in one scale of the noise."""
    return noise.scale * GREY_LEVELS * PARTS


def _farthest(noise: ProductNoise) -> float:
    """Return an upper bound on the number of steps that can be drawn, at the smallest tail probability."""
    return math.ceil(float(noise.tail_quantile(np.array([2.0 ** -(BITS + 1)]))[0]) * _steps(noise)) + 1
