"""The sampling behind radii vote: what each process loads, which processes sample, and how an interruption ends."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.cli.console import interrupted_with, progress, say
from radii.cli.groups import Options
from radii.cli.model_options import Execution, ModelSource
from radii.cli.options import DataDir, Split
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
    """Which images are sampled: positions, then a step, then exclusions, then a limit."""

    title = "Images"
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Data set or images to sample.",
            show_default="the training data of RUN",
        ),
    ] = None
    split: Split = "test"
    indices: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File of positions in the split, one per line, or .npy."),
    ] = None
    stride: Annotated[int, typer.Option(help="Step from one sampled image to the next.")] = 1
    exclude: Annotated[
        list[int],
        typer.Option(metavar="POSITION", help="Position of an image to leave out (repeatable)."),
    ] = field(default_factory=list)
    limit: Annotated[
        int | None, typer.Option(help="Maximum number of images.", show_default="all images")
    ] = None
    data_dir: DataDir = None

    def chosen(self, images: "DataSet") -> "DataSet":
        """Return the images that the options choose."""
        from radii.data import read_positions

        if self.indices is not None:
            images = images.at(read_positions(self.indices))
        images = images.every(self.stride).without(tuple(self.exclude))
        return images if self.limit is None else images.first(self.limit)


@dataclass(frozen=True)
class JobSource:
    """Where the model and the images come from; each process loads them anew."""

    model: ModelSource
    images: ImageOptions
    execution: Execution
    exact: bool

    def load(self, number: int = 0) -> "Loaded":
        """Load the model, onto the GPU of process `number` if there are GPUs, and the images."""
        from radii.data import load_data
        from radii.models.devices import device_of
        from radii.sampling import Smoothed

        source, execution = self.model, self.execution
        data = load_data(source.data_name(), self.images.split, self.images.data_dir)
        chosen = self.images.chosen(source.accepted(data))
        smoothed = Smoothed(
            source.load(device_of(number)),
            source.noise(),
            execution.precision,
            execution.batch_size,
            execution.compile,
            self.exact,
        )
        return smoothed.matched(chosen), chosen


@dataclass(frozen=True)
class Processes(Options):
    """Which share of the work is done here, by which processes, in parts of which size."""

    title = "Running"
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Share of the work: the I-th of N.", show_default="all missing parts"
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of worker processes.", show_default="one per GPU, or none: in this process"
        ),
    ] = None
    executor: Annotated[
        str, typer.Option(help="Executor: local, or ray, at RAY_ADDRESS or started here.")
    ] = "local"
    worker_timeout: Annotated[
        float, typer.Option(help="Seconds without news after which a worker is replaced.")
    ] = 600.0
    part_size: Annotated[
        int | None,
        typer.Option(help="Noise samples per part of the work.", show_default="16384, or more in large jobs"),
    ] = None

    def check(self) -> None:
        """Raise `InputError` for impossible settings, before anything is loaded."""
        from radii.engine import check_workers

        # without --workers, the number of GPUs decides, and any is possible
        check_workers(1 if self.workers is None else self.workers, self.worker_timeout)
        self.parsed_shard()

    def parsed_shard(self) -> "Shard | None":
        """Return the shard that `I/N` means."""
        from radii.engine import Shard

        if self.shard is None:
            return None
        number, _, count = self.shard.partition("/")
        # isdecimal: int() would also take signs, spaces and underscores
        if not (number.isdecimal() and count.isdecimal()):
            raise InputError(f"a shard is I/N, for example 2/7 for the second of seven; got {self.shard!r}")
        return Shard(int(number), int(count))

    def executor_of(self, source: JobSource, loaded: "Loaded", plan: Plan, seed: int, k: int) -> "Executor":
        """Return the executor: a Ray cluster, workers (one for each GPU if there are several), or this process."""
        from radii.engine import Job, LocalExecutor, Workers
        from radii.models.devices import gpus, threads_of

        if check_name("executor", self.executor, EXECUTORS) == "ray":
            return self._cluster(loaded, plan, seed, k)
        count = self.workers if self.workers is not None else gpus()
        # this process has the model and the images already
        if self.workers is None and count <= 1:
            return LocalExecutor(Job.in_memory(*loaded, plan, seed, k))
        # workers share the cores
        threads = threads_of(count)
        return Workers(
            # jobs are pickled: a partial of a method can be, a lambda could not
            lambda number: Job(partial(source.load, number), plan, seed, k, threads),
            count,
            self.worker_timeout,
        )

    def _cluster(self, loaded: "Loaded", plan: Plan, seed: int, k: int) -> "Executor":
        from radii.engine import Job
        from radii.engine.ray import Cluster

        if self.workers is not None:
            raise InputError("Ray gives each of its devices one process: leave out --workers")
        # Ray sends the loaded model to its nodes, which need not have its files
        job = Job.in_memory(*loaded, plan, seed, k)
        return Cluster(*loaded, job, os.environ.get("RAY_ADDRESS", "local"))


def sample(
    source: JobSource, loaded: "Loaded", plan: Plan, seed: int, k: int, path: str, processes: Processes
) -> Votes | None:
    """Sample the missing parts, keep finished ones on the way, and write the votes.

    Returns None after a shard that leaves others to do, and prints the next command.
    """
    from radii.engine import Parts, run

    folder, shard = with_suffix(path, ".parts"), processes.parsed_shard()
    parts = Parts(open_folder(folder))

    def kept() -> str:
        if not parts.kept:
            return "no part was finished, and the same command starts again"
        finished = "1 finished part is" if parts.kept == 1 else f"{parts.kept} finished parts are"
        return f"{finished} kept in {folder}, and the same command continues from there"

    words = "" if shard is None else f", shard {shard.number} of {shard.count}"
    # the executor starts within, since an interruption then keeps parts, too
    with (
        interrupted_with(kept),
        progress(
            f"vote on {len(loaded[1])} images{words}", counted="samples" if plan.per_image else "images"
        ) as update,
    ):
        executor = processes.executor_of(source, loaded, plan, seed, k)
        try:
            votes = run(
                executor,
                parts,
                shard=shard,
                block=processes.part_size,
                # by another command that shares the folder
                finished=lambda: exists(path),
                progress=update,
            )
        except Exception:
            # other shards may be at work in the folder
            if shard is None:
                with suppress(InputError, OSError):
                    parts.abandon()
            raise
    # asked again after the folder: a command that finished the run wrote the votes before it removed the folder
    if votes is None and not exists(path) and parts.stored() is None and not exists(path):
        raise InputError(f"{folder} was removed by a command that failed in it: repeat this one")
    # another shard, or a merge, may have completed the votes meanwhile
    if shard is not None and not exists(path):
        say(
            f"Shard {shard.number} of {shard.count} is complete: {folder}\n"
            f"Next, when all shards are: radii merge {folder}"
        )
        return None
    if votes is None:
        # another process has written the votes, perhaps just before this one created the parts again
        votes = load_votes(path)
        parts.check_result(votes, path)
        parts.clear()
        return votes
    write_file(path, votes.encode())
    # after the votes are written, so that no interruption loses both
    parts.clear()
    return votes


def sample_for(
    seconds: float | None,
    loaded: "Loaded",
    plan: Plan,
    seed: int,
    k: int,
    path: str,
    processes: Processes,
) -> Votes:
    """Sample by the plan anytime, all images alike until the time is over, and write the votes."""
    # an image's number of samples depends on the others, so the work cannot be cut into parts
    if processes != Processes():
        raise InputError(
            "the plan anytime samples in one piece: leave out --shard, --workers, --worker-timeout and --part-size"
        )
    smoothed, data = loaded
    with progress(f"vote on {len(data)} images") as update:
        votes = smoothed.ready(data.shape, data).vote(data, plan, seed, None, update, seconds, k)
    write_file(path, votes.encode())
    return votes
