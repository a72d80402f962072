"""Generalized normal noise moved in l2, whatever the dimension (docs/math/product-noises.md).

As for Laplace noise, probabilities change along a line of unit l2 length at a rate of at most `G(u)`, in units of the
root of the Fisher information, where `G(u) = min over tau of H(tau) + tau u` and `H(tau) >= E(S - tau)_+` for every
weighted sum S of independent scores. Up to exponent 2 the scores are less spread than a normal law, and the majorants
of `laplace_l2` serve as they are. From exponent 2 on a score is a normal variable of random variance, and so are their
sums: the same majorants, averaged under the law of one score, serve; and so do two bounds that know nothing
of the random variance but its mean.
"""

import math
from functools import lru_cache

import numpy as np
from scipy.special import gammaincc, ndtr

from radii.noises.theory.densities import GeneralizedNormalDensity
from radii.noises.theory.differential import Rate, lowest_lines
from radii.noises.theory.laplace_l2 import Map, load_majorants, rate

TURN = 0.61
"""Below this tau the normal law is the worst of all mixtures of normal laws of the same variance."""

PEAK = 0.101229
"""The largest value of `tau E(Z - tau)_+`, at .6120, rounded up."""

STEPS = 400
"""Lines below `TURN`, and as many beyond it."""

STEEPEST = 1e4
"""The slope of the last of them."""


@lru_cache(maxsize=32)
def mixture_rate(exponent: float) -> Rate:
    """`G` for generalized normal noise of this exponent, in units of the root of the Fisher information."""
    if exponent < 2:
        return rate()
    cubes = score_cubes(exponent)
    heights = [(majorant.tau, majorant.mean(cubes)) for majorant in load_majorants()]
    least: dict[float, float] = {}
    for tau, height in heights + any_mixture():
        least[tau] = min(height, least.get(tau, np.inf))
    return lowest_lines(sorted(least.items()))


def any_mixture() -> list[tuple[float, float]]:
    """`(tau, H(tau))` for every mixture of normal laws whose variance has mean 1.

    Up to `TURN` the normal law itself is the worst; beyond, a normal law that is there with a probability below 1.
    """
    few = np.linspace(0, TURN, STEPS)
    many = np.geomspace(TURN, STEEPEST, STEPS)[1:]
    lines = [*zip(few, normal_excess(few) * (1 + 1e-12), strict=True), *zip(many, PEAK / many, strict=True)]
    return [(float(tau), float(height)) for tau, height in lines]


def normal_excess(tau: np.ndarray) -> np.ndarray:
    """`E(Z - tau)_+` under a standard normal law."""
    return np.exp(-(tau**2) / 2) / math.sqrt(2 * math.pi) - tau * ndtr(-tau)


def score_cubes(exponent: float) -> Map:
    """`E(s - t)_+^3` for the score s of generalized normal noise at variance 1."""
    density = GeneralizedNormalDensity(exponent)
    unit = exponent / math.sqrt(density.information)
    shapes = [1 / exponent + i * (1 - 1 / exponent) for i in range(4)]
    moments = [unit**i * math.gamma(shape) / math.gamma(1 / exponent) for i, shape in enumerate(shapes)]

    def cubes(t: np.ndarray) -> np.ndarray:
        power = (t / unit) ** (exponent / (exponent - 1))
        terms = [
            math.comb(3, i) * (-t) ** (3 - i) * moments[i] * gammaincc(shape, power) / 2
            for i, shape in enumerate(shapes)
        ]
        return np.sum(terms, axis=0)

    return cubes
