"""What is to be drawn, for any process that takes part: it loads the model and the images for itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch

from radii.data.dataset import DataSet
from radii.engine.parts import RunManifest, manifest_of
from radii.engine.units import Unit
from radii.noises.lattice import levels_of
from radii.noises.streams import check_seed
from radii.sampling import Smoothed
from radii.sampling.sampler import Sampler
from radii.votes.plans import Plan

Load = Callable[[], tuple[Smoothed, DataSet]]
"""Loads the model, on its device, and the images; a plain function, so that other processes can be given it."""

Moved = Callable[[Unit, int], object]
"""Called as `moved(unit, done)`: so much of the size of a unit is done."""


@dataclass(frozen=True)
class Job:
    """Votes to draw. `threads`: processor threads of each process that takes part, None for all.

    `settings`: precision and rows of a micro-batch, once they have been tried out.
    """

    load: Load
    plan: Plan
    seed: int = 0
    k: int = 1
    threads: int | None = None
    settings: tuple[str, int] | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)

    def start(self) -> "Drawing":
        """Load all of it in this process."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        smoothed, data = self.load()
        if self.settings is not None:
            precision, rows = self.settings
            smoothed = replace(smoothed, precision=precision, batch=rows)
        if smoothed.exact_arithmetic:
            data = replace(data, pixels=levels_of(data.pixels))
        return Drawing(self, smoothed.ready(data.shape, data), data)


@dataclass(frozen=True)
class Drawing:
    """A job in a process that has loaded it."""

    job: Job
    sampler: Sampler
    data: DataSet

    @property
    def settled(self) -> Job:
        """The same job with what was tried out here, for other processes."""
        return replace(self.job, settings=(self.sampler.precision, self.sampler.rows))

    def manifest(self) -> RunManifest:
        """The manifest of the run, with a block that is not chosen yet."""
        self.sampler.check(self.data, self.job.plan, self.job.k)
        identity = SimpleNamespace(**self.sampler.identity(self.data, self.job.plan, self.job.seed))
        return manifest_of(identity, self.data)

    def draw(self, unit: Unit, moved: Moved | None = None) -> bytes:
        """The votes of a unit, as the content of their file."""
        report = None if moved is None else (lambda done, _: moved(unit, done))
        votes = self.sampler.vote(
            self.data[unit.rows], self.job.plan, self.job.seed, unit.draws, report, k=self.job.k
        )
        return votes.encode()


def at_hand(smoothed: Smoothed, data: DataSet) -> tuple[Smoothed, DataSet]:
    """To load what is there already, by `functools.partial`."""
    return smoothed, data
