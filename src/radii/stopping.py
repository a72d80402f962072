"""A sampling plan as it is followed under one noise."""

from radii.designs import Plan, Stopping
from radii.evidence import RulesOf
from radii.noises import Noise


def stopping(
    plan: Plan, noise: Noise, shape: tuple[int, ...], exact: bool, part: tuple[int, int] | None = None
) -> Stopping:
    """The plan at work on images of `shape`; `part`: of the draws of a fixed plan."""
    return plan.at_work(RulesOf(noise, shape, exact), part)
