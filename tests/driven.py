"""Commands of radii as processes of their own, to be watched, hit and ended; needs Linux's /proc."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PATIENCE = 120.0
"""Seconds after which a command that should have ended is taken to hang."""


class Ended(NamedTuple):
    """How a command ended: its exit status, and what it printed to standard error."""

    status: int
    err: str


class Command:
    """A Python program with its children in a session of their own; what it prints goes to files beside `log`."""

    def __init__(
        self, *arguments: object, log: Path, prepare: Callable[[], object] | None = None, **environment: str
    ) -> None:
        self._err = log.with_suffix(".err")
        with open(log.with_suffix(".out"), "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                stdout=out,
                stderr=err,
                start_new_session=True,
                env=os.environ | environment,
                preexec_fn=prepare,
            )
        self._gone = False

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def members(self) -> list[int]:
        """The processes of its session that are alive, workers that outlived it among them."""
        return [pid for pid, state, session in processes() if session == self.process.pid and state != "Z"]

    def workers(self) -> list[int]:
        """The processes that it started to draw."""
        return [pid for pid in self.members() if b"spawn_main" in read(pid, "cmdline")]

    def listens(self) -> bool:
        """Whether it has taken SIGTERM into its own hands."""
        caught = [
            line.split()[1] for line in read(self.process.pid, "status").splitlines() if b"SigCgt" in line
        ]
        return bool(caught) and bool(int(caught[0], 16) >> (signal.SIGTERM - 1) & 1)

    def end(self) -> None:
        """Kill all of its processes at once; what has ended is left alone, since its number may be another's by now."""
        while not self._gone:
            members = self.members()
            for pid in members:
                kill(pid)
            self.process.wait()
            self._gone = not members

    def said(self) -> str:
        """What it printed to standard error so far."""
        return self._err.read_text(errors="replace")

    def wait(self, seconds: float = PATIENCE) -> Ended:
        """Its end, for which it has so many seconds."""
        return Ended(self.process.wait(seconds), self.said())


def processes() -> list[tuple[int, str, int]]:
    """Number, state and session of every process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if line := read(int(folder.name), "stat"):
            state, _, _, session = line.rpartition(b")")[2].split()[:4]
            found.append((int(folder.name), state.decode(), int(session)))
    return found


def read(pid: int, name: str) -> bytes:
    """What /proc says of a process, nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def written(pid: int) -> int:
    """Bytes that a process has written; a worker that has brought a part has written some thousands."""
    counts = [line.split()[1] for line in read(pid, "io").splitlines() if line.startswith(b"wchar")]
    return int(counts[0]) if counts else 0


def kill(pid: int, sign: int = signal.SIGKILL) -> None:
    """Send a signal, if there is anyone to have it."""
    with suppress(ProcessLookupError):
        os.kill(pid, sign)


def wait_until(what: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Whether something became so within so many seconds."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True
