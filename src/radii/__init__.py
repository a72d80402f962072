"""radii: certified robustness radii by randomized smoothing, for every noise, every norm and top-k.

    votes = radii.Smoothed(model, radii.Laplace(sigma=0.5)).vote(images, labels, plan=radii.fixed(100_000))
    radii.certify(votes, "linf", k=3).radius

Only what draws samples needs torch, and imports it when first used.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from radii.certificates.certify import Certificates, certify, reachable_radius
from radii.certificates.planning import (
    RadiusTarget,
    anytime,
    exhaustive,
    sequential,
    sequential_top_k,
    two_stage,
)
from radii.certificates.radius import certified_radius, tradeoff
from radii.errors import InputError, MissingExtra, UnknownName
from radii.noises import (
    NOISES,
    Ablation,
    ExponentialL2,
    ExponentialLinf,
    Flips,
    Gaussian,
    GeneralizedNormal,
    IndependentSplitting,
    Laplace,
    Noise,
    Pareto,
    PowerL2,
    PowerLinf,
    Splitting,
    Uniform,
    UniformBall,
    make_noise,
)
from radii.noises.norms import NORMS
from radii.votes import ABSTAIN, ImageIdentity, Votes, load_votes
from radii.votes.bounds import bounds
from radii.votes.plans import Anytime, Exhaustive, Fixed, Sequential, TopK, TwoStage, fixed

if TYPE_CHECKING:
    from radii.models.adapters import load_model
    from radii.sampling import Smoothed


__version__ = version("radii")
__all__ = [
    "ABSTAIN",
    "NOISES",
    "NORMS",
    "Ablation",
    "Anytime",
    "Certificates",
    "Exhaustive",
    "ExponentialL2",
    "ExponentialLinf",
    "Fixed",
    "Flips",
    "Gaussian",
    "GeneralizedNormal",
    "ImageIdentity",
    "IndependentSplitting",
    "InputError",
    "Laplace",
    "MissingExtra",
    "Noise",
    "Pareto",
    "PowerL2",
    "PowerLinf",
    "RadiusTarget",
    "Sequential",
    "Smoothed",
    "Splitting",
    "TopK",
    "TwoStage",
    "Uniform",
    "UniformBall",
    "UnknownName",
    "Votes",
    "anytime",
    "bounds",
    "certified_radius",
    "certify",
    "exhaustive",
    "fixed",
    "load_model",
    "load_votes",
    "make_noise",
    "reachable_radius",
    "sequential",
    "sequential_top_k",
    "tradeoff",
    "two_stage",
]


def __getattr__(name: str) -> Any:
    if name == "Smoothed":
        from radii.sampling import Smoothed

        return Smoothed
    if name == "load_model":
        from radii.models.adapters import load_model

        return load_model
    raise AttributeError(f"module 'radii' has no attribute {name!r}")
