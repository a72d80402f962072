"""Bisection of many brackets at once, for tests that hold below some point and fail above it."""

from collections.abc import Callable

import numpy as np

Test = Callable[[np.ndarray], np.ndarray]
"""Whether the test holds, at one point of each bracket."""


def bisect(
    holds: Test, low: np.ndarray | float, high: np.ndarray | float, steps: int, rtol: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Halve brackets from `low`, where the test holds, to `high`, where it fails, `steps` times; return both ends.

    Stops early once every bracket is at most `rtol` times its low end wide.

    Guarantee: the test held at each returned low end and failed at each high end, unless that end is the given one.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    for _ in range(steps):
        # all brackets are halved together, so that a test is one array operation, until the last is narrow enough
        if (high - low <= rtol * low).all():
            break
        middle = (low + high) / 2
        passed = holds(middle)
        low, high = np.where(passed, middle, low), np.where(passed, high, middle)
    return low, high


def bisect_whole(holds: Test, low: np.ndarray | int, high: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Halve brackets of whole numbers until neighbours are left; return both ends.

    The given ends are never tested: `low` is returned where the test holds nowhere, `high` where it fails nowhere.
    """
    low, high = np.asarray(low), np.asarray(high)
    while (wide := high - low > 1).any():
        middle = (low + high) // 2
        passed = holds(middle)
        # finished brackets stay as they are, whatever the test says at their middle
        low, high = np.where(wide & passed, middle, low), np.where(wide & ~passed, middle, high)
    return low, high
