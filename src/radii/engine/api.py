"""The engine as two functions: sample votes in parts, and gather the parts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from radii.data.dataset import DataSet, as_data_set
from radii.engine.job import Job
from radii.engine.parts import Parts, manifest_of
from radii.engine.run import LocalExecutor, Shard, run
from radii.errors import InputError
from radii.sampling import Smoothed
from radii.sampling.sampler import Progress
from radii.storage.folders import Location, open_folder
from radii.votes import Votes, load_votes, merge
from radii.votes.plans import Plan


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
    """Count votes as `Smoothed.vote` does, in parts that are stored in a folder; the same call resumes the work.

    Several processes and machines may share the folder. It is not removed: do so once the votes are saved.

    Parameters
    ----------
    smoothed, images, labels, plan, seed, progress : those of `Smoothed.vote`; any plan but `radii.anytime`
    folder : a path, or an address such as `s3://bucket/folder`
    shard : `(i, n)` samples the i-th of n shares of the work, counted from 1
    block : noise samples per part, if the run is new; by default 16384, or more if there were too many parts

    Returns
    -------
    Votes, or None
        None for a shard; see `radii.engine.gather`. Otherwise all votes, after missing parts were sampled.

    Raises
    ------
    InputError
        If the folder holds parts of another run, among others.

    Notes
    -----
    Guarantee: the same votes, bit for bit, however often the work was interrupted and whichever process sampled which
    part, on one kind of device. Damaged parts are never used, and no noise sample is counted twice.
    """
    # it samples until its time is over, so the draws of a part are unknown beforehand
    if plan.open_ended:
        raise InputError("the plan anytime samples in one piece: use Smoothed.vote")
    data = as_data_set(images, labels)
    executor = LocalExecutor(Job.in_memory(smoothed.checked(data), data, plan, seed))
    share = None if shard is None else Shard(*shard)
    return run(executor, Parts(open_folder(folder)), shard=share, block=block, progress=progress)


def gather(sources: Sequence[Location]) -> Votes:
    """Return all votes in some folders of parts and some votes files.

    Parameters
    ----------
    sources : paths or addresses; the folders among them must together hold every part of one run

    Raises
    ------
    InputError
        If parts are missing, or belong to different runs.

    Notes
    -----
    Guarantee: no noise sample is counted twice, and votes of different runs are not mixed.
    """
    folders = {str(source): Parts(open_folder(source)) for source in sources}
    # a folder without a manifest is taken for a file, whose error then says what it is
    manifests = {source: manifest for source, parts in folders.items() if (manifest := parts.stored())}
    files = [_load_file(source) for source in folders if source not in manifests]
    if not manifests:
        return merge(files)
    first, manifest = next(iter(manifests.items()))
    units = manifest.units()
    votes: dict[int, Votes] = {}
    for source, other in manifests.items():
        if difference := other.difference(manifest):
            raise InputError(
                f"{source} is of another run than {first}, with {difference}: merge one run at a time"
            )
        # parts are checked against one manifest, whichever folder they lie in
        folders[source].manifest = manifest
        votes |= folders[source].load(units)
    if missing := [unit for unit in units if unit.number not in votes]:
        raise InputError(
            f"{len(missing)} of {len(units)} parts are missing, the first is {missing[0].name}: sample them with the "
            "command that sampled the others, or name the folder they are in"
        )
    return merge([*votes.values(), *files])


def check_same_job(
    votes: Votes, loaded: tuple[Smoothed, DataSet], plan: Plan, seed: int, k: int, path: str
) -> None:
    """Raise `InputError` unless the existing votes in `path` are those that this job gives."""
    # the settings of the model are a part of the identity of votes, so the job must start to be compared
    manifest = Job.in_memory(*loaded, plan, seed, k).start().manifest()
    if difference := manifest_of(votes, votes, manifest.block).difference(manifest):
        raise InputError(f"{path} exists, with {difference}: choose another file with --out, or remove it")


def _load_file(source: str) -> Votes:
    if Path(source).is_dir():
        raise InputError(
            f"{source} holds no parts: name a folder in which radii vote keeps them, or a votes file"
        )
    return load_votes(source)
