"""A job: which votes to sample. Each process that takes part loads the model and the images for itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import torch

from radii.data.dataset import DataSet
from radii.engine.parts import RunManifest, manifest_of
from radii.engine.units import Unit
from radii.models.adapters.outputs import check_same_classes
from radii.noises.lattice import levels_of
from radii.noises.streams import check_seed
from radii.sampling import Smoothed
from radii.sampling.sampler import Sampler
from radii.votes.plans import Plan

Load = Callable[[], tuple[Smoothed, DataSet]]
"""Loads the model, on its device, and the images; it must be picklable to be sent to other processes."""

ReportUnit = Callable[[Unit, int], object]
"""Called as `report(unit, done)`: how much of `unit.size` is done."""


@dataclass(frozen=True)
class Job:
    """Votes to sample.

    Parameters
    ----------
    load : function that loads the model and the images
    plan, seed : those of `Smoothed.vote`
    k : the largest k to be certified later, which must be below the number of classes
    threads : processor threads of each process, None for all
    settings : precision and rows of a batch, where they are tuned already, and the number of classes of the run
    """

    load: Load
    plan: Plan
    seed: int = 0
    k: int = 1
    threads: int | None = None
    settings: tuple[str, int, int] | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)

    @classmethod
    def in_memory(cls, smoothed: Smoothed, data: DataSet, plan: Plan, seed: int = 0, k: int = 1) -> "Job":
        """Return a job with a model and images that this process has loaded already."""
        return cls(lambda: (smoothed, data), plan, seed, k)

    def start(self) -> "LoadedJob":
        """Load the model and the images in this process."""
        # first, so that the batch size is tuned with as many threads as sampling will use
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        smoothed, data = self.load()
        if self.settings is not None:
            precision, rows, _ = self.settings
            smoothed = replace(smoothed, precision=precision, batch=rows)
        if smoothed.exact_arithmetic:
            # once for all units, and an error for other images comes before any sampling
            data = replace(data, pixels=levels_of(data.pixels))
        loaded = LoadedJob(self, smoothed.ready(data.shape, data), data)
        if self.settings is not None:
            check_same_classes(self.settings[2], loaded.sampler.classes)
        return loaded


@dataclass(frozen=True)
class LoadedJob:
    """A job in a process that has loaded its model and images."""

    job: Job
    sampler: Sampler
    data: DataSet

    @property
    def settings(self) -> tuple[str, int, int]:
        """Precision and rows of a batch, as tuned here, and the number of classes, which other processes must share."""
        return self.sampler.precision, self.sampler.rows, self.sampler.classes

    def manifest(self) -> RunManifest:
        """Return the manifest of the run, with its block still to be chosen."""
        # here, since `run` requests the manifest before anything is sampled
        self.sampler.check(self.data, self.job.plan, self.job.k)
        identity = SimpleNamespace(**self.sampler.identity(self.data, self.job.plan, self.job.seed))
        return manifest_of(identity, self.data)

    def sample(self, unit: Unit, report: ReportUnit | None = None) -> bytes:
        """Sample the votes of a unit; return the content of their file."""
        progress = None if report is None else (lambda done, _: report(unit, done))
        votes = self.sampler.vote(
            self.data[unit.rows], self.job.plan, self.job.seed, unit.draws, progress, k=self.job.k
        )
        return votes.encode()
