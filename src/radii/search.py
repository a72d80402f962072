"""The largest radius at which a monotone test was seen to hold, for many images at once."""

from collections.abc import Callable

import numpy as np

# A margin of radii and images: above zero where the test holds. Arguments: radii `(m,)`, rows `(m,)`.
Margin = Callable[[np.ndarray, np.ndarray], np.ndarray]
FARTHEST = 2.0**40


def largest(margin: Margin, rows: np.ndarray, start: float, rtol: float = 1e-13) -> np.ndarray:
    """Largest radius with a margin above zero, for each of `rows`, `(m,)`.

    `start` is a radius of the usual size, from which the search doubles and halves; radii under `start * 2**-60`
    come back as 0.

    Guarantee: `margin` was evaluated at every returned radius above 0, and was above zero there. Where the margin
    falls with the radius, the largest such radius is at most `rtol` larger, relatively.
    """
    low, high, at_low, at_high = bracket(margin, rows, start)
    found = low > 0
    narrowed = narrow(margin, rows[found], [a[found] for a in (low, high, at_low, at_high)], rtol)
    low[found] = narrowed
    return low


def bracket(margin: Margin, rows: np.ndarray, start: float) -> tuple[np.ndarray, ...]:
    """Radii `low` where the test holds and `high` where it does not, at most a factor 2 apart, and their margins."""
    at = np.full(len(rows), float(start))
    value = margin(at, rows)
    up = value > 0
    low, high = np.where(up, at, 0.0), np.where(up, np.inf, at)
    at_low, at_high = value.copy(), value.copy()
    for step in (2.0, 0.5):
        moving = np.flatnonzero(up if step > 1 else ~up)
        radius = float(start)
        while len(moving) and start * 2.0**-60 < radius < start * FARTHEST:
            radius *= step
            value = margin(np.full(len(moving), radius), rows[moving])
            holds = value > 0
            low[moving[holds]], at_low[moving[holds]] = radius, value[holds]
            high[moving[~holds]], at_high[moving[~holds]] = radius, value[~holds]
            moving = moving[holds if step > 1 else ~holds]
    assert np.all(np.isfinite(high)), "the margin stays positive at every radius"
    return low, high, at_low, at_high


def narrow(margin: Margin, rows: np.ndarray, ends: list[np.ndarray], rtol: float) -> np.ndarray:
    """Shrink brackets to a relative width `rtol` by the ITP method (Oliveira & Takahashi 2021); their low ends."""
    low, high, at_low, at_high = ends
    width = low * rtol
    most = np.ceil(np.log2(np.maximum((high - low) / width, 1))) + 1
    scale = 0.2 / (high - low)
    active = np.arange(len(rows))
    for step in range(80):
        active = active[high[active] - low[active] > width[active]]
        if not len(active):
            break
        a, b, fa, fb = low[active], high[active], at_low[active], at_high[active]
        middle, span = (a + b) / 2, b - a
        # false position, pushed towards the middle and kept within the reach of plain bisection
        secant = (fb * a - fa * b) / (fb - fa)
        toward = np.sign(middle - secant)
        push = np.minimum(scale[active] * span**2, np.abs(middle - secant))
        reach = np.maximum(width[active] * 2.0 ** (most[active] - step - 1) - span / 2, 0)
        point = middle - toward * np.minimum(np.abs(middle - (secant + toward * push)), reach)
        value = margin(point, rows[active])
        holds = value > 0
        low[active[holds]], at_low[active[holds]] = point[holds], value[holds]
        high[active[~holds]], at_high[active[~holds]] = point[~holds], value[~holds]
    return low


def largest_whole(
    holds: Callable[[np.ndarray, np.ndarray], np.ndarray], rows: np.ndarray, limit: int
) -> np.ndarray:
    """Largest whole number up to `limit` at which a monotone test holds, for each of `rows`; 0 where 1 fails.

    Guarantee: the test was evaluated at every returned number above 0, and held.
    """
    low = np.zeros(len(rows), dtype=np.int64)
    high = np.full(len(rows), limit + 1, dtype=np.int64)
    stride = 1
    active = np.arange(len(rows))
    while len(active):
        # first doubling, then halving: most radii are small, and large ones cost more to test
        at = np.where(
            high[active] > limit, np.minimum(low[active] + stride, limit), (low[active] + high[active]) // 2
        )
        passed = holds(at, rows[active])
        low[active[passed]], high[active[~passed]] = at[passed], at[~passed]
        active = active[high[active] - low[active] > 1]
        stride *= 2
    return low
