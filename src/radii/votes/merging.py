"""Addition of votes: more noise samples of the same images, or the same samples of other images."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from radii.errors import InputError, RadiiWarning
from radii.votes.canary import other_answers
from radii.votes.record import Votes

SHARED_FIELDS = (
    "noise",
    "shape",
    "plan",
    "seed",
    "model",
    "precision",
    "exact_arithmetic",
    "data",
    "classes",
    "software",
)
"""Fields that votes must share to be added: all that identifies them but images and ranges of samples."""


def merge(votes: Sequence[Votes]) -> Votes:
    """Return all votes as one record, with images in order of index.

    Guarantee: no sample is counted twice, and no two configurations or classifiers mix: anything else raises
    `InputError`.
    """
    first = votes[0]
    for other in votes[1:]:
        check_same_manifest(first, other)
    known = [part for part in votes if part.canary]
    for other in known[1:]:
        _check_same_answers(known[0], other)
    if len(known) < len(votes) > 1:
        warnings.warn(
            RadiiWarning(
                f"{len(votes) - len(known)} of {len(votes)} votes to be added have no canary: that one model gave all "
                f"of them is known by its weights or its name alone, {first.model}"
            ),
            stacklevel=3,
        )
    # By their images, first samples, then images: rows of one record share `draws`, so that images can be joined only
    # when each has all of its ranges. The order of images within a part does not matter, but sums need one order.
    groups: dict[bytes, list[Votes]] = {}
    for part in votes:
        ordered = part if (part.index[1:] > part.index[:-1]).all() else part[np.argsort(part.index)]
        groups.setdefault(ordered.index.tobytes(), []).append(ordered)
    _check_disjoint([same[0] for same in groups.values()])
    merged = _join_images([_add_samples(same) for same in groups.values()])
    # that of one part would vouch for all; the same one in any order, as their last digits may differ
    canary = min(part.canary for part in known) if len(known) == len(votes) else ()
    return replace(merged, canary=canary)


def check_same_manifest(votes: Votes, other: Votes) -> None:
    """Raise `InputError` for votes that differ in more than images and ranges of samples."""
    for name in SHARED_FIELDS:
        if (first := getattr(votes, name)) != (second := getattr(other, name)):
            raise InputError(f"votes with different {name} cannot be added: {first} and {second}")
    if (votes.labels is None) != (other.labels is None):
        raise InputError(
            "votes with true labels and votes without cannot be added: give labels to both or neither"
        )


def _check_same_answers(votes: Votes, other: Votes) -> None:
    """Raise `InputError` for votes of two models with the same digest."""
    if difference := other_answers(votes.canary, other.canary, votes.precision):
        raise InputError(
            f"votes of two models cannot be added: both are named {votes.model}, but one gives {difference}: compare "
            "their code, such as activations, padding and attributes, which weights and names do not tell"
        )


def _check_disjoint(groups: list[Votes]) -> None:
    """Raise `InputError` for groups of images that overlap."""
    positions, times = np.unique(np.concatenate([group.index for group in groups]), return_counts=True)
    if not (shared := positions[times > 1]).size:
        return
    first, second = [group for group in groups if shared[0] in group.index][:2]
    # votes on the same images would not add up either under such a plan, so the advice below would be wrong
    _check_has_parts(first, int(shared[0]))
    both = len(np.intersect1d(first.index, second.index))
    raise InputError(
        f"votes on {len(first)} and {len(second)} images share {both} of them; "
        "add votes on the same images, or on wholly different ones"
    )


def _join_images(groups: list[Votes]) -> Votes:
    """Return votes on disjoint sets of images as one record, in order of index."""
    first = groups[0]
    for other in groups[1:]:
        if other.draws != first.draws:
            raise InputError(
                f"votes on other images must have the same ranges of draws; got {first.draws} and {other.draws}"
            )
    order = np.argsort(np.concatenate([group.index for group in groups]))
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(group, name) for group in groups])[order]
        for name in ("counts", "selection", "index", "labels", "certified")
        if getattr(first, name) is not None
    }
    known = [group.fingerprints for group in groups if group.fingerprints is not None]
    joined["fingerprints"] = np.concatenate(known)[order] if len(known) == len(groups) else None
    devices = tuple({device for group in groups for device in group.devices})
    return replace(first, **joined, devices=devices)


def _add_samples(same: list[Votes]) -> Votes:
    """Return the sum of votes on the same images in the same order."""
    first = same[0]
    for other in same[1:]:
        _check_addable(first, other)
    if len(same) == 1:
        return first
    # parts of older files have no fingerprints and are taken as they are; all others must agree
    known = [part for part in same if part.fingerprints is not None]
    for other in known[1:]:
        _check_equal("the pixels", known[0].fingerprints, other.fingerprints, first.index)
    return replace(
        first,
        counts=np.add.reduce([part.counts for part in same]),
        draws=tuple(span for part in same for span in part.draws),
        fingerprints=known[0].fingerprints if known else None,
    )


def _check_has_parts(votes: Votes, image: int) -> None:
    """Raise `InputError` unless the plan of the votes has parts that add up."""
    # other plans stop by the votes so far: two ends of such a plan are not an end of it, and their sum has no guarantee
    if votes.plan.per_image is None:
        raise InputError(
            f"image {image} is in both votes, but its plan is followed to the end in each: leave one out"
        )


def _check_addable(votes: Votes, other: Votes) -> None:
    """Raise `InputError` unless samples of the same images come from one classifier and one selection."""
    _check_has_parts(votes, int(votes.index[0]))
    # two kinds in one part: which image ran on which is not recorded, so nothing shows that both parts agree
    if votes.devices != other.devices or len(votes.devices) > 1:
        raise InputError(
            "samples of the same images on different kinds of devices cannot be added: "
            f"{', '.join(votes.devices)} and {', '.join(other.devices)} round differently, and are two classifiers"
        )
    if votes.labels is not None:
        _check_equal("the true label", votes.labels, other.labels, votes.index)
    # every part repeats the selection samples of its images, so they also test that the classifier was the same
    if not np.array_equal(votes.selection, other.selection):
        image = votes.index[np.flatnonzero((votes.selection != other.selection).any(1))[0]]
        raise InputError(
            f"votes disagree about the selection samples of image {image}, which both must have counted alike: "
            "the model or the hardware differed"
        )


def _check_equal(name: str, values: Any, others: Any, index: np.ndarray) -> None:
    if not np.array_equal(values, others):
        image = index[np.flatnonzero(values != others)[0]]
        raise InputError(f"votes disagree about {name} of image {image}: is it the same data set?")
