"""Learning rates as a part of their peak, one function each: `(step, total) -> part`."""

import math

WARM_UP = 0.2
"""Part of the steps in which the learning rate rises."""


def cosine(step: int, total: int) -> float:
    """A linear warm-up, then half a cosine down to 0 (Loshchilov and Hutter 2017)."""
    warm = WARM_UP * total
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (total - warm))


def triangle(step: int, total: int) -> float:
    """A linear warm-up, then a straight line down to 0: one cycle (Smith and Topin 2018)."""
    warm = WARM_UP * total
    if step < warm:
        return (step + 1) / (warm + 1)
    return (total - step) / (total - warm)


SCHEDULES = {"cosine": cosine, "triangle": triangle}
