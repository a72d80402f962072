"""Votes that belong together, added up: more draws of the same images, the same draws of other images."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from radii.errors import InputError
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


def merge(votes: "Sequence[Votes]") -> "Votes":
    """All votes as one; images come in order of index.

    Guarantee: no draw is counted twice, and no two laws or classifiers are mixed: anything else is an error.
    """
    first = votes[0]
    for other in votes[1:]:
        check_same_manifest(first, other)
    groups: dict[bytes, list[Votes]] = {}
    for one in votes:
        ordered = one if (one.index[1:] > one.index[:-1]).all() else one[np.argsort(one.index)]
        groups.setdefault(ordered.index.tobytes(), []).append(ordered)
    _check_apart([same[0] for same in groups.values()])
    return _more_images([_more_draws(same) for same in groups.values()])


def check_same_manifest(one: "Votes", two: "Votes") -> None:
    """Refuse two votes that differ in more than images and draws."""
    for name in SHARED_FIELDS:
        if (mine := getattr(one, name)) != (other := getattr(two, name)):
            raise InputError(f"votes with different {name} cannot be added: {mine} and {other}")
    if (one.labels is None) != (two.labels is None):
        raise InputError(
            "votes with true labels and votes without cannot be added: give labels to both or neither"
        )


def _check_apart(groups: "list[Votes]") -> None:
    """Refuse groups of images that overlap."""
    seen, times = np.unique(np.concatenate([one.index for one in groups]), return_counts=True)
    if not (shared := seen[times > 1]).size:
        return
    one, two = [group for group in groups if shared[0] in group.index][:2]
    _check_parts(one, int(shared[0]))
    raise InputError(
        f"votes on {len(one)} and {len(two)} images share {len(np.intersect1d(one.index, two.index))} of them; "
        "add votes on the same images, or on wholly different ones"
    )


def _more_images(groups: "list[Votes]") -> "Votes":
    first = groups[0]
    for other in groups[1:]:
        if other.draws != first.draws:
            raise InputError(
                f"votes on other images must have the same draws: {first.draws} and {other.draws}"
            )
    order = np.argsort(np.concatenate([one.index for one in groups]))
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(one, name) for one in groups])[order]
        for name in ("counts", "selection", "index", "labels", "certified")
        if getattr(first, name) is not None
    }
    known = [one.fingerprints for one in groups if one.fingerprints is not None]
    joined["fingerprints"] = np.concatenate(known)[order] if len(known) == len(groups) else None
    return replace(first, **joined, devices=tuple({device: 0 for one in groups for device in one.devices}))


def _more_draws(same: "list[Votes]") -> "Votes":
    """Votes on the same images in the same order."""
    first = same[0]
    for other in same[1:]:
        _check_draws(first, other)
    if len(same) == 1:
        return first
    known = [one for one in same if one.fingerprints is not None]
    for other in known[1:]:
        _check_alike("the pixels", known[0].fingerprints, other.fingerprints, first.index)
    return replace(
        first,
        counts=np.add.reduce([one.counts for one in same]),
        draws=tuple(span for one in same for span in one.draws),
        fingerprints=known[0].fingerprints if known else None,
    )


def _check_parts(votes: "Votes", image: int) -> None:
    if votes.plan.per_image is None:
        raise InputError(f"image {image} is in both votes, but its plan is followed to the end in each")


def _check_draws(one: "Votes", two: "Votes") -> None:
    _check_parts(one, int(one.index[0]))
    if one.devices != two.devices or len(one.devices) > 1:
        raise InputError(
            f"draws of the same images on different kinds of devices cannot be added: {', '.join(one.devices)} and "
            f"{', '.join(two.devices)} round differently, and are two classifiers"
        )
    if one.labels is not None:
        _check_alike("the true label", one.labels, two.labels, one.index)
    if not np.array_equal(one.selection, two.selection):
        image = one.index[np.flatnonzero((one.selection != two.selection).any(1))[0]]
        raise InputError(
            f"votes disagree about the selection draws of image {image}, which both must have seen alike: "
            "the model or the hardware differed"
        )


def _check_alike(words: str, one: Any, two: Any, index: np.ndarray) -> None:
    if not np.array_equal(one, two):
        image = index[np.flatnonzero(one != two)[0]]
        raise InputError(f"votes disagree about {words} of image {image}: is it the same data set?")
