"""The noises, one a file: parameters, how to make noisy copies, and its rules (noise, norm) -> trade-off functions."""

from radii.noises.ablation import Ablation
from radii.noises.base import Additive, Independent, Noise, Rule, Source
from radii.noises.flips import Flips
from radii.noises.gaussian import Gaussian
from radii.noises.generalized_normal import GeneralizedNormal
from radii.noises.laplace import Laplace
from radii.noises.naming import NOISES, example, example_name, full_name, make_noise
from radii.noises.splitting import IndependentSplitting, Splitting
from radii.noises.uniform import Uniform

__all__ = [
    "NOISES",
    "Ablation",
    "Additive",
    "Flips",
    "Gaussian",
    "GeneralizedNormal",
    "Independent",
    "IndependentSplitting",
    "Laplace",
    "Noise",
    "Rule",
    "Source",
    "Splitting",
    "Uniform",
    "example",
    "example_name",
    "full_name",
    "make_noise",
]
