"""How radii vote draws: what each process loads, who draws, and what is said when it is interrupted."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.cli.console import keeping, progress, say
from radii.cli.groups import Options
from radii.cli.model_options import Data, Execution, Polled, Split
from radii.cli.options import DataDir
from radii.errors import InputError, check_name
from radii.storage.folders import exists, open_folder, with_suffix, write_file
from radii.votes import Votes, load_votes
from radii.votes.plans import Plan

if TYPE_CHECKING:
    from radii.data import DataSet
    from radii.engine import Executor, Shard
    from radii.sampling import Smoothed

    Loaded = tuple[Smoothed, DataSet]


EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class ImageOptions(Options):
    """Which images are sampled: of the positions every so many, of these not some, and of these the first."""

    title = "Images"
    data: Data = None
    split: Split = "test"
    indices: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Positions in the split, one per line, or a .npy file. Of these come --stride, then --exclude, then "
            "--limit.",
        ),
    ] = None
    stride: Annotated[int, typer.Option(help="Take the first image, and then every STRIDE-th.")] = 1
    exclude: Annotated[
        list[int],
        typer.Option(
            metavar="POSITION", help="Position of an image to leave out; may be given several times."
        ),
    ] = field(default_factory=list)
    limit: Annotated[int | None, typer.Option(help="Most images, from the first.  [default: all]")] = None
    data_dir: DataDir = None

    def chosen(self, images: "DataSet") -> "DataSet":
        """Those of the images that the options name."""
        from radii.data import read_positions

        if self.indices is not None:
            images = images.at(read_positions(self.indices))
        images = images.every(self.stride).without(tuple(self.exclude))
        return images if self.limit is None else images.first(self.limit)


@dataclass(frozen=True)
class JobSource:
    """Where the model and the images are, for any process that takes part."""

    model: Polled
    images: ImageOptions
    execution: Execution
    exact: bool

    def load(self, number: int = 0) -> "Loaded":
        """The model, on the GPU of process `number` if there are any, and the images."""
        from radii.data import load_data
        from radii.models.devices import device_of
        from radii.sampling import Smoothed

        images = self.model.fitting(load_data(self.model.data(), self.images.split, self.images.data_dir))
        data = self.images.chosen(images)
        model, how = self.model.load(device_of(number)), self.execution
        smoothed = Smoothed(model, self.model.law(), how.precision, how.batch_size, how.compile, self.exact)
        return smoothed.matched(data), data


@dataclass(frozen=True)
class Team(Options):
    """Who draws: a share of the work or all of it, by how many processes, in parts of what size."""

    title = "Running"
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Draw the I-th of N shares of the work.  [default: all that is missing]"
        ),
    ] = None
    workers: Annotated[
        int | None, typer.Option(help="Processes that draw.  [default: one per GPU, else this one]")
    ] = None
    executor: Annotated[
        str, typer.Option(help="local, or ray: the cluster at RAY_ADDRESS, or one started here.")
    ] = "local"
    worker_timeout: Annotated[
        float, typer.Option(help="Seconds of silence after which a worker is replaced.")
    ] = 600.0
    part_size: Annotated[
        int | None,
        typer.Option(help="Noise samples per part of the work.  [default: 16384, or more if there are many]"),
    ] = None

    def check(self) -> None:
        """Refuse what no team can be, before anything is loaded."""
        from radii.engine import check_workers

        check_workers(1 if self.workers is None else self.workers, self.worker_timeout)
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

    def start(self, source: JobSource, loaded: "Loaded", plan: Plan, seed: int, k: int) -> "Executor":
        """Workers, one for each GPU if there are several, or this process."""
        from radii.engine import Job, LocalExecutor, Workers
        from radii.models.devices import gpus, threads_of

        if check_name("executor", self.executor, EXECUTORS) == "ray":
            return self._cluster(loaded, plan, seed, k)
        count = self.workers if self.workers is not None else gpus()
        if self.workers is None and count <= 1:
            return LocalExecutor(Job.in_memory(*loaded, plan, seed, k))
        threads = threads_of(count)
        return Workers(
            lambda number: Job(partial(source.load, number), plan, seed, k, threads),
            count,
            self.worker_timeout,
        )

    def _cluster(self, loaded: "Loaded", plan: Plan, seed: int, k: int) -> "Executor":
        """All devices of the Ray cluster that RAY_ADDRESS names, or of this machine."""
        from radii.engine import Job
        from radii.engine.ray import Cluster

        if self.workers is not None:
            raise InputError("Ray gives each of its devices one process: leave out --workers")
        job = Job.in_memory(*loaded, plan, seed, k)
        return Cluster(*loaded, job, os.environ.get("RAY_ADDRESS", "local"))


def draw(
    source: JobSource, loaded: "Loaded", plan: Plan, seed: int, k: int, path: str, team: Team
) -> Votes | None:
    """Draw what is missing, keep parts on the way, write the votes; None for a shard, of which the end is said."""
    from radii.engine import Parts, run

    folder, share = with_suffix(path, ".parts"), team.share()
    parts = Parts(open_folder(folder))
    kept = f"what is done is kept in {folder}, and the same command goes on from there"
    part = "" if share is None else f", shard {share.number} of {share.count}"
    with keeping(lambda: kept), progress(f"vote on {len(loaded[1])} images{part}") as move:
        executor = team.start(source, loaded, plan, seed, k)
        votes = run(
            executor, parts, shard=share, block=team.part_size, finished=lambda: exists(path), progress=move
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
            "the plan anytime draws in one piece: leave out --shard, --workers, --worker-timeout and --part-size"
        )
    smoothed, data = loaded
    with progress(f"vote on {len(data)} images") as move:
        votes = smoothed.ready(data.shape, data).vote(data, plan, seed, None, move, seconds, k)
    write_file(path, votes.encode())
    return votes
