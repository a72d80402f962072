"""Random perturbations of an image, as large as a radius, for readers to see how large that is."""

import numpy as np

from radii.noises.theory.bisection import bisect

HALVINGS = 60
"""Halvings of the interval that holds the step: at most 2^20 long, it is at most 2^-40 long after them."""

LONGEST = 2**20
"""A step so long takes practically every value to a face of the box: a longer one would change nothing more."""


def perturbed(image: np.ndarray, norm: str, radius: float, unit: str, seed: int = 0) -> np.ndarray:
    """Return `image`, `(channels, height, width)` in [0, 1], plus a random perturbation of norm `radius`.

    linf: every value changes by the radius. l2: a random direction. l1 and l0: random pixels change as far as the box
    [0, 1] allows. The result stays in the box: where it is too small for the radius, the perturbation is as long as
    it can be in its direction.
    """
    # a random perturbation is no attack: it shows the size of a radius, not the worst case within it
    random = np.random.default_rng(seed)
    if norm in ("l0", "l1"):
        return _change_pixels(image, norm, radius, unit, random)
    direction = (
        random.standard_normal(image.shape) if norm == "l2" else random.choice([-1.0, 1.0], image.shape)
    )
    # away from the nearer face of the box wherever it would stop the perturbation
    target = image + np.sign(direction) * radius
    direction = np.where((target > 1) | (target < 0), -direction, direction)
    if norm == "linf":
        return np.clip(image + direction * radius, 0, 1)
    return _scaled(image, direction, radius)


def _scaled(image: np.ndarray, direction: np.ndarray, radius: float) -> np.ndarray:
    """Return the image at l2 distance `radius` along `direction`, clipped to the box."""

    def length(step: float) -> float:
        return float(np.linalg.norm(np.clip(image + step * direction, 0, 1) - image))

    upper = 1.0
    # the length never falls with the step, so that doubling brackets the radius and halving finds it
    while length(upper) < radius and upper < LONGEST:
        upper *= 2
    step, _ = bisect(lambda step: np.array(length(float(step)) <= radius), 0.0, upper, HALVINGS)
    return np.clip(image + step * direction, 0, 1)


def _change_pixels(
    image: np.ndarray, norm: str, radius: float, unit: str, random: np.random.Generator
) -> np.ndarray:
    """Change pixels, or single features in l0, in random order to the farther face until `radius` is used up."""
    channels, pixels = len(image), image[0].size
    flat = image.reshape(channels, pixels).astype(float)
    farthest = np.where(flat < 0.5, 1.0, 0.0)
    spots = [(slice(None), pixel) for pixel in random.permutation(pixels)]
    if norm == "l0" and unit == "feature":
        spots = [
            (slice(feature % channels, feature % channels + 1), feature // channels)
            for feature in random.permutation(flat.size)
        ]
    # as far as possible each, until the radius is used up; the last one by as much as is left
    left = radius
    for spot in spots:
        # at least half of the range for each value, so that the cost below is never 0
        change = farthest[spot] - flat[spot]
        cost = 1.0 if norm == "l0" else float(np.abs(change).sum())
        share = min(1.0, left / cost)
        if norm == "l0" and share < 1:
            # a unit counts as a whole however little it changes
            break
        flat[spot] += share * change
        left -= share * cost
        if left <= 0:
            break
    return np.clip(flat.reshape(image.shape), 0, 1)
