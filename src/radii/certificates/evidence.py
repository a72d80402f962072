"""What votes prove of probabilities, and how that becomes radii."""

import math
from dataclasses import dataclass

import numpy as np

from radii.certificates.radius import certified_radius, check_bounds, confirmed, margin
from radii.noises import Noise, ProductNoise
from radii.noises.lattice import distance
from radii.noises.norms import Ball
from radii.votes import ABSTAIN, Votes
from radii.votes.bounds import sign_test


@dataclass(frozen=True)
class NoiseRules:
    """The rules of one noise for images of one shape, as plans ask for them; see `radii.votes.plans.Rules`."""

    noise: Noise
    shape: tuple[int, ...]
    exact: bool = False

    @property
    def description(self) -> str:
        return f"{self.noise.name} noise of {self.noise.level_words} on images of shape {self.shape}"

    def radius(
        self, norm: str, unit: str, k: int, lower: np.ndarray, rivals: np.ndarray | None = None
    ) -> np.ndarray:
        """The radius that bounds give, `(n,)`."""
        return certified_radius(self.noise, norm, lower, rivals, k=k, shape=self.shape, unit=unit)

    def holds(
        self, norm: str, unit: str, k: int, lower: np.ndarray, rivals: np.ndarray | None, radius: np.ndarray
    ) -> np.ndarray:
        """Where bounds on the label, `(n,)`, and its rivals, `(n, k)`, certify `radius`, `(n,)`."""
        lower, rivals = check_bounds(*self.to_ideal(lower, rivals), k)
        family = self.noise.trade_offs(Ball(norm, self.shape, unit))
        found = confirmed(lower, rivals)
        found[found] = margin(family, lower[found], rivals[found], radius[found]) > 0
        return found

    def to_ideal(self, lower: np.ndarray, rivals: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Bounds under the law that the rules are about."""
        return ideal(self.noise, self.shape, lower, rivals) if self.exact else (lower, rivals)


def ideal_bounds(
    votes: Votes, label: np.ndarray, *, k: int, alpha: float, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds as of `radii.bounds`, by the plan of the votes, for the law of noise that the rules are about."""
    rules = NoiseRules(votes.noise, votes.shape, votes.exact_arithmetic)
    lower, rivals = rules.to_ideal(*votes.plan.bounds_from(votes, label, k, alpha, method, rules))
    return lower, np.arange(1, k + 1) / k * (1 - lower)[:, None] if rivals is None else rivals


def ideal(
    noise: Noise, shape: tuple[int, ...], lower: np.ndarray, rivals: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Bounds under the ideal law of the noise, from bounds under lattice noise: it is near, and that is paid for."""
    assert isinstance(noise, ProductNoise)
    slack = distance(noise, math.prod(shape))
    return np.maximum(lower - slack, 0), None if rivals is None else np.minimum(rivals + slack, 1)


def decide(counts: np.ndarray, alpha: float) -> np.ndarray:
    """The most frequent class of each row of `counts` `(images, classes)`, or ABSTAIN.

    The two-sided binomial test of whether the best two classes are equally probable (Hung and Fithian 2019).
    """
    label = counts.argmax(1)
    best = counts.max(1)
    rest = counts.copy()
    np.put_along_axis(rest, label[:, None], -1, axis=1)
    second = np.maximum(rest.max(1), 0)
    chance = np.minimum(1, 2 * sign_test(best, second))
    return np.where(chance <= alpha, label, ABSTAIN)


def clear_winner(counts: np.ndarray) -> np.ndarray:
    """The most frequent class of each row of `counts` `(images, classes)`, or ABSTAIN where it is not alone."""
    alone = (counts == counts.max(1, keepdims=True)).sum(1) == 1
    return np.where(alone, counts.argmax(1), ABSTAIN)
