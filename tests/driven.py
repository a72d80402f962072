"""Commands of radii as processes of their own, to be watched, held, hit and ended; needs Linux's /proc."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from patience import HANG, wait_until

HELD = """
import os, time
from radii.storage.folders import LocalFolder

most, starter, write = int(os.environ["HELD_AT"]), int(os.environ["HELD_BY"]), LocalFolder.write

def held(self, name, content):
    if name.startswith("part-") and sum(one.startswith("part-") for one in self.names()) >= most:
        while os.getppid() == starter:
            time.sleep(0.01)
    write(self, name, content)

LocalFolder.write = held
"""
"""What Python runs first in a command that is held, and in its workers, which write no parts."""


class Ended(NamedTuple):
    """How a command ended: its exit status, and what it printed to standard error."""

    status: int
    err: str


class Command:
    """A Python program with its children in a session of their own; what it prints goes to files beside `log`."""

    def __init__(
        self, *arguments: object, log: Path, prepare: Callable[[], object] | None = None, **environment: str
    ) -> None:
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                stdout=out,
                stderr=err,
                start_new_session=True,
                env=os.environ | environment,
                preexec_fn=prepare,
            )
        self._gone = False

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

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

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it stand still, so that what is seen of it holds while it is hit; it goes on, and finds what came."""
        kill(self.process.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: state_of(self.process.pid) == "T" or not self.alive)
            yield
        finally:
            kill(self.process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Kill all of its processes at once; what has ended is left alone, since its number may be another's by now."""
        while not self._gone:
            members = self.members()
            for pid in members:
                kill(pid)
            self.process.wait()
            self._gone = not members

    def printed(self) -> str:
        """What it printed to standard output so far."""
        return self._out.read_text(errors="replace")

    def said(self) -> str:
        """What it printed to standard error so far."""
        return self._err.read_text(errors="replace")

    def wait(self) -> Ended:
        """Its end."""
        return Ended(self.process.wait(HANG), self.said())


def held_at(parts: int, folder: Path) -> dict[str, str]:
    """The environment in which a command cannot write more than so many parts: it waits there until it is interrupted.

    So a test hits it in the middle of its work, however fast the one or the other runs. `folder` is for a file of it.
    """
    (folder / "sitecustomize.py").write_text(HELD)
    return {"HELD_AT": str(parts), "HELD_BY": str(os.getpid()), "PYTHONPATH": python_path(folder)}


def python_path(first: Path) -> str:
    """Where Python looks for modules, with one folder before all others."""
    return os.pathsep.join(filter(None, [str(first), os.environ.get("PYTHONPATH")]))


def processes() -> list[tuple[int, str, int]]:
    """Number, state and session of every process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        if known := status(int(folder.name)):
            found.append((int(folder.name), known[0], int(known[3])))
    return found


def state_of(pid: int) -> str:
    """In one letter: R runs, S sleeps, T is stopped, Z has ended; empty if it is gone."""
    return (status(pid) or [""])[0]


def status(pid: int) -> list[str]:
    """State, parent, group, session and more of a process; nothing if it is gone."""
    return read(pid, "stat").rpartition(b")")[2].decode().split()


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
