"""The engine as one function, for models and images that this process has."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from radii.data.dataset import DataSet, as_data_set
from radii.engine.job import Job, at_hand
from radii.engine.parts import Parts, manifest_of
from radii.engine.run import Here, Shard, run
from radii.errors import InputError
from radii.sampling import Smoothed
from radii.sampling.sampler import Progress
from radii.sampling.scale_check import check_scale
from radii.storage.folders import Location, open_folder
from radii.votes import Votes, load_votes, merge
from radii.votes.plans import Plan


def check_same_job(
    votes: Votes, loaded: tuple[Smoothed, DataSet], plan: Plan, seed: int, k: int, path: str
) -> None:
    """Refuse votes that are there already, unless they are those that would be drawn."""
    manifest = Here(Job(partial(at_hand, *loaded), plan, seed, k)).manifest()
    if difference := manifest_of(votes, votes, manifest.block).difference(manifest):
        raise InputError(f"{path} exists, with {difference}: choose another file with --out, or remove it")


def vote(
    smoothed: Smoothed,
    images: Tensor | np.ndarray | DataSet,
    labels: Tensor | np.ndarray | None = None,
    *,
    plan: Plan,
    folder: Location,
    seed: int = 0,
    shard: tuple[int, int] | None = None,
    block: int | None = None,
    progress: Progress | None = None,
) -> Votes | None:
    """What `smoothed.vote` gives, drawn in parts that are kept in `folder`: after any end the same call goes on.

    `folder`: a path, or an address as `s3://bucket/folder`; several processes may share it. It stays: remove it once
    the votes are saved. `shard`: `(i, n)` draws the i-th of n shares, from 1, and gives None; without it, what is
    missing is drawn, and all put together, as by `radii.engine.gather([folder])`. `block`: noisy copies in a part.

    Guarantee: the same votes, bit for bit, however often it was interrupted and whoever drew which part, on one kind
    of device; parts that are damaged are never used, and nothing is counted twice.
    """
    if plan.open_ended:
        raise InputError("the plan anytime draws in one piece: use Smoothed.vote")
    data = as_data_set(images, labels)
    smoothed = smoothed.matched(data)
    check_scale(smoothed.model, smoothed.noise, data)
    job = Job(partial(at_hand, smoothed, data), plan, seed)
    share = None if shard is None else Shard(*shard)
    return run(Here(job), Parts(open_folder(folder)), shard=share, block=block, progress=progress)


def gather(places: Sequence[Location]) -> Votes:
    """All votes in some folders of parts, which together must hold every part of one run, and in some votes files.

    Guarantee: that of `merge`.
    """
    found = {str(place): Parts(open_folder(place)) for place in places}
    manifests = {place: manifest for place, parts in found.items() if (manifest := parts.stored())}
    files = [_votes_in(place) for place in found if place not in manifests]
    if not manifests:
        return merge(files)
    first, manifest = next(iter(manifests.items()))
    held: dict[int, Votes] = {}
    for place, other in manifests.items():
        if difference := other.difference(manifest):
            raise InputError(
                f"{place} is of another run than {first}, with {difference}: merge one run at a time"
            )
        found[place].manifest = manifest
        held |= found[place].held(manifest.units())
    units = manifest.units()
    if missing := [unit for unit in units if unit.number not in held]:
        raise InputError(
            f"{len(missing)} of {len(units)} parts are missing, the first is {missing[0].name}: draw them with the "
            "command that drew the others, or name the folder they are in"
        )
    return merge([*held.values(), *files])


def _votes_in(place: str) -> Votes:
    if Path(place).is_dir():
        raise InputError(
            f"{place} holds no parts: name a folder in which radii vote keeps them, or a votes file"
        )
    return load_votes(place)
