"""A Ray cluster that samples units: stateless tasks, which Ray starts again where a node or a process is lost.

Ray's object store brings the model and the images to each node, so nodes need the package and nothing else.
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
from radii.engine.job import Job, LoadedJob, ReportUnit
from radii.engine.parts import RunManifest
from radii.engine.run import Executor
from radii.engine.units import Unit
from radii.errors import InputError, missing_extra
from radii.models.devices import device_of
from radii.sampling import Smoothed
from radii.storage.memory import keep_freed_memory

RETRIES = 8
"""Times that a unit is sampled again because its node or its process was lost."""

TASKS_PER_DEVICE = 2
"""One that runs and one that is ready, so that a device does not wait for its next unit."""

LOCAL_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # a connection to a cluster is enough to run code there: without a token, other users of this machine could
    "RAY_AUTH_MODE": "token",
    # by itself, Ray retries tasks without end that its memory monitor has killed
    "RAY_task_oom_retries": "3",
    # only this machine can reach such a cluster: it listens on the loopback interface
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""Environment of a cluster that is started here, for this run alone; variables that are set already stay."""

_loaded: dict[str, LoadedJob] = {}
"""In a process of the cluster: the job of the run that it samples, so that it loads the model once."""


class Cluster(Executor):
    """All devices of a Ray cluster: that at `address`, or one started on this machine for "local".

    Each task has a GPU if there are any, otherwise all processors of the smallest node.
    """

    def __init__(self, smoothed: Smoothed, data: DataSet, job: Job, address: str = "local") -> None:
        self._ray = _connect(address)
        each = self._resources()
        threads = None if each.get("num_gpus") else int(each["num_cpus"])
        # stored once: as an argument of each task, the model and the images would be sent with every unit
        load = partial(on_device, _on_cpu(smoothed), data)
        self._job = self._ray.put(replace(job, load=load, threads=threads))
        # Ray reuses processes for later runs of a program, which must not sample with the model of this one
        self._run = uuid4().hex
        options: dict[str, Any] = {**each, "max_retries": RETRIES}
        self._describe = self._ray.remote(describe).options(**options)
        self._sample = self._ray.remote(sample).options(**options)
        self._manifest, self._settings = self._result(self._describe.remote(self._run, self._job))

    def manifest(self) -> RunManifest:
        return self._manifest

    def sample(self, units: Iterator[Unit], report: ReportUnit) -> Iterator[tuple[Unit, bytes]]:
        running: dict[Any, Unit] = {}
        try:
            while True:
                while len(running) < TASKS_PER_DEVICE * self._slots and (unit := next(units, None)):
                    running[self._sample.remote(self._run, self._job, self._settings, unit)] = unit
                if not running:
                    return
                ready, _ = self._ray.wait(list(running))
                for task in ready:
                    content = self._result(task)
                    yield running.pop(task), content
        finally:
            # after an error or Ctrl-C: a cluster goes on with the tasks that it has
            for task in running:
                with suppress(Exception):
                    self._ray.cancel(task, force=True)

    def _resources(self) -> dict[str, float]:
        """Return the resources of one task; set how many tasks run at once."""
        # a node that died seconds ago may still be listed as alive; its tasks are retried elsewhere
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if gpus := int(sum(node.get("GPU", 0) for node in nodes)):
            self._slots = gpus
            return {"num_gpus": 1, "num_cpus": 1}
        cores = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
        if not cores:
            raise InputError("this Ray cluster has neither processors nor GPUs to offer: add a node")
        # tasks of one size fit every node, and larger nodes run several
        self._slots = sum(count // min(cores) for count in cores)
        return {"num_cpus": min(cores)}

    def _result(self, task: Any) -> Any:
        """Return the result of a task, or raise its error."""
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            # the error itself: users know InputError, and nothing of Ray's tasks
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            raise InputError(
                f"the Ray cluster lost a part of the work again and again ({type(error).__name__}): is there enough "
                "memory? What is stored stays, and the same command goes on from there"
            ) from error


def _connect(address: str) -> Any:
    """Return the module `ray`, connected to a cluster."""
    if address == "local":
        for name, value in {**LOCAL_SETTINGS, "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
            os.environ.setdefault(name, value)
        if "RAY_TMPDIR" not in os.environ:
            os.environ["RAY_TMPDIR"] = folder = mkdtemp(prefix="ray")
            # registered before Ray is imported: functions run in reverse order, so Ray has left the folder by then
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        import ray
    except ImportError as error:
        raise missing_extra("a Ray cluster", "cluster", error) from error
    # a program may have connected already, for example to run several jobs
    if not ray.is_initialized():
        options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        try:
            # errors arrive as exceptions: lines of the cluster's log would run through the progress
            ray.init(
                address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(f"there is no Ray cluster at {address}: {error}") from error
    return ray


def _on_cpu(smoothed: Smoothed) -> Smoothed:
    """Return a copy with weights on the processor, which machines of any kind can read."""
    model = copy.deepcopy(smoothed.model)
    return replace(smoothed, model=model.to("cpu")) if isinstance(model, nn.Module) else smoothed


# in processes of the cluster ----------------------------------------------------------------------


def on_device(smoothed: Smoothed, data: DataSet) -> tuple[Smoothed, DataSet]:
    """Move the model to the device that Ray assigned to this process."""
    if isinstance(smoothed.model, nn.Module):
        smoothed = replace(smoothed, model=smoothed.model.to(device_of(0)))
    return smoothed, data


def describe(run: str, job: Job) -> tuple[RunManifest, tuple[str, int]]:
    """Return the manifest of the run, and the settings that are tuned on the first device for all others."""
    loaded = _load_once(run, job)
    return loaded.manifest(), loaded.settings


def sample(run: str, job: Job, settings: tuple[str, int], unit: Unit) -> bytes:
    """Sample the votes of a unit."""
    return _load_once(run, replace(job, settings=settings)).sample(unit)


def _load_once(run: str, job: Job) -> LoadedJob:
    if run not in _loaded:
        keep_freed_memory()
        # the job of an earlier run would keep its model in memory
        _loaded.clear()
        _loaded[run] = job.start()
    return _loaded[run]
