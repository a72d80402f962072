"""Several processes of this machine that sample units: watched, and replaced when they die or hang."""

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from radii.engine.job import Job, LoadedJob, ReportUnit
from radii.engine.parts import RunManifest
from radii.engine.run import Executor
from radii.engine.units import Unit
from radii.errors import InputError, RadiiWarning
from radii.storage.memory import keep_freed_memory

TIMEOUT = 600.0
"""Seconds without a message after which a worker is assumed to hang; it reports after every batch."""

START_TIMEOUT = 600.0
"""Seconds that a worker may take to load and compile the model, if the timeout is shorter."""

ATTEMPTS = 3
"""Workers that may be lost over one unit; then the unit itself is taken to be the cause."""

GRACE = 5.0
"""Seconds in which a process whose connection is closed should end by itself and so have an exit status.

Killed at once, every process would end with status -9, whatever the cause.
"""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

LOST = float("-inf")
"""Time of the last message of a worker that has failed or ended."""

JobOf = Callable[[int], Job]
"""Returns the job of worker number 0, 1, ...: each may have its own device."""


def check_workers(count: int, worker_timeout: float) -> None:
    """Raise `InputError` unless there is at least one worker, and a timeout above 0 seconds."""
    if count < 1:
        raise InputError(f"there must be at least one worker; got {count}")
    if not worker_timeout > 0:
        raise InputError(f"the timeout of a worker must be above 0 seconds; got {worker_timeout:g}")


@dataclass
class Worker:
    """A worker process, its connection, its present unit, and the time of its last message."""

    number: int
    process: BaseProcess
    connection: Connection
    unit: Unit | None
    last_message: float
    ready: bool = False
    failure: str = ""


class Workers(Executor):
    """Worker processes; each loads the job, and samples one unit at a time.

    Parameters
    ----------
    job_of : returns the job of worker number 0, 1, ..., which must be picklable
    count : number of processes
    worker_timeout : seconds without a message after which a worker is replaced

    Raises
    ------
    InputError
        When `ATTEMPTS` workers are lost over the same unit.
    """

    def __init__(self, job_of: JobOf, count: int, worker_timeout: float = TIMEOUT) -> None:
        check_workers(count, worker_timeout)
        self.count, self.timeout = count, worker_timeout
        # loaded in this process too, for the manifest; settings are tuned here once, while no worker runs
        self._loaded: LoadedJob = job_of(0).start()
        self._job_of: JobOf = lambda number: replace(job_of(number), settings=self._loaded.settings)
        self._losses: Counter[int] = Counter()

    def manifest(self) -> RunManifest:
        return self._loaded.manifest()

    def sample(self, units: Iterator[Unit], report: ReportUnit) -> Iterator[tuple[Unit, bytes]]:
        again: deque[Unit] = deque()
        workers: list[Worker] = []

        def next_unit() -> Unit | None:
            return again.popleft() if again else next(units, None)

        try:
            while True:
                while len(workers) < self.count and (unit := next_unit()):
                    self._start(unit, workers)
                if not workers:
                    return
                for worker in self._with_message(workers):
                    content = self._receive(worker, report)
                    if content is not None:
                        assert worker.unit is not None
                        yield worker.unit, content
                        worker.unit = next_unit()
                        if not self._send(worker, worker.unit):
                            workers.remove(worker)
                for worker in [worker for worker in workers if self._is_lost(worker)]:
                    workers.remove(worker)
                    again.append(self._give_up(worker))
        finally:
            for worker in workers:
                _end(worker)

    def _start(self, unit: Unit, workers: list[Worker]) -> None:
        """Add a worker that samples a unit."""
        # spawn: a forked process could use neither CUDA nor the thread pools that this one has started
        context = multiprocessing.get_context("spawn")
        connection, child_connection = context.Pipe()
        taken = {worker.number for worker in workers}
        # the number of a lost worker, and so its device
        number = next(number for number in range(self.count) if number not in taken)
        # daemon: multiprocessing ends it at exit, even where the generator above was never closed
        process = context.Process(target=work, args=(child_connection, self._job_of(number)), daemon=True)
        worker = Worker(number, process, connection, unit, time.monotonic())
        with _signals_postponed(), _sigint_blocked():
            process.start()
            # within the block: a signal right after the start would miss this worker in `finally`
            workers.append(worker)
        # with this copy open, the end of the process would not close the connection
        child_connection.close()
        self._send(worker, unit)

    def _with_message(self, workers: list[Worker]) -> list[Worker]:
        """Return the workers that have sent a message; wait for one until the first timeout."""
        left = min(worker.last_message + self._timeout_of(worker) for worker in workers) - time.monotonic()
        ready = wait([worker.connection for worker in workers], max(left, 0.0))
        return [worker for worker in workers if worker.connection in ready]

    def _receive(self, worker: Worker, report: ReportUnit) -> bytes | None:
        """Receive one message; return the votes if it holds them."""
        assert worker.unit is not None
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            # the process has ended: its connection closes with it
            worker.last_message = LOST
            return None
        worker.last_message = time.monotonic()
        worker.ready = True
        if kind == "progress":
            report(worker.unit, content)
        elif kind == "warning":
            warnings.warn(RadiiWarning(content), stacklevel=2)
        # the same in every worker, so that it ends the run, unlike a failure
        elif kind == "input error":
            raise InputError(content)
        elif kind == "failure":
            worker.last_message, worker.failure = LOST, f"failed with {content}"
        return content if kind == "votes" else None

    def _send(self, worker: Worker, unit: Unit | None) -> bool:
        """Send a worker its next unit and return True; end it where there is none."""
        if unit is None:
            _end(worker)
            return False
        # a worker that has ended meanwhile is found by its closed connection
        with suppress(OSError):
            worker.connection.send(unit)
        return True

    def _is_lost(self, worker: Worker) -> bool:
        return time.monotonic() - worker.last_message >= self._timeout_of(worker)

    def _timeout_of(self, worker: Worker) -> float:
        return self.timeout if worker.ready else max(self.timeout, START_TIMEOUT)

    def _give_up(self, worker: Worker) -> Unit:
        """End a lost worker, with a `RadiiWarning`, and return its unit for another one."""
        unit, silent = worker.unit, worker.last_message > LOST
        assert unit is not None
        # a silent worker hangs, and would not end by itself
        if not silent:
            worker.process.join(GRACE)
        status = worker.process.exitcode
        _end(worker)
        self._losses[unit.number] += 1
        ended = worker.failure or f"ended with status {status}"
        reason = f"was silent for {self.timeout:g} s" if silent else ended
        if self._losses[unit.number] >= ATTEMPTS:
            raise InputError(
                f"{ATTEMPTS} workers were lost over the same part of the work, the last one {reason}: is there enough "
                "memory? What is stored stays, and the same command goes on from there"
            )
        warnings.warn(RadiiWarning(f"a worker {reason}; another one samples its part again"), stacklevel=2)
        return unit


@contextmanager
def _signals_postponed() -> Iterator[None]:
    """Act on SIGINT and SIGTERM at the end of the block.

    In the middle of the start of a process they would leave it without the data that it reads first, and it would end
    in a traceback. A mask is not enough: the system hands the signal to another thread, and Python to the main one.
    """
    # only the main thread runs handlers, and may set them
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    handlers = {name: signal.signal(name, lambda number, _: received.append(number)) for name in STOP_SIGNALS}
    try:
        yield
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
        for number in received[:1]:
            signal.raise_signal(number)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Start processes that never receive Ctrl-C, not even before their first line of Python."""
    # Windows has no masks of signals
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # multiprocessing starts this one along with the first process, and unblocks SIGINT then
    resource_tracker.ensure_running()
    # processes inherit the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(worker: Worker) -> None:
    # a stopped process would not act on SIGTERM; nothing is lost, since votes are stored by the parent
    worker.process.kill()
    worker.process.join()
    worker.connection.close()


def work(connection: Connection, job: Job) -> None:
    """Run a worker process: receive units, send their votes, until the connection is closed."""
    # Ctrl-C in a terminal reaches all its processes; the one that started this worker ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def send(kind: str, content: Any) -> None:
        try:
            connection.send((kind, content))
        except OSError:
            # the parent has ended; there is nobody left to whom an error could be reported
            os._exit(1)

    def send_warning(message: Warning | str, *_: Any, **__: Any) -> None:
        if isinstance(message, RadiiWarning):
            send("warning", str(message))

    # the parent prints each warning once, however many workers have it
    warnings.showwarning = send_warning
    keep_freed_memory()
    try:
        loaded = job.start()
        # from here on the timeout of a batch holds, not that of the start
        send("ready", None)
        while True:
            send("votes", loaded.sample(connection.recv(), lambda _, done: send("progress", done)))
    except EOFError:
        return
    except InputError as error:
        send("input error", str(error))
    except Exception as error:
        send("failure", f"{type(error).__name__}: {error}")
