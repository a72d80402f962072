"""Files that are either whole or not there."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

UNFINISHED = ".*.part"
"""What the names of temporary files are like."""


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write under a temporary name, renamed to `path` at the end unless an error came between.

    Guarantee: at any moment `path` holds what it held before or the whole new content, also if the machine
    stops.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _temporary(path)
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
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
        part.touch()
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
