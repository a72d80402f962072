"""Several processes of this machine that draw units: watched, and replaced when they die or hang."""

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

from radii.engine.job import Drawing, Job, Moved
from radii.engine.parts import RunManifest
from radii.engine.run import Executor
from radii.engine.units import Unit
from radii.errors import InputError, RadiiWarning
from radii.storage.memory import keep_freed_memory

LEASE = 600.0
"""Seconds without a sign of life after which a worker is taken to hang."""

START = 600.0
"""Seconds that a worker may take to load and compile the model, if the lease is shorter."""

TRIES = 3
"""Workers that a unit may cost."""

GRACE = 5.0
"""Seconds in which a process that has said its last word ends."""

ENDS = (signal.SIGINT, signal.SIGTERM)
"""Signals by which a run is asked to end."""

JobOf = Callable[[int], Job]
"""The job for worker number 0, 1, ...: each may have a device of its own."""


@dataclass
class Worker:
    """A process, how to talk to it, the unit it draws, and when it was last heard of."""

    number: int
    process: BaseProcess
    connection: Connection
    unit: Unit | None
    heard: float
    ready: bool = False
    why: str = ""


def check_workers(count: int, lease: float) -> None:
    """Refuse a team of nobody, and workers that would be replaced before they can speak."""
    if count < 1:
        raise InputError(f"there must be at least one worker; got {count}")
    if not lease > 0:
        raise InputError(f"the lease of a worker must be above 0 seconds; got {lease:g}")


class Workers(Executor):
    """So many processes; each loads the job, and draws one unit at a time."""

    def __init__(self, job_of: JobOf, count: int, lease: float = LEASE) -> None:
        check_workers(count, lease)
        self.count, self.lease = count, lease
        self._drawing: Drawing = job_of(0).start()
        settings = self._drawing.settled.settings
        self._job_of: JobOf = lambda number: replace(job_of(number), settings=settings)
        self._lost: Counter[int] = Counter()

    def manifest(self) -> RunManifest:
        return self._drawing.manifest()

    def draw(self, units: Iterator[Unit], moved: Moved) -> Iterator[tuple[Unit, bytes]]:
        again: deque[Unit] = deque()
        team: list[Worker] = []

        def next_unit() -> Unit | None:
            return again.popleft() if again else next(units, None)

        try:
            while True:
                while len(team) < self.count and (unit := next_unit()):
                    self._hire(unit, team)
                if not team:
                    return
                for worker in self._ready(team):
                    done = self._listen(worker, moved)
                    if done is not None:
                        assert worker.unit is not None
                        yield worker.unit, done
                        worker.unit = next_unit()
                        if not self._send(worker, worker.unit):
                            team.remove(worker)
                for worker in [one for one in team if self._is_lost(one)]:
                    team.remove(worker)
                    again.append(self._bury(worker))
        finally:
            for worker in team:
                _end(worker)

    def _hire(self, unit: Unit, team: list[Worker]) -> None:
        """Add a worker that draws a unit."""
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe()
        taken = {one.number for one in team}
        number = next(one for one in range(self.count) if one not in taken)
        process = context.Process(target=work, args=(theirs, self._job_of(number)), daemon=True)
        worker = Worker(number, process, mine, unit, time.monotonic())
        with _postponed(), _sheltered():
            process.start()
            team.append(worker)
        theirs.close()
        self._send(worker, unit)

    def _ready(self, team: list[Worker]) -> list[Worker]:
        """Those who have said something, after waiting for it as long as the first lease lasts."""
        left = min(one.heard + self._patience(one) for one in team) - time.monotonic()
        said = wait([one.connection for one in team], max(left, 0.0))
        return [one for one in team if one.connection in said]

    def _listen(self, worker: Worker, moved: Moved) -> bytes | None:
        """Take one message; the votes, if it brings them."""
        assert worker.unit is not None
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            worker.heard = float("-inf")
            return None
        worker.heard = time.monotonic()
        worker.ready = True
        if kind == "moved":
            moved(worker.unit, content)
        elif kind == "notice":
            warnings.warn(RadiiWarning(content), stacklevel=2)
        elif kind == "refused":
            raise InputError(content)
        elif kind == "failed":
            worker.heard, worker.why = float("-inf"), f"failed with {content}"
        return content if kind == "done" else None

    def _send(self, worker: Worker, unit: Unit | None) -> bool:
        """Give a worker its next unit; without one it is sent home."""
        if unit is None:
            _end(worker)
            return False
        with suppress(OSError):
            worker.connection.send(unit)
        return True

    def _is_lost(self, worker: Worker) -> bool:
        return time.monotonic() - worker.heard >= self._patience(worker)

    def _patience(self, worker: Worker) -> float:
        return self.lease if worker.ready else max(self.lease, START)

    def _bury(self, worker: Worker) -> Unit:
        """The unit of a worker that is lost, for another one."""
        unit, silent = worker.unit, worker.heard > float("-inf")
        assert unit is not None
        if not silent:
            worker.process.join(GRACE)
        status = worker.process.exitcode
        _end(worker)
        self._lost[unit.number] += 1
        why = f"was silent for {self.lease:g} s" if silent else worker.why or f"ended with status {status}"
        if self._lost[unit.number] >= TRIES:
            raise InputError(
                f"{TRIES} workers were lost over the same part of the work, the last one {why}: is there enough "
                "memory? What is stored stays, and the same command goes on from there"
            )
        warnings.warn(RadiiWarning(f"a worker {why}; another one draws its part again"), stacklevel=2)
        return unit


@contextmanager
def _postponed() -> Iterator[None]:
    """Act on SIGINT and SIGTERM at the end of the block.

    In the middle of the start of a process they would leave it without the data that it reads first, and it would end
    in a traceback. A mask is not enough: the system hands the signal to another thread, and Python to the main one.
    """
    if threading.current_thread() is not threading.main_thread():  # no other thread runs handlers
        yield
        return
    came: list[int] = []
    before = {sign: signal.signal(sign, lambda number, _: came.append(number)) for sign in ENDS}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
        for number in came[:1]:
            signal.raise_signal(number)


@contextmanager
def _sheltered() -> Iterator[None]:
    """Processes that are started here do not hear of Ctrl-C, not even before their first line of Python."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # multiprocessing starts this one along with the first process, and ends the shelter
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(worker: Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.connection.close()


def work(connection: Connection, job: Job) -> None:
    """The life of a worker process: units in, votes out, until nobody is there any more."""
    # who interrupts a terminal means the process that started this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def tell(kind: str, content: Any) -> None:
        try:
            connection.send((kind, content))
        except OSError:
            os._exit(1)

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        if isinstance(message, RadiiWarning):
            tell("notice", str(message))

    warnings.showwarning = note
    keep_freed_memory()
    try:
        drawing = job.start()
        tell("ready", None)
        while True:
            tell("done", drawing.draw(connection.recv(), lambda _, done: tell("moved", done)))
    except EOFError:
        return
    except InputError as error:
        tell("refused", str(error))
    except Exception as error:
        tell("failed", f"{type(error).__name__}: {error}")
