"""Noise distributions, one per file: how they perturb images, and a rule (trade-off functions) for each norm."""

from radii.noises.ablation import Ablation
from radii.noises.base import GREY_LEVELS, Additive, EnumerableNoise, Noise, ProductNoise, Rule, Source
from radii.noises.flips import Flips
from radii.noises.gaussian import Gaussian
from radii.noises.generalized_normal import GeneralizedNormal
from radii.noises.l2_radial import ExponentialL2, PowerL2
from radii.noises.laplace import Laplace
from radii.noises.linf_radial import ExponentialLinf, PowerLinf
from radii.noises.pareto import Pareto
from radii.noises.radial import UniformBall
from radii.noises.registry import NOISES, example, example_name, full_name, make_noise
from radii.noises.splitting import IndependentSplitting, Splitting
from radii.noises.uniform import Uniform

__all__ = [
    "GREY_LEVELS",
    "NOISES",
    "Ablation",
    "Additive",
    "EnumerableNoise",
    "ExponentialL2",
    "ExponentialLinf",
    "Flips",
    "Gaussian",
    "GeneralizedNormal",
    "IndependentSplitting",
    "Laplace",
    "Noise",
    "Pareto",
    "PowerL2",
    "PowerLinf",
    "ProductNoise",
    "Rule",
    "Source",
    "Splitting",
    "Uniform",
    "UniformBall",
    "example",
    "example_name",
    "full_name",
    "make_noise",
]
