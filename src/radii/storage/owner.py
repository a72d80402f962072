"""The owner of a folder: the one process that writes there, named in a file."""

import json
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from radii.errors import InputError, RadiiWarning
from radii.storage import atomic
from radii.storage.documents import check_fields, parse_json

OWNER = "owner.json"
BEAT = 20.0
"""Seconds after which an owner touches its file again."""
SILENCE = 120.0
"""Seconds without a touch after which an owner that cannot be looked up has ended.

NFS clients see a touch up to a minute late, and a busy machine may miss some.
"""
TRIES = 100
"""Times that a folder is tried whose owners come and go; a broken link in the place of the file never ends."""


@dataclass(frozen=True)
class Process:
    """A process on a machine, told from every other one.

    `machine`: its current boot and process namespace; `start`: the clock tick at which the process began, since process
    numbers are used again. Both are "" where the system does not tell. `key`: random.
    """

    process: int
    host: str
    since: str
    machine: str
    start: str
    key: str

    @classmethod
    def this(cls) -> "Process":
        """Return this process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        number = os.getpid()
        return cls(number, socket.gethostname(), now, _machine(), _start_of(number), token_hex(8))

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"process {self.process} on {self.host}, begun {self.since}"


class Owner:
    """Ownership of a folder by this process."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content = path, content
        self._ended = threading.Event()
        # a thread, since a step of the work, such as compiling, may take longer than `SILENCE`
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def begin(self) -> None:
        """Start to touch the file."""
        self._beating.start()

    def end(self) -> None:
        """Remove the file."""
        self._ended.set()
        self._beating.join()
        # an error of the clean-up would hide the first one
        with suppress(OSError):
            if self._holds():
                self._path.unlink()

    def check(self) -> None:
        """Raise `InputError` if another process has taken the folder over: this one had been silent for too long."""
        if not self._holds():
            raise InputError(
                f"another process has taken over {self._path.parent} from this one, which was stopped or lost its "
                "connection: let one of them work there, and give the other another folder"
            )

    def _holds(self) -> bool:
        with suppress(FileNotFoundError):
            return atomic.read(self._path) == self._content
        return False

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            # a server that cannot be reached for a moment does not end the work
            with suppress(OSError):
                if self._holds():
                    os.utime(self._path)


@contextmanager
def owned(folder: Path) -> Iterator[Owner]:
    """Own a folder, which is made if it does not exist, within the context.

    Raises `InputError` if a running process owns it. The owner may have been killed: then its file is stale, and this
    process takes over, with a `RadiiWarning`. A process of this machine is looked up; any other one counts as running
    for `SILENCE` seconds after its last touch.

    Guarantee: `Owner.check` passes in one process at a time. No other one enters before that one is silent; but where
    several take over a stale folder in the same instant, more may enter, and end at their first check.
    """
    path = folder / OWNER
    content = json.dumps(asdict(Process.this())).encode()
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES):
        if _create(path, content):
            break
        # the owner may end at any moment
        with suppress(FileNotFoundError):
            _remove_stale(path)
    else:
        raise InputError(f"{path} can neither be read nor created: remove it")
    owner = Owner(path, content)
    owner.begin()
    try:
        yield owner
    finally:
        owner.end()


def _create(path: Path, content: bytes) -> bool:
    """Create a file, and return False if it exists."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return True


def _remove_stale(path: Path) -> None:
    """Remove the file of an owner that has ended; raise `InputError` if it is running."""
    content = atomic.read(path)
    owner = _decode(content)
    # in both directions, since clocks are set back
    silence = abs(_now_in(path.parent) - path.stat().st_mtime)
    if owner is not None and owner.start and owner.machine == _machine():
        running, hint = _start_of(owner.process) == owner.start, ""
    else:
        running = silence < SILENCE
        hint = f" (it counts as ended after {SILENCE:g} s without a sign of life)"
    name = "a process that has not yet said which" if owner is None else owner.name
    if running:
        raise InputError(
            f"{path.parent} belongs to {name}: wait until it ends{hint}, or choose another folder"
        )
    # renamed first, which one of several processes can do
    stale = atomic.temporary(path)
    path.rename(stale)
    if atomic.read(stale) != content:
        # that of a process which has taken over meanwhile
        stale.rename(path)
        return
    stale.unlink()
    warnings.warn(
        RadiiWarning(f"{path.parent} was left by {name}, which has ended: this command takes it over"),
        stacklevel=4,
    )


def _decode(content: bytes) -> Process | None:
    """Return the owner in a file; None if it was killed while it wrote, or the file is damaged."""
    with suppress(ValueError):
        document = parse_json(content)
        check_fields(document, {field.name: field.type for field in fields(Process)})
        return Process(**document)
    return None


def _now_in(folder: Path) -> float:
    """Return the time by the clock of a file system, which may be another machine's."""
    new = atomic.temporary(folder / OWNER)
    new.touch()
    try:
        return new.stat().st_mtime
    finally:
        new.unlink()


def _machine() -> str:
    """Return what tells this machine, since it was started, from others; "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # containers of one machine number their processes each for itself
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _start_of(process: int) -> str:
    """Return the clock tick at which a process of this machine began; "" if there is none, or it has ended."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # the name of the program, in brackets, may hold spaces; then come its state (field 3) and, at 22, its start
    state, *fields = status.rpartition(")")[2].split()
    return "" if state in "XZ" else fields[18]
