"""What votes prove of probabilities, by the plan under which they were drawn."""

import math
from dataclasses import replace

import numpy as np

from radii.designs import Anytime, Decision, Exhaustive, Sequential, TopK, TwoStage
from radii.errors import InputError, check_name
from radii.intervals import METHODS, bounds, sign_test, strongest_rivals
from radii.lattice import distance
from radii.noises import Independent, Noise
from radii.norms import Ball, inner_radius
from radii.radius import certified_radius, check_bounds, margin
from radii.votes import ABSTAIN, Votes

BY_PILOT_METHODS = ("label", "two-event")
BY_PILOT = " or ".join(BY_PILOT_METHODS)
"""The method of two-stage plans: for each image the one from which its pilot promises the larger radius."""


EXACT = "exact"
"""The method of plans that leave nothing to chance."""


def settled(votes: Votes, labels: str | np.ndarray, k: int, alpha: float, method: str | None) -> str:
    """The method by which these votes are certified; refuses what a sequential plan has settled otherwise."""
    plan = votes.plan
    if isinstance(plan, Exhaustive):
        if method not in (None, EXACT):
            raise InputError(f"votes of all outcomes are exact: method 'exact', not {method!r}")
        return EXACT
    if isinstance(plan, Anytime):
        if method not in (None, "label"):
            raise InputError(f"a plan for any moment bounds the label alone: method 'label', not {method!r}")
        return "label"
    if not isinstance(plan, Sequential | TopK):
        usual = BY_PILOT if isinstance(plan, TwoStage) else METHODS[0]
        return usual if method is None else check_name("method", method, METHODS)
    usual = "label" if isinstance(plan, Sequential) else "two-event"
    asked = {"labels": labels, "alpha": alpha, "method": usual if method is None else method}
    held = {"labels": votes.watched, "alpha": plan.alpha, "method": usual}
    if isinstance(plan, TopK):
        asked, held = asked | {"k": k}, held | {"k": plan.k}
    for name, value in held.items():
        # labels may be an array, which no plan has watched
        if isinstance(asked[name], np.ndarray) or asked[name] != value:
            raise InputError(
                f"the looks at these votes settled {name} = {value!r}, not {asked[name]!r}: "
                "certify so, or draw votes by another plan"
            )
    return usual


def ideal_bounds(
    votes: Votes, label: np.ndarray, *, k: int, alpha: float, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds as of `radii.bounds`, by the plan of the votes, for the law of noise that the rules are about."""
    if isinstance(votes.plan, Sequential):
        assert votes.certified is not None
        lower, rivals = votes.plan.lower(votes.certified), None
    elif isinstance(votes.plan, Anytime):
        n = votes.counts.sum(axis=1)
        right = votes.counts[np.arange(len(votes)), label]
        bound = replace(votes.plan, alpha=alpha).lower(right, np.maximum(n, 1))
        lower, rivals = np.where(n > 0, bound, 0.0), None
    elif isinstance(votes.plan, TopK):
        lower, rivals = votes.plan.bounds(votes.counts, label)
    elif method == EXACT:
        lower, rivals = exact_shares(votes, label, k)
    elif method == BY_PILOT:
        alone, both = (bounds_of_draws(votes, votes.counts, label, k, alpha, one) for one in BY_PILOT_METHODS)
        simple = pilot_prefers_label(votes, label, k, alpha)
        lower, rivals = np.where(simple, alone[0], both[0]), np.where(simple[:, None], alone[1], both[1])
    else:
        lower, rivals = bounds_of_draws(votes, votes.counts, label, k, alpha, method)
    if votes.exact:
        lower, rivals = ideal(votes.noise, votes.shape, lower, rivals)
    return lower, np.arange(1, k + 1) / k * (1 - lower)[:, None] if rivals is None else rivals


def exact_shares(votes: Votes, label: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities themselves, in the form of bounds; 1 is a float below it, as certificates ask for."""
    mine = votes.counts[np.arange(len(votes)), label]
    rivals = np.cumsum(strongest_rivals(votes.counts, label, k), axis=1)
    return np.minimum(mine / votes.n, np.nextafter(1, 0)), rivals / votes.n


def bounds_of_draws(
    votes: Votes, counts: np.ndarray, label: np.ndarray, k: int, alpha: float, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """`radii.bounds`; nothing is known of an image without draws."""
    drawn = counts.any(axis=1)
    if drawn.all():
        return bounds(counts, label, k=k, alpha=alpha, method=method)
    lower, rivals = np.zeros(len(votes)), np.ones((len(votes), k))
    lower[drawn], rivals[drawn] = bounds(counts[drawn], label[drawn], k=k, alpha=alpha, method=method)
    return lower, rivals


def pilot_prefers_label(votes: Votes, label: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """Where the radius is likely to be larger from the votes of the label alone, `(images,)`.

    Depends on the pilot and the number of fresh draws alone, so that the bounds hold whichever is taken.
    """
    plan = votes.plan
    assert isinstance(plan, TwoStage)
    # what the fresh draws would be if they repeated the pilot
    n = votes.counts.sum(axis=1)
    expected = votes.selection * n[:, None] // plan.pilot
    expected[np.arange(len(votes)), label] += n - expected.sum(axis=1)
    alone, both = (
        certified_radius(
            votes.noise,
            plan.norm,
            *bounds_of_draws(votes, expected, label, k, alpha, method),
            k=k,
            shape=votes.shape,
            unit=plan.unit,
        )
        for method in BY_PILOT_METHODS
    )
    return alone > both


def ideal(
    noise: Noise, shape: tuple[int, ...], lower: np.ndarray, rivals: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Bounds under the ideal law of the noise, from bounds under lattice noise: it is near, and that is paid for."""
    assert isinstance(noise, Independent)
    slack = distance(noise, math.prod(shape))
    return np.maximum(lower - slack, 0), None if rivals is None else np.minimum(rivals + slack, 1)


def radius_at_looks(votes: Votes, norm: str, unit: str, k: int, reach: np.ndarray) -> np.ndarray:
    """The radius that the looks of a sequential plan decided, in this norm; 0 for other plans.

    It is read from what was stored, and never searched for, so that it is the same on every machine. `reach`,
    `(images,)`, is what the bounds of the last look give: all of the radii, where all were certified.
    """
    plan = votes.plan
    if isinstance(plan, Sequential):
        return decided(votes, plan, norm, unit, k)
    if not isinstance(plan, TopK):
        return np.zeros(len(votes))
    assert votes.certified is not None
    found = np.array([0.0, *plan.radii])[votes.certified]
    if (plan.norm, plan.unit) == (norm, unit):
        all_of_them = votes.certified == len(plan.radii)
        if (wrong := all_of_them & (reach < found * (1 - 1e-9))).any():
            image = votes.index[np.flatnonzero(wrong)[0]]
            raise InputError(
                f"image {image} cannot have ended with all radii certified: its votes give {reach[wrong][0]:g}"
            )
        return found
    if "l0" in (plan.norm, norm):
        return np.zeros(len(votes))
    return inner_radius(found, plan.norm, norm, math.prod(votes.shape))


def decided(votes: Votes, plan: Sequential, norm: str, unit: str, k: int) -> np.ndarray:
    """The largest of the radii that the plan was asked about that its certified levels decide, `(images,)`."""
    assert votes.certified is not None
    radius = np.zeros(len(votes))
    for decision in plan.decisions:
        if decision.answers(norm, unit, k, votes.exact):
            check_decision(plan, decision, votes.noise, votes.shape)
            radius = np.maximum(radius, decision.radius(votes.certified))
    return radius


def check_decision(plan: Sequential, decision: Decision, noise: Noise, shape: tuple[int, ...]) -> None:
    """Refuse a plan whose levels do not give its radii under this noise: it was made for another one.

    Plans have levels with more room for rounding than this test asks for, so that every processor agrees.
    """
    levels = np.array(plan.levels)[np.array(decision.levels) - 1]
    lower = ideal(noise, shape, levels, None)[0] if decision.exact else levels
    bounds_of = check_bounds(lower, None, decision.k)
    family = noise.trade_offs(Ball(decision.norm, shape, decision.unit))
    if (wrong := margin(family, *bounds_of, np.array(decision.radii)) <= 0).any():
        raise InputError(
            f"the plan was made for other noise or images: a probability of {levels[wrong][0]:.10g} does not certify "
            f"the {decision.norm} radius {decision.radii[int(wrong.argmax())]:g} under {noise.name} noise of "
            f"{noise.level_words} on images of shape {shape}; make the plan anew with radii.sequential"
        )


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
