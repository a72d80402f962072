"""Sampling plans: how many noisy copies of each image are polled, when to stop, and what that will cost.

Plans know counts and probabilities alone; `radii.planning` makes them for radii.
"""

from radii.designs.anytime import Anytime
from radii.designs.boundaries import Boundaries, Operating, fixed_boundaries
from radii.designs.fixed import Fixed, fixed
from radii.designs.sequential import Sequential
from radii.designs.top_k import TopK
from radii.designs.two_stage import TwoStage

__all__ = [
    "Anytime",
    "Boundaries",
    "Fixed",
    "Operating",
    "Sequential",
    "TopK",
    "TwoStage",
    "fixed",
    "fixed_boundaries",
]
