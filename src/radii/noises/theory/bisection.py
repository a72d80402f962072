"""The one bisection: brackets of a test that holds below some point and fails above it, halved for many at once."""

from collections.abc import Callable

import numpy as np

Test = Callable[[np.ndarray], np.ndarray]
"""Whether the test holds at points, one for each bracket."""


def bisect(
    holds: Test, low: np.ndarray | float, high: np.ndarray | float, steps: int, rtol: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """The ends of brackets from `low`, where the test holds, to `high`, where it fails, halved `steps` times.

    Stops before that once all brackets are at most `rtol` of their low ends wide.

    Guarantee: the test held at each returned low end, and failed at each high end, or they are as they were given.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    for _ in range(steps):
        if (high - low <= rtol * low).all():
            break
        middle = (low + high) / 2
        there = holds(middle)
        low, high = np.where(there, middle, low), np.where(there, high, middle)
    return low, high


def bisect_whole(holds: Test, low: np.ndarray | int, high: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """The same among whole numbers, until neighbours are left; `low` and `high` need not have been tested."""
    low, high = np.asarray(low), np.asarray(high)
    while (high - low > 1).any():
        middle = (low + high) // 2
        there = holds(middle) & (high - low > 1)
        stays = ~there & (high - low > 1)
        low, high = np.where(there, middle, low), np.where(stays, middle, high)
    return low, high
