"""Images moved exactly as far as is certified, to see what a radius means."""

import numpy as np

from radii.bisection import bisect

ROUNDS = 60
"""Halvings of the interval that holds the step, after which it is known to the last bit."""


def moved(image: np.ndarray, norm: str, radius: float, unit: str, seed: int = 0) -> np.ndarray:
    """`image`, `(channels, height, width)` in [0, 1], after a random move of norm `radius` that stays in [0, 1].

    linf: every value moves by as much. l2: in a random direction. l1 and l0: random pixels change as far as they can.
    Where the box leaves no room for so long a move, it is as long as there is room along its way.
    """
    random = np.random.default_rng(seed)
    if norm in ("l0", "l1"):
        return _spent(image, norm, radius, unit, random)
    way = random.standard_normal(image.shape) if norm == "l2" else random.choice([-1.0, 1.0], image.shape)
    # towards the farther end of the box, wherever the nearer one would stop the move
    way = np.where((image + np.sign(way) * radius > 1) | (image + np.sign(way) * radius < 0), -way, way)
    if norm == "linf":
        return np.clip(image + way * radius, 0, 1)
    return _scaled(image, way, radius)


def _scaled(image: np.ndarray, way: np.ndarray, radius: float) -> np.ndarray:
    """As far along `way`, clipped to the box, as l2 length `radius` reaches."""

    def length(share: float) -> float:
        return float(np.linalg.norm(np.clip(image + share * way, 0, 1) - image))

    long = 1.0
    while length(long) < radius and long < 2**20:
        long *= 2
    share, _ = bisect(lambda share: np.array(length(float(share)) <= radius), 0.0, long, ROUNDS)
    return np.clip(image + share * way, 0, 1)


def _spent(image: np.ndarray, norm: str, radius: float, unit: str, random: np.random.Generator) -> np.ndarray:
    """Features in random order, or whole pixels, each moved to its farther end until `radius` is spent."""
    channels, pixels = len(image), image[0].size
    flat = image.reshape(channels, pixels).astype(float)
    far = np.where(flat < 0.5, 1.0, 0.0)
    order = random.permutation(pixels)
    spots = [(slice(None), spot) for spot in order]
    if norm == "l0" and unit == "feature":
        spots = [
            (slice(one % channels, one % channels + 1), one // channels)
            for one in random.permutation(flat.size)
        ]
    left = radius
    for spot in spots:
        step = far[spot] - flat[spot]
        cost = 1.0 if norm == "l0" else float(np.abs(step).sum())
        share = min(1.0, left / cost)
        if norm == "l0" and share < 1:
            break
        flat[spot] += share * step
        left -= share * cost
        if left <= 0:
            break
    return np.clip(flat.reshape(image.shape), 0, 1)
