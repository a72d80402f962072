"""radii: certified robustness radii by randomized smoothing, for every noise, every norm and top-k.

    votes = radii.Smoothed(model, radii.Laplace(sigma=0.5)).vote(images, labels, plan=radii.fixed(100_000))
    radii.certify(votes, "linf", k=3).radius

Names are imported when they are first used: numpy and scipy take a second, and torch, which only drawing samples
needs, takes several.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from radii.certificates.certify import Certificates, certify, reachable_radius
    from radii.certificates.imported import import_log
    from radii.certificates.planning import (
        RadiusTarget,
        anytime,
        exhaustive,
        sequential,
        sequential_top_k,
        two_stage,
    )
    from radii.certificates.radius import certified_radius, tradeoff
    from radii.certificates.routing import RoutedCertificates, best_run, certify_routed
    from radii.errors import InputError, MissingExtra, UnknownName
    from radii.models.adapters import load_model
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
    from radii.report.comparison import Comparison, compare
    from radii.sampling import Smoothed
    from radii.votes import ABSTAIN, ImageIdentity, Votes, load_votes
    from radii.votes.bounds import bounds
    from radii.votes.plans import Anytime, Exhaustive, Fixed, Sequential, TopK, TwoStage, fixed

__version__ = version("radii")
__all__ = [
    "ABSTAIN",
    "NOISES",
    "NORMS",
    "Ablation",
    "Anytime",
    "Certificates",
    "Comparison",
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
    "RoutedCertificates",
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
    "best_run",
    "bounds",
    "certified_radius",
    "certify",
    "certify_routed",
    "compare",
    "exhaustive",
    "fixed",
    "import_log",
    "load_model",
    "load_votes",
    "make_noise",
    "reachable_radius",
    "sequential",
    "sequential_top_k",
    "tradeoff",
    "two_stage",
]

HOMES = {
    "certificates.certify": "Certificates certify reachable_radius",
    "certificates.imported": "import_log",
    "certificates.planning": "RadiusTarget anytime exhaustive sequential sequential_top_k two_stage",
    "certificates.radius": "certified_radius tradeoff",
    "certificates.routing": "RoutedCertificates best_run certify_routed",
    "errors": "InputError MissingExtra UnknownName",
    "models.adapters": "load_model",
    "noises": (
        "NOISES Ablation ExponentialL2 ExponentialLinf Flips Gaussian GeneralizedNormal IndependentSplitting Laplace "
        "Noise Pareto PowerL2 PowerLinf Splitting Uniform UniformBall make_noise"
    ),
    "noises.norms": "NORMS",
    "report.comparison": "Comparison compare",
    "sampling": "Smoothed",
    "votes": "ABSTAIN ImageIdentity Votes load_votes",
    "votes.bounds": "bounds",
    "votes.plans": "Anytime Exhaustive Fixed Sequential TopK TwoStage fixed",
}
"""Where the public names are defined."""
PACKAGES = ("certificates", "errors", "noises", "storage", "votes")
"""Modules that are attributes without an import of their own."""


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of this package, when it is first used."""
    for home, names in HOMES.items():
        if name in names.split():
            value = getattr(import_module(f"{__name__}.{home}"), name)
            # found without this function from now on
            globals()[name] = value
            return value
    if name in PACKAGES:
        # with the modules of its public names, which are then attributes of it
        for home in HOMES:
            if home.startswith(f"{name}."):
                import_module(f"{__name__}.{home}")
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'radii' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
