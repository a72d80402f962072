"""Counted randomness: draw j of image i under a seed is the same number wherever and whenever it is drawn.

Philox (Salmon et al. 2011) turns a key and a 256-bit counter into random bits with no history. The key is
(seed, purpose) and the upper two words of the counter are (draw, image), so every draw owns 2^128 blocks of
four words that no other draw can reach, and starting at any of them costs under a microsecond.
"""

import math

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
    """Standard random numbers, float32 numpy arrays, of one draw of one image at a time.

    Implements the `Source` that noises draw from. Call `at` before each draw. Not for use by two threads at
    once.

    Guarantee: what follows `at(image, draw)` depends on seed, purpose, image and draw alone, given the
    version of numpy, and is independent for all others of them, as far as Philox is a random function.
    """

    def __init__(self, seed: int, purpose: str = "bound") -> None:
        key = [check_seed(seed), PURPOSES[check_name("purpose", purpose, PURPOSES)]]
        self._bits = np.random.Philox(key=np.array(key, dtype=np.uint64))
        self._state = self._bits.state
        self._counter = self._state["state"]["counter"]
        self._random = np.random.Generator(self._bits)

    def at(self, image: int, draw: int) -> "Stream":
        """The same object, moved to the start of one draw of one image."""
        self._counter[:] = 0, 0, draw, image
        self._bits.state = self._state
        return self

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Normal with mean 0 and standard deviation 1."""
        return self._random.standard_normal(math.prod(shape), dtype=np.float32).reshape(shape)

    def exponential(self, shape: tuple[int, ...]) -> np.ndarray:
        """Exponential with mean 1."""
        return self._random.standard_exponential(math.prod(shape), dtype=np.float32).reshape(shape)

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform on [0, 1)."""
        return self._random.random(math.prod(shape), dtype=np.float32).reshape(shape)
