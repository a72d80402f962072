"""Attacks on smoothed classifiers: upper bounds on robust radii, and a test of certificates."""

from radii.attacks.attack import Attacks, attack
from radii.attacks.descent import Effort

__all__ = ["Attacks", "Effort", "attack"]
