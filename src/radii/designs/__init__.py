"""Sampling plans: how many noisy copies of each image are polled, when to stop, and what that will cost.

Plans know counts and probabilities alone; `radii.planning` makes them for radii.
"""

from radii.designs.anytime import Anytime
from radii.designs.boundaries import Boundaries, Operating, fixed_boundaries
from radii.designs.decisions import Decision
from radii.designs.exhaustive import Exhaustive
from radii.designs.fixed import Fixed, fixed
from radii.designs.plan import Counts, Plan, Rules, check_plan
from radii.designs.sequential import Sequential
from radii.designs.stopping import Stopping
from radii.designs.top_k import TopK
from radii.designs.two_stage import TwoStage

PLANS: dict[str, type[Plan]] = {
    kind.name: kind for kind in (Exhaustive, Fixed, Sequential, TopK, TwoStage, Anytime)
}
"""Their names in files."""

__all__ = [
    "PLANS",
    "Anytime",
    "Boundaries",
    "Counts",
    "Decision",
    "Exhaustive",
    "Fixed",
    "Operating",
    "Plan",
    "Rules",
    "Sequential",
    "Stopping",
    "TopK",
    "TwoStage",
    "check_plan",
    "fixed",
    "fixed_boundaries",
]
