"""How radii vote draws: what each process loads, who draws, and what is said when it is interrupted."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from radii.cli.console import keeping, progress, say
from radii.cli.model_options import Polled
from radii.errors import InputError, check_name
from radii.storage.folders import exists, open_folder, with_suffix, write_file
from radii.votes import Votes, load_votes
from radii.votes.plans import Plan

if TYPE_CHECKING:
    from radii.data import DataSet
    from radii.data.examples import Examples
    from radii.engine import Executor, Shard
    from radii.sampling import Smoothed

    Loaded = tuple[Smoothed, Examples]


EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class Source:
    """Where the model and the images are, for any process that takes part."""

    model: Polled
    precision: str
    batch: int | None
    compile: bool
    exact: bool
    split: str
    every: int
    leave_out: tuple[int, ...]
    first: int | None
    data_dir: Path | None
    subset: Path | None

    def load(self, number: int = 0) -> "Loaded":
        """The model, on the GPU of process `number` if there are any, and the images."""
        from radii.data import load_data
        from radii.data.examples import examples_of
        from radii.models.devices import device_of
        from radii.sampling import Smoothed

        images = self.model.fitting(load_data(self.model.data(), self.split, self.data_dir))
        examples = examples_of(self.chosen(images))
        model = self.model.load(device_of(number))
        smoothed = Smoothed(model, self.model.law(), self.precision, self.batch, self.compile, self.exact)
        return smoothed.matched(examples), examples

    def chosen(self, images: "DataSet") -> "DataSet":
        """Those of the images to poll: of the subset every so many, of these not some, and of these the first."""
        from radii.data import read_positions

        if self.subset is not None:
            images = images.at(read_positions(self.subset))
        images = images.every(self.every).without(self.leave_out)
        return images if self.first is None else images.first(self.first)


@dataclass(frozen=True)
class Team:
    """Who draws: a share of the work or all of it, by how many processes, in parts of what size."""

    shard: str | None = None
    workers: int | None = None
    lease: float = 600.0
    block: int | None = None
    on: str = "local"

    def check(self) -> None:
        """Refuse what no team can be, before anything is loaded."""
        from radii.engine import check_workers

        check_workers(1 if self.workers is None else self.workers, self.lease)
        self.share()

    def share(self) -> "Shard | None":
        """The shard that `I/N` means."""
        from radii.engine import Shard

        if self.shard is None:
            return None
        number, _, count = self.shard.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise InputError(f"a shard is I/N, for example 2/7 for the second of seven; got {self.shard!r}")
        return Shard(int(number), int(count))

    def executor(self, source: Source, loaded: "Loaded", plan: Plan, seed: int, k: int) -> "Executor":
        """Workers, one for each GPU if there are several, or this process."""
        from radii.engine import Here, Job, Workers, at_hand
        from radii.models.devices import gpus, threads_of

        if check_name("executor", self.on, EXECUTORS) == "ray":
            return self._cluster(loaded, plan, seed, k)
        count = self.workers if self.workers is not None else gpus()
        if self.workers is None and count <= 1:
            return Here(Job(partial(at_hand, *loaded), plan, seed, k))
        threads = threads_of(count)
        return Workers(
            lambda number: Job(partial(source.load, number), plan, seed, k, threads), count, self.lease
        )

    def _cluster(self, loaded: "Loaded", plan: Plan, seed: int, k: int) -> "Executor":
        """All devices of the Ray cluster that RAY_ADDRESS names, or of this machine."""
        from radii.engine import Job, at_hand
        from radii.engine.ray import Cluster

        if self.workers is not None:
            raise InputError("Ray gives each of its devices one process: leave out --workers")
        job = Job(partial(at_hand, *loaded), plan, seed, k)
        return Cluster(*loaded, job, os.environ.get("RAY_ADDRESS", "local"))


def draw(
    source: Source, loaded: "Loaded", plan: Plan, seed: int, k: int, path: str, team: Team
) -> Votes | None:
    """Draw what is missing, keep parts on the way, write the votes; None for a shard, of which the end is said."""
    from radii.engine import Parts, run

    folder, share = with_suffix(path, ".parts"), team.share()
    parts = Parts(open_folder(folder))
    kept = f"what is done is kept in {folder}, and the same command goes on from there"
    part = "" if share is None else f", shard {share.number} of {share.count}"
    with keeping(lambda: kept), progress(f"vote on {len(loaded[1])} images{part}") as move:
        executor = team.executor(source, loaded, plan, seed, k)
        votes = run(
            executor, parts, shard=share, block=team.block, finished=lambda: exists(path), progress=move
        )
    if share is not None and not exists(path):
        say(
            f"Shard {share.number} of {share.count} is drawn: {folder}\nNext, when all are: radii merge {folder}"
        )
        return None
    if votes is None:
        # another process has finished, perhaps just before this one began the run anew
        votes = load_votes(path)
        parts.check_result(votes, path)
        parts.clear()
        return votes
    write_file(path, votes.encode())
    parts.clear()
    return votes


def draw_for(
    seconds: float | None, loaded: "Loaded", plan: Plan, seed: int, k: int, path: str, team: Team
) -> Votes:
    """Draw by the plan anytime, which looks at all images at once and stops when the time is over."""
    if team != Team():
        raise InputError(
            "the plan anytime draws in one piece: leave out --shard, --workers, --lease and --block"
        )
    smoothed, examples = loaded
    with progress(f"vote on {len(examples)} images") as move:
        votes = smoothed.ready(examples.shape, examples).vote(examples, plan, seed, None, move, seconds, k)
    write_file(path, votes.encode())
    return votes
