"""Sampling plans: how many noise samples each image gets, when to stop, and what that will cost.

Plans are about counts and probabilities alone; `radii.certificates.planning` makes them for radii.
"""

from radii.votes.plans.anytime import Anytime
from radii.votes.plans.base import Counts, Decision, Plan, Rules, StoppingRule, check_plan
from radii.votes.plans.boundaries import Boundaries, OperatingCharacteristics, fixed_boundaries
from radii.votes.plans.fixed import Exhaustive, Fixed, fixed
from radii.votes.plans.sequential import Sequential
from radii.votes.plans.top_k import TopK
from radii.votes.plans.two_stage import TwoStage

PLANS: dict[str, type[Plan]] = {
    kind.name: kind for kind in (Exhaustive, Fixed, Sequential, TopK, TwoStage, Anytime)
}
"""Plans by their names in files."""

__all__ = [
    "PLANS",
    "Anytime",
    "Boundaries",
    "Counts",
    "Decision",
    "Exhaustive",
    "Fixed",
    "OperatingCharacteristics",
    "Plan",
    "Rules",
    "Sequential",
    "StoppingRule",
    "TopK",
    "TwoStage",
    "check_plan",
    "fixed",
    "fixed_boundaries",
]
