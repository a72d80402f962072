"""A Ray cluster that draws units: stateless tasks, which Ray starts again where a node or a process is lost.

Ray's own object store brings the model and the images to each node, so nodes need the package and nothing else.
"""

import atexit
import copy
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

from torch import nn

from radii.data.dataset import DataSet
from radii.engine.job import Drawing, Job, Moved
from radii.engine.parts import RunManifest
from radii.engine.run import Executor
from radii.engine.units import Unit
from radii.errors import InputError, missing_extra
from radii.models.devices import device_of
from radii.sampling import Smoothed
from radii.storage.memory import keep_freed_memory

RETRIES = 8
"""Times that a unit is drawn again because its node or its process was lost."""

WAITING = 2
"""Tasks for each device: one that it draws, one that is ready."""
ALONE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_task_oom_retries": "3",
    # nobody else shall reach a cluster of this machine alone: it listens on the loopback interface
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""Settings of a cluster that is started here and for this run; what is set already stays."""

_loaded: dict[str, Drawing] = {}


class Cluster(Executor):
    """All devices of a Ray cluster: that of `address`, or "local" to start one on this machine.

    Each task has a GPU if there are any, otherwise all processors of the smallest node.
    """

    def __init__(self, smoothed: Smoothed, data: DataSet, job: Job, address: str = "local") -> None:
        self._ray = _connect(address)
        each = self._resources()
        threads = None if each.get("num_gpus") else int(each["num_cpus"])
        there = partial(arrive, _on_processor(smoothed), data)
        self._job = self._ray.put(replace(job, load=there, threads=threads))
        self._run = uuid4().hex
        settings: dict[str, Any] = {**each, "max_retries": RETRIES}
        self._describe = self._ray.remote(describe).options(**settings)
        self._draw = self._ray.remote(draw).options(**settings)
        self._law, self._settings = self._answer(self._describe.remote(self._run, self._job))

    def manifest(self) -> RunManifest:
        return self._law

    def draw(self, units: Iterator[Unit], moved: Moved) -> Iterator[tuple[Unit, bytes]]:
        flying: dict[Any, Unit] = {}
        try:
            while True:
                while len(flying) < WAITING * self._slots and (unit := next(units, None)):
                    flying[self._draw.remote(self._run, self._job, self._settings, unit)] = unit
                if not flying:
                    return
                ready, _ = self._ray.wait(list(flying))
                for task in ready:
                    content = self._answer(task)
                    yield flying.pop(task), content
        finally:
            for task in flying:
                with suppress(Exception):
                    self._ray.cancel(task, force=True)

    def _resources(self) -> dict[str, float]:
        """What one task needs; sets how many run at once."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if gpus := int(sum(node.get("GPU", 0) for node in nodes)):
            self._slots = gpus
            return {"num_gpus": 1, "num_cpus": 1}
        cores = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        if not cores:
            raise InputError("this Ray cluster has neither processors nor GPUs to offer: add a node")
        self._slots = sum(one // min(cores) for one in cores)
        return {"num_cpus": min(cores)}

    def _answer(self, task: Any) -> Any:
        """The result of a task, or the error of one that cannot be done."""
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise InputError(
                f"the Ray cluster lost a part of the work again and again ({type(error).__name__}): is there enough "
                "memory? What is stored stays, and the same command goes on from there"
            ) from error


def _connect(address: str) -> Any:
    if address == "local":
        for name, value in {**ALONE, "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
            os.environ.setdefault(name, value)
        if "RAY_TMPDIR" not in os.environ:
            os.environ["RAY_TMPDIR"] = folder = mkdtemp(prefix="ray")
            # before Ray is imported, so that Ray, whose end comes first, has left it
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        import ray
    except ImportError as error:
        raise missing_extra("a Ray cluster", "cluster", error) from error
    if not ray.is_initialized():
        own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        try:
            ray.init(
                address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **own
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(f"there is no Ray cluster at {address}: {error}") from error
    return ray


def _on_processor(smoothed: Smoothed) -> Smoothed:
    """The same with weights that travel to machines of any kind."""
    own = copy.deepcopy(smoothed.model)
    return replace(smoothed, model=own.to("cpu")) if isinstance(own, nn.Module) else smoothed


def arrive(smoothed: Smoothed, data: DataSet) -> tuple[Smoothed, DataSet]:
    """What came from the driver, the model on the device that Ray gives this process."""
    if isinstance(smoothed.model, nn.Module):
        smoothed = replace(smoothed, model=smoothed.model.to(device_of(0)))
    return smoothed, data


def describe(run: str, job: Job) -> tuple[RunManifest, tuple[str, int]]:
    """The manifest of the run, and the settings that its first process finds best."""
    drawing = _drawing(run, job)
    settings = drawing.settled.settings
    assert settings is not None
    return drawing.manifest(), settings


def draw(run: str, job: Job, settings: tuple[str, int], unit: Unit) -> bytes:
    """The votes of a unit, by a process that loads the model for its first one."""
    return _drawing(run, replace(job, settings=settings)).draw(unit)


def _drawing(run: str, job: Job) -> Drawing:
    if run not in _loaded:
        keep_freed_memory()
        _loaded.clear()
        _loaded[run] = job.start()
    return _loaded[run]
