"""Bounds on class probabilities from votes, the radii that plans derive from them, and predictions."""

import math
from dataclasses import dataclass

import numpy as np

from radii.certificates.radius import certified_radius, check_bounds, confirmed, margin
from radii.noises import Noise, ProductNoise
from radii.noises.lattice import distance
from radii.noises.norms import Ball, Norm, Unit
from radii.votes import ABSTAIN, Votes
from radii.votes.bounds import Method, rest_for_rivals, sign_test


def ideal_bounds(
    votes: Votes, label: np.ndarray, *, k: int, alpha: float, method: Method
) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds as `radii.bounds` does, by the plan of the votes, under the ideal noise that rules are about."""
    rules = NoiseRules(votes.noise, votes.shape, votes.exact_arithmetic)
    lower, rivals = rules.to_ideal(*votes.plan.bounds_from(votes, label, k, alpha, method, rules))
    return lower, rest_for_rivals(lower, k, label.ndim == 2) if rivals is None else rivals


@dataclass(frozen=True)
class NoiseRules:
    """The rules of one noise for images of one shape, as plans use them; see `radii.votes.plans.Rules`.

    `exact`: the noise is drawn on a lattice.
    """

    noise: Noise
    shape: tuple[int, ...]
    exact: bool = False

    @property
    def description(self) -> str:
        return f"{self.noise.name} noise of {self.noise.level_words} on images of shape {self.shape}"

    def radius(
        self, norm: Norm, unit: Unit, k: int, lower: np.ndarray, rivals: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the radius that bounds under the ideal noise give, `(n,)`."""
        return certified_radius(self.noise, norm, lower, rivals, k=k, shape=self.shape, unit=unit)

    def holds(
        self, norm: Norm, unit: Unit, k: int, lower: np.ndarray, rivals: np.ndarray | None, radius: np.ndarray
    ) -> np.ndarray:
        """Return where bounds under the noise that is drawn certify `radius`, `(n,)`.

        `lower`, `(n,)`, bounds the label, `rivals`, `(n, k)`, its rivals.
        """
        # one evaluation of the margin instead of a search for the radius, of which it takes some 25
        lower, rivals = check_bounds(*self.to_ideal(lower, rivals), k)
        family = self.noise.trade_offs(Ball(norm, self.shape, unit))
        held = confirmed(lower, rivals)
        held[held] = margin(family, lower[held], rivals[held], radius[held]) > 0
        return held

    def to_ideal(self, lower: np.ndarray, rivals: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return bounds under the ideal noise from bounds under the noise that is drawn.

        On a lattice, they lose the total variation distance of the two distributions (docs/math/exact.md).
        """
        if not self.exact:
            return lower, rivals
        assert isinstance(self.noise, ProductNoise)
        # on the bounds, not on alpha, where it would count once for every sample: a thousand times dearer at n = 1e5
        slack = distance(self.noise, math.prod(self.shape))
        return np.maximum(lower - slack, 0), None if rivals is None else np.minimum(rivals + slack, 1)


def decide(counts: np.ndarray, alpha: float) -> np.ndarray:
    """Return the most frequent class of each row of `counts` `(images, classes)`, or ABSTAIN.

    Abstains unless the two-sided binomial test rejects that the best two classes are equally probable.

    Guarantee: a class other than the most probable one is returned with probability at most `alpha` (Hung & Fithian
    2019, Rank verification for exponential families).
    """
    label = counts.argmax(1)
    best = counts.max(1)
    rest = counts.copy()
    np.put_along_axis(rest, label[:, None], -1, axis=1)
    second = np.maximum(rest.max(1), 0)  # with a single class, nothing is second
    # two-sided, although only the winner is named: which class wins was not fixed before the counts
    p_value = np.minimum(1, 2 * sign_test(best, second))
    return np.where(p_value <= alpha, label, ABSTAIN)


def clear_winner(counts: np.ndarray) -> np.ndarray:
    """Return the most frequent class of each row of `counts` `(images, classes)`, or ABSTAIN where classes tie."""
    alone = (counts == counts.max(1, keepdims=True)).sum(1) == 1
    return np.where(alone, counts.argmax(1), ABSTAIN)
