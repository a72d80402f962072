"""Sampling plans: how many noisy copies of each image are polled, when to stop, and what that will cost.

Plans know counts and probabilities alone; `radii.planning` makes them for radii.
"""

from radii.designs.anytime import Anytime
from radii.designs.boundaries import Boundaries, Operating, fixed_boundaries
from radii.designs.decisions import Decision
from radii.designs.exhaustive import Exhaustive
from radii.designs.fixed import Fixed, fixed
from radii.designs.sequential import Sequential
from radii.designs.top_k import TopK
from radii.designs.two_stage import TwoStage

Plan = Fixed | Sequential | TopK | TwoStage | Anytime
"""Plans by which models are polled."""

PLANS: dict[str, type[Plan]] = {
    "exhaustive": Exhaustive,
    "fixed": Fixed,
    "sequential": Sequential,
    "top-k": TopK,
    "two-stage": TwoStage,
    "anytime": Anytime,
}
"""Their names in files."""

__all__ = [
    "PLANS",
    "Anytime",
    "Boundaries",
    "Decision",
    "Exhaustive",
    "Fixed",
    "Operating",
    "Plan",
    "Sequential",
    "TopK",
    "TwoStage",
    "fixed",
    "fixed_boundaries",
]
