"""What the engine costs beside the sampler alone, and what a second process gains; a CIFAR-10 network, random images.

Run: python benchmarks/engine.py, on a quiet machine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from measure import in_turn, seconds, table

import radii
from radii.data import DataSet
from radii.engine import Executor, Job, LocalExecutor, Parts, Workers, run
from radii.models import make_model
from radii.models.devices import best_device, device_of, has_bfloat16
from radii.sampling import Smoothed
from radii.sampling.sampler import Sampler
from radii.storage.folders import LocalFolder
from radii.votes import ImageIdentity

SHAPE, IMAGES, ROWS = (3, 32, 32), 50, 64
NOISE = radii.Laplace(0.5)


def load(number: int = 0) -> tuple[Smoothed, DataSet]:
    """A network as large as that of the CPU recipe, and images of noise."""
    torch.manual_seed(0)
    model = make_model("wrn-16-2", SHAPE, 10).eval().to(device_of(number))
    precision = "bfloat16" if has_bfloat16(best_device()) else "float32"
    pixels = np.random.default_rng(0).integers(256, size=(IMAGES, *SHAPE), dtype=np.uint8)
    data = DataSet(
        pixels, np.zeros(IMAGES, dtype=np.int64), np.arange(IMAGES), ImageIdentity("random images")
    )
    return Smoothed(model, NOISE, precision, batch=ROWS), data


def in_parts(executor: Executor) -> None:
    """Votes by the engine, in a folder of their own."""
    with TemporaryDirectory() as folder:
        run(executor, Parts(LocalFolder(Path(folder))))


def by_workers(plan: radii.Fixed, count: int) -> None:
    """Votes by so many processes of one thread each, from their start to their end."""
    in_parts(Workers(lambda number: Job(partial(load, number), plan, threads=1), count))


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """This process, and those that it starts, on so many cores, as far as the system can hold them there."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(every)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def one_a_core(plan: radii.Fixed, count: int) -> None:
    """So many workers on as many cores: noise, too, is drawn there, which another idle core would do meanwhile."""
    with on_cores(count):
        by_workers(plan, count)


class Watch:
    """A sampler, and the seconds spent in it."""

    def __init__(self, sampler: Sampler) -> None:
        self.sampler, self.inside = sampler, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sampler, name)

    def vote(self, *asked: Any, **how: Any) -> radii.Votes:
        found = []
        self.inside += seconds(lambda: found.append(self.sampler.vote(*asked, **how)))
        return found[0]


def share_outside(executor: LocalExecutor) -> float:
    """The share of one run in parts that is spent outside the sampler: noise of the machine is in both."""
    watch = Watch(executor.loaded.sampler)
    executor.loaded = replace(executor.loaded, sampler=watch)
    whole = seconds(partial(in_parts, executor))
    return 1 - watch.inside / whole


def section(copies: int = 120_000, rounds: int = 3) -> str:
    """All measurements as a section in Markdown."""
    plan = radii.fixed(copies // IMAGES - 100, selection=100)
    executor = LocalExecutor(Job(load, plan))
    sampler, data = executor.loaded.sampler, executor.loaded.data
    alone = partial(sampler.vote, data, plan, 0, (0, plan.n))
    cost = in_turn(partial(in_parts, executor), alone, rounds)
    gain = in_turn(partial(one_a_core, plan, 1), partial(one_a_core, plan, 2), rounds)
    rows = [
        ["run in parts / sampler alone", *_columns(cost.seconds), cost.ratio],
        ["one worker on one core / two on two", *_columns(gain.seconds), gain.ratio],
    ]
    words = (
        f"wrn-16-2, {IMAGES} images, {plan.n} noise samples and 100 selection samples each. Times of workers include "
        f"their start. A run in parts spends {share_outside(executor):.2%} of its time outside the sampler."
    )
    return "\n\n".join(
        ["## The engine", words, table(["comparison", "seconds, first", "seconds, second", "ratio"], rows)]
    )


def _columns(seconds: tuple[float, float]) -> list[str]:
    return [f"{one:.1f}" for one in seconds]


if __name__ == "__main__":
    print(section())
