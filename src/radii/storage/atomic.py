"""Files that are either whole or not there, on file systems that now and then refuse for a moment."""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, TypeVar

from radii.errors import InputError

UNFINISHED = ".*.part"
"""What the names of temporary files are like."""

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds to wait before a file system is asked again: virus scanners and servers of NFS are done in less."""

T = TypeVar("T")


class Unwritable(InputError, OSError):
    """A file that cannot be replaced."""


def is_stale(error: OSError) -> bool:
    """Whether a server of NFS has another file under the same name by now: the next try opens that one."""
    return error.errno == errno.ESTALE


def is_held(error: OSError) -> bool:
    """Whether a file cannot be replaced because something looks at it, as virus scanners do on Windows."""
    return isinstance(error, PermissionError) or error.errno == errno.EBUSY


def patiently(do: Callable[[], T], passes: Callable[[OSError], bool] = is_stale) -> T:
    """Return what `do()` gives; try again a few times, within two seconds, after errors that may pass."""
    for pause in PAUSES:
        try:
            return do()
        except OSError as error:
            if not passes(error):
                raise
        time.sleep(pause)
    return do()


def read(path: str | Path) -> bytes:
    """Return the content of a file."""
    return patiently(Path(path).read_bytes)


def write(path: str | Path, content: bytes) -> None:
    """Make or replace a file.

    Guarantee: that of `replacing`.
    """

    def once() -> None:
        with replacing(path) as file:
            file.write(content)

    patiently(once)


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write under a temporary name, renamed to `path` at the end unless an error came between.

    Guarantee: at any moment `path` holds what it held before or the whole new content, also if the machine
    stops. `Unwritable` if the file system does not let `path` be replaced, also after a moment.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _temporary(path)
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _rename(part, path)
    except Unwritable:
        raise
    except OSError as error:
        # a full disk names no file, and the temporary name says nothing to the reader
        error.filename = str(path)
        raise
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def check_writable(path: str | Path) -> None:
    """Fail at once where a file written hours from now would fail: make its folder, open and remove a file there."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _temporary(path)
    try:
        patiently(part.touch)
    except OSError as error:
        error.filename = str(path)
        raise
    part.unlink()


def check_folder(path: Path) -> None:
    """Refuse to make a folder where it, or one above it, is a file."""
    for one in (path, *path.parents):
        if one.exists() and not one.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(one))


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which need not be there yet; nothing is left behind."""
    try:
        there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
        check_writable(there / "new")
    except OSError:
        return False
    return True


def _rename(part: Path, path: Path) -> None:
    try:
        patiently(lambda: os.replace(part, path), is_held)
    except OSError as error:
        if not is_held(error):
            raise
        raise Unwritable(
            f"{path} cannot be replaced ({error.strerror}): close the program that has it open, or choose another place"
        ) from error


def _temporary(path: Path) -> Path:
    """A name of its own: in containers that share a folder, all processes may have the same number."""
    return path.with_name(f".{path.name}.{token_hex(8)}.part")


def _sync_folder(folder: Path) -> None:
    """Make the new name itself lasting."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # no such thing as an open folder on Windows
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
