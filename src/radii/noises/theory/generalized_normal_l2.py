"""Generalized normal noise against l2, in any number of features (docs/math/product-noises.md).

As for Laplace noise, a probability u changes at a rate of at most `G(u)`, in units of the root of the Fisher
information, with `G(u) = min over tau of H(tau) + tau u` and `H(tau) >= E(S - tau)_+` for every weighted sum S of
independent scores. Up to exponent 2 the scores are less spread than a normal variable, and the majorants of
`laplace_l2` apply. From exponent 2 on a score is a normal variable of random variance, and so are the sums. Then the
same majorants apply with means under the distribution of one score, and so do two bounds for every mixture of normal
distributions.
"""

import math
from functools import lru_cache

import numpy as np
from scipy.special import gammaincc, ndtr

from radii.noises.theory.densities import GeneralizedNormalDensity
from radii.noises.theory.differential import Rate, lowest_lines
from radii.noises.theory.laplace_l2 import load_majorants, rate
from radii.noises.theory.tradeoffs import Map

# Up to this tau (exactly, up to .6120) the normal distribution is the worst of all mixtures of the same variance.
TURN = 0.61
# The maximum of `tau E(Z - tau)_+`, attained at .6120, rounded up.
PEAK = 0.101229
# Number of lines up to TURN, and beyond it up to the slope STEEPEST.
STEPS = 400
STEEPEST = 1e4


@lru_cache(maxsize=32)
def mixture_rate(exponent: float) -> Rate:
    """Return `G` for generalized normal noise of this exponent, in units of the root of the Fisher information."""
    # below 2 scores are not mixtures of normal distributions, and the majorants of signs hold as they are
    if exponent < 2:
        return rate()
    cubes = score_cubes(exponent)
    heights = [(majorant.tau, majorant.mean(cubes)) for majorant in load_majorants()]
    # the best height for each slope: the envelope takes each slope once
    least: dict[float, float] = {}
    for tau, height in heights + any_mixture():
        least[tau] = min(height, least.get(tau, np.inf))
    return lowest_lines(sorted(least.items()))


def any_mixture() -> list[tuple[float, float]]:
    """Return lines `(tau, H(tau))` that hold for every mixture of normal distributions whose variance has mean 1.

    Up to `TURN` the normal distribution itself is the worst; beyond, a normal variable that is 0 with some
    probability.
    """
    few = np.linspace(0, TURN, STEPS)
    many = np.geomspace(TURN, STEEPEST, STEPS)[1:]
    # 1e-12 is more than the rounding of `normal_excess` below TURN
    lines = [*zip(few, normal_excess(few) * (1 + 1e-12), strict=True), *zip(many, PEAK / many, strict=True)]
    return [(float(tau), float(height)) for tau, height in lines]


def normal_excess(tau: np.ndarray) -> np.ndarray:
    """Return `E(Z - tau)_+` for a standard normal variable Z."""
    return np.exp(-(tau**2) / 2) / math.sqrt(2 * math.pi) - tau * ndtr(-tau)


def score_cubes(exponent: float) -> Map:
    """Return `E(s - t)_+^3`, as a function of t, for the score s of generalized normal noise at variance 1."""
    density = GeneralizedNormalDensity(exponent)
    unit = exponent / math.sqrt(density.information)
    # the cube expands into powers of s, whose truncated moments are incomplete Gamma functions
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
