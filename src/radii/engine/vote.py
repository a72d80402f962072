"""The engine as one function, for models and images that this process has."""

from functools import partial

import numpy as np
from torch import Tensor

from radii.data.base import DataSet
from radii.designs import Plan
from radii.engine.job import Job, at_hand
from radii.engine.parts import Parts
from radii.engine.run import Here, Shard, run
from radii.errors import InputError
from radii.examples import examples_in
from radii.sampling import Smoothed
from radii.scales import check_scale
from radii.stores import Where, open_folder
from radii.votes import Votes
from radii.voting import Progress


def vote(
    smoothed: Smoothed,
    images: Tensor | np.ndarray | DataSet,
    labels: Tensor | np.ndarray | None = None,
    *,
    plan: Plan,
    folder: Where,
    seed: int = 0,
    index: Tensor | np.ndarray | None = None,
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
    examples = examples_in(images, labels, index)
    smoothed = smoothed.matched(examples)
    check_scale(smoothed.model, smoothed.noise, examples)
    job = Job(partial(at_hand, smoothed, examples), plan, seed)
    share = None if shard is None else Shard(*shard)
    return run(Here(job), Parts(open_folder(folder)), shard=share, block=block, progress=progress)
