"""What makes votes valid; anything else is refused with what was expected and what came."""

from typing import TYPE_CHECKING

import numpy as np

from radii.descriptions import data_of
from radii.designs import Plan, check_plan
from radii.errors import InputError, check_name
from radii.fingerprints import fingerprints
from radii.noises import Independent, Noise

if TYPE_CHECKING:
    from radii.votes.base import Votes

PRECISIONS = ("float32", "bfloat16")


def check_identity(votes: "Votes") -> None:
    """Refuse what is no law of votes."""
    if not isinstance(votes.noise, Noise):
        raise InputError(
            f"noise must be a noise of radii, for example radii.Laplace(sigma=0.5); got {votes.noise!r}"
        )
    check_plan(votes.plan)
    check_outcomes(votes.plan, votes.noise)
    check_name("precision", votes.precision, PRECISIONS)
    if votes.exact and not isinstance(votes.noise, Independent):
        raise InputError(f"there is no exact arithmetic of {votes.noise.name} noise")
    if votes.plan.per_image is None:
        if votes.draws:
            raise InputError(
                f"a plan that is followed to its end has no part of its draws; got {votes.draws}"
            )
    elif not votes.draws or votes.draws[-1][1] > votes.plan.most:
        raise InputError(
            f"draws must lie in the plan's {votes.plan.most} and not be empty; got {votes.draws}"
        )


def check_outcomes(plan: Plan, noise: Noise) -> None:
    """Refuse to sample noise whose outcomes are listed, and to list those of other noise."""
    if plan.outcomes != noise.outcomes:
        way = (
            "sampled" if noise.outcomes is None else f"listed, all {noise.outcomes}: radii.exhaustive(noise)"
        )
        raise InputError(f"outcomes of {noise.name} noise are {way}; got the plan {plan}")


def check_images(votes: "Votes") -> None:
    """Refuse images that come twice, or labels that are no classes."""
    index, labels = votes.index, votes.labels
    if index.ndim != 1 or not len(index) or index.min() < 0:
        raise InputError(
            f"index must be positions (images,), none below 0, at least one; got shape {index.shape}"
        )
    positions, times = np.unique(index, return_counts=True)
    if len(positions) < len(index):
        raise InputError(f"image {positions[times > 1][0]} comes more than once in index")
    if votes.fingerprints is not None and votes.fingerprints.shape != index.shape:
        raise InputError(
            f"fingerprints must have the shape {index.shape} of index; got {votes.fingerprints.shape}"
        )
    if labels is None:
        return
    if labels.shape != index.shape:
        raise InputError(f"labels must have the shape {index.shape} of index; got {labels.shape}")
    if labels.min() < 0 or labels.max() >= len(votes.classes):
        raise InputError(
            f"labels must lie in 0..{len(votes.classes) - 1}; found {labels.min()} to {labels.max()}"
        )


def check_seen(votes: "Votes", images: np.ndarray) -> None:
    """Refuse images `(images, *shape)` in [0, 1] that are not those that were voted on, as far as votes know them."""
    if votes.fingerprints is None:
        return
    others = np.flatnonzero(fingerprints(images) != votes.fingerprints)
    if len(others):
        which = f"image {votes.index[others[0]]} of {data_of(votes.data) or 'the votes'}"
        raise InputError(
            f"{which} is not the one that was voted on, to the last bit of float32: take the very images of the votes"
        )


def _possible(votes: "Votes", name: str) -> np.ndarray:
    """The numbers of draws that an image can have in `counts` or `selection`, rising."""
    if name == "selection":
        return votes.plan.selection_draws
    return np.array([votes.n]) if votes.draws else votes.plan.draws


def check_counts(votes: "Votes", name: str) -> None:
    """Refuse `counts` or `selection` with other numbers of draws than the plan takes."""
    counts, possible = getattr(votes, name), _possible(votes, name)
    expected = (len(votes), len(votes.classes))
    if counts.shape != expected:
        raise InputError(f"{name} must have the shape (images, classes) = {expected}; got {counts.shape}")
    if counts.min() < 0:
        raise InputError(f"{name} must not be negative")
    # sums of huge counts wrap around, those of floats do not
    if counts.sum(axis=1, dtype=float).max() > 2**62:
        raise InputError(f"{name} add up to more than any plan draws")
    wrong = np.flatnonzero(~np.isin(counts.sum(axis=1), possible))
    if len(wrong):
        row = wrong[0]
        ends = f"there were {possible[0]} draws" if len(possible) == 1 else "the plan never ends there"
        raise InputError(f"{name} of image {votes.index[row]} add up to {counts[row].sum()}, but {ends}")


def check_certified(votes: "Votes") -> None:
    """Refuse what the looks of the plan cannot have certified."""
    plan, certified = votes.plan, votes.certified
    if not plan.steps:
        if certified is not None:
            raise InputError("certified belongs to plans that look; leave it out")
        return
    if certified is None or certified.shape != votes.index.shape:
        raise InputError(f"certified must be one number an image, shape {votes.index.shape}")
    if not 0 <= certified.min() <= certified.max() <= plan.steps:
        raise InputError(
            f"certified must lie in 0..{plan.steps}; found {certified.min()} to {certified.max()}"
        )
    # labels or numbers that were changed since
    watched = votes.selection.argmax(axis=1) if plan.selection else votes.labels
    if (wrong := plan.cannot_end(votes.counts, watched, certified)).any():
        assert watched is not None
        row = np.flatnonzero(wrong)[0]
        n = votes.counts[row].sum()
        raise InputError(
            f"image {votes.index[row]} cannot have ended with {certified[row]} levels certified: its plan does not "
            f"stop at {n - votes.counts[row, watched[row]]} votes of {n} against label {watched[row]}"
        )
