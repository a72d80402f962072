"""Attacks on smoothed classifiers: from above what certificates bound from below, and a test of certificates."""

from radii.attacks.attack import Attacks, attack
from radii.attacks.descent import Effort

__all__ = ["Attacks", "Effort", "attack"]
