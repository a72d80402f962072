"""The canary of a model: its answers to a few fixed inputs, which tell it from other models of the same digest.

A digest covers weights, or no more than a name. Other code around the same weights, such as another activation or
padding, and another closure of the same name have the same digest, but other answers.
"""

import math
from reprlib import repr as short
from typing import Any

import numpy as np

from radii.errors import InputError
from radii.storage.documents import fits

Canary = tuple[tuple[float, ...], ...]
"""For each of `INPUTS` inputs `NUMBERS` numbers made of its logits; empty where it is not known."""

INPUTS, NUMBERS = 4, 8

# Measured on networks of this package (docs/log.md): products rounded as in TF32 change answers by at most 7e-4, and
# bfloat16 those of float32 by at most 0.012. Other activations change them by 0.014 or more, another padding of a
# single layer by 0.012 or more.
TOLERANCE = {"float32": 0.01, "bfloat16": 0.05}
"""Largest change of answers that counts as rounding, relative to the answers, by the precision of the model."""


def canary_pixels(shape: tuple[int, ...]) -> np.ndarray:
    """Return the fixed images behind the inputs, as bytes `(INPUTS, *shape)`: random, and the same on every machine."""
    size = INPUTS * math.prod(shape)
    return _words(0, -(-size // 8)).view(np.uint8)[:size].reshape(INPUTS, *shape)


def canary_of(logits: np.ndarray) -> Canary:
    """Return the canary of a model with these logits `(INPUTS, classes)` on its inputs.

    The logits of an input, less their mean, are projected onto `NUMBERS` fixed random directions. A change of any class
    changes all of these numbers, in proportion to its size, and a model of 1,000 classes takes no more space than one
    of ten.
    """
    values = np.asarray(logits, dtype=np.float64)
    finite = np.isfinite(values)
    # a number that all classes have in common changes no vote
    mean = values.sum(1, where=finite, keepdims=True) / finite.sum(1, keepdims=True).clip(1)
    centred = np.where(finite, values - mean, 0)
    # classes that are switched off by -inf lie below all others; files hold no infinite numbers
    centred = np.where(finite, centred, -1 - 2 * np.abs(centred).max(1, keepdims=True))
    # uniform in [-1, 1]: signs would coincide for one pair of classes in 256, and miss an exchange of the two
    directions = _words(1, values.shape[1] * NUMBERS).reshape(-1, NUMBERS) / 2.0**63 - 1
    # four digits: rounding between processors seldom reaches the file, and equal votes have equal bytes
    return tuple(tuple(float(f"{number:.4g}") for number in row) for row in centred @ directions + 0.0)


def check_canary(values: Any) -> Canary:
    """Return a canary as tuples of floats; raise `InputError` for anything else."""
    if not fits(values, list[list[float]]) or (values and [*map(len, values)] != [NUMBERS] * INPUTS):
        raise InputError(
            f"a canary is {INPUTS} rows of {NUMBERS} finite numbers, or empty; got {short(values)}"
        )
    return tuple(tuple(map(float, row)) for row in values)


def other_answers(first: Canary, second: Canary, precision: str) -> str | None:
    """Return in words that two canaries are of different models, or None; without one of them, nothing differs."""
    if not (first and second) or (change := canary_change(first, second)) <= TOLERANCE[precision]:
        return None
    return (
        f"other answers to the same inputs (they differ by {change:.2g} of their size, which is more than rounding, "
        f"{TOLERANCE[precision]:g})"
    )


def canary_change(first: Canary, second: Canary) -> float:
    """Return how far answers differ, relative to their size: for the input with the second largest difference.

    One input may lie where a model jumps, as between two leaves of a tree or two labels, and rounding may then give any
    other answer. That two of the few do is not to be expected.
    """
    # of whole numbers beyond 64 bits, which files may hold, numpy would make objects
    both = np.array([first, second], dtype=np.float64)
    # in units of the largest number, as squares of huge ones would overflow
    one, other = both / (np.abs(both).max() or 1)
    size = np.maximum(np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1))
    # not below that of the median input, or the rounding of tiny logits would count as a change
    size = np.maximum(size, np.median(size))
    change = np.linalg.norm(one - other, axis=1)
    # no change is 0 even where the size is 0
    return float(np.sort(np.divide(change, size, out=change, where=change > 0))[-2])


def _words(purpose: int, count: int) -> np.ndarray:
    """Return fixed random words, little-endian uint64 `(count,)`."""
    # of the generator itself: what numpy's distributions make of them may change with its version, the words never do
    return np.random.Philox(key=np.array([0, purpose], dtype=np.uint64)).random_raw(count).astype("<u8")
