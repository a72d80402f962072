"""Counted randomness: draw j of image i under a seed is the same number wherever and whenever it is drawn.

Philox (Salmon et al. 2011) turns a key and a 256-bit counter into random bits with no history. The key is
(seed, purpose) and the upper two words of the counter are (draw, image), so every draw owns 2^128 blocks of
four words that no other draw can reach, and starting at any of them costs under a microsecond.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from radii.errors import InputError, check_name

PURPOSES = {"bound": 0, "select": 1, "predict": 2}
"""Draws that bound probabilities, that choose the label to certify, and that only predict: never the same."""


def check_seed(seed: object) -> int:
    """The seed as an int of 64 bits."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise InputError(f"seed must be a whole number from 0 to 2**64 - 1; got {seed!r}")
    return int(seed)


class Stream:
    """Standard random numbers, float32 numpy arrays unless said otherwise, for many draws of many images at a time.

    Implements the `Source` that noises draw from. Call `at` first; then the first axis of every shape runs
    over the pairs given there. Not for use by two threads at once.

    Guarantee: row r of the k-th array after `at(images, draws)` depends on seed, purpose, `images[r]`,
    `draws[r]` and k alone, given the version of numpy, and is independent of all others, as far as Philox is
    a random function.
    """

    def __init__(self, seed: int, purpose: str = "bound") -> None:
        key = [check_seed(seed), PURPOSES[check_name("purpose", purpose, PURPOSES)]]
        self._bits = np.random.Philox(key=np.array(key, dtype=np.uint64))
        self._state = self._bits.state
        self._random = np.random.Generator(self._bits)
        self.at([], [])

    def at(self, images: Sequence[int], draws: Sequence[int]) -> "Stream":
        """The same object, moved to the start of draw `draws[r]` of image `images[r]`, for each r."""
        self._pairs = list(zip(images, draws, strict=True))
        self._arrays = 0
        return self

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Normal with mean 0 and standard deviation 1."""
        return self._rows(self._random.standard_normal, shape)

    def exponential(self, shape: tuple[int, ...]) -> np.ndarray:
        """Exponential with mean 1."""
        return self._rows(self._random.standard_exponential, shape)

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform on [0, 1)."""
        return self._rows(self._random.random, shape)

    def double(self, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform on the multiples of `2**-53` in [0, 1), float64."""
        return self._rows(self._random.random, shape, np.float64)

    def _rows(self, fill: Callable[..., Any], shape: tuple[int, ...], kind: Any = np.float32) -> np.ndarray:
        assert shape[0] == len(self._pairs)
        rows = np.empty((shape[0], math.prod(shape[1:])), dtype=kind)
        counter = self._state["state"]["counter"]
        for row, (image, draw) in zip(rows, self._pairs, strict=True):
            counter[:] = 0, self._arrays, draw, image
            self._bits.state = self._state  # far cheaper than a new generator
            fill(out=row, dtype=kind)
        self._arrays += 1
        return rows.reshape(shape)
