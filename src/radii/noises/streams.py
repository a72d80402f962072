"""Counter-based random numbers: noise sample j of image i under a seed is the same wherever and whenever it is drawn.

Philox (Salmon et al. 2011) maps a key and a 256-bit counter to random bits and keeps no other state. The key is (seed,
purpose). The upper two 64-bit words of the counter are (sample, image), the next counts the arrays drawn for that
sample, and the lowest runs over blocks of four words. So no two samples share a block, and a jump to any sample costs
microseconds, wherever it lies.
"""

import math
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from radii.errors import InputError, check_name

PURPOSES = {"bound": 0, "select": 1, "predict": 2}
"""Separate streams: to bound probabilities, to select the label to certify, and to predict without a certificate."""


class Stream:
    """Standard random numbers for many noise samples of many images at once: the `Source` of arrays of numpy.

    Call `at` first; the first axis of every array then runs over the pairs given there. A stream must not be shared
    by threads.

    Parameters
    ----------
    seed : int
        From 0 to 2**64 - 1.
    purpose : {"bound", "select", "predict"}
        Streams of different purposes are independent.

    Notes
    -----
    Guarantee: row r of the k-th array after `at(images, draws)` depends on seed, purpose, `images[r]`, `draws[r]`, k
    and the version of numpy alone. It is independent of all other rows, if Philox is a random function.

    Examples
    --------
    >>> both = Stream(0).at([2, 7], [0, 5]).normal((2, 3))
    >>> alone = Stream(0).at([7], [5]).normal((1, 3))
    >>> bool((both[1] == alone[0]).all())
    True
    """

    def __init__(self, seed: int, purpose: str = "bound") -> None:
        key = [check_seed(seed), PURPOSES[check_name("purpose", purpose, PURPOSES)]]
        # uint64, since numpy makes floats of a list with a number above 2^63, and neighbouring seeds would be one key
        self._bits = np.random.Philox(key=np.array(key, dtype=np.uint64))
        self._state = self._bits.state
        self._random = np.random.Generator(self._bits)
        self.at([], [])

    def at(self, images: Sequence[int], draws: Sequence[int]) -> "Stream":
        """Move to the start of noise sample `draws[r]` of image `images[r]`, for each row r; return the stream."""
        self._pairs = list(zip(images, draws, strict=True))
        self._arrays = 0
        return self

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return float32 normal numbers with mean 0 and standard deviation 1."""
        return self._rows(self._random.standard_normal, shape)

    def exponential(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return float32 exponential numbers with mean 1."""
        return self._rows(self._random.standard_exponential, shape)

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return float32 uniform numbers in [0, 1)."""
        return self._rows(self._random.random, shape)

    def double(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return float64 uniform numbers in [0, 1), multiples of `2**-53`."""
        return self._rows(self._random.random, shape, np.float64)

    def _rows(self, fill: Callable[..., Any], shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        assert shape[0] == len(self._pairs)
        rows = np.empty((shape[0], math.prod(shape[1:])), dtype=dtype)
        counter = self._state["state"]["counter"]
        for row, (image, draw) in zip(rows, self._pairs, strict=True):
            counter[:] = 0, self._arrays, draw, image
            # 3 us, against 12 us for a new generator; it also drops words left in the buffer, on which the numbers of
            # this sample would otherwise depend
            self._bits.state = self._state
            fill(out=row, dtype=dtype)
        # the next array of the same samples takes other blocks
        self._arrays += 1
        return rows.reshape(shape)


def secret_seed(seed: int | None) -> int:
    """Return the seed, checked, or for None a fresh one from the random numbers of the operating system."""
    return secrets.randbits(64) if seed is None else check_seed(seed)


def check_seed(seed: object) -> int:
    """Return the seed as an int, or raise InputError if it is not a whole number of 64 bits."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise InputError(f"seed must be a whole number from 0 to 2**64 - 1; got {seed!r}")
    return int(seed)
