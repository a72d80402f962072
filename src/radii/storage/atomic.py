"""Files that are written whole or not at all, on file systems that may fail for a moment."""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, TypeVar

from radii.errors import InputError

UNFINISHED = ".*.part"
"""Pattern of the names of temporary files."""

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds between tries, below two in all: virus scanners and NFS servers are done sooner."""

T = TypeVar("T")


class Unwritable(InputError, OSError):
    """Error for a file that cannot be replaced."""


class NotAFile(InputError, OSError):
    """Error for a path that is no file or folder, such as a pipe."""


def openable(path: str | Path) -> Path:
    """Return the path; raise `NotAFile` where it leads to a pipe, a socket, a device or a loop of links.

    Reading them may never end. Every file that somebody else may have put there is opened by way of this function.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise NotAFile(f"{path} leads to a link that leads back to itself: remove that link") from error
    # a folder fails when it is opened, with an error of its own
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise NotAFile(f"{path} must be a file, but is a pipe, a socket or a device: put a file in its place")
    return path


def read(path: str | Path) -> bytes:
    """Return the content of a file; raise `NotAFile` for pipes and the like."""
    return retry(lambda: openable(path).read_bytes())


def write(path: str | Path, content: bytes) -> None:
    """Write or replace a file.

    Guarantee: that of `replacing`.
    """

    def attempt() -> None:
        with replacing(path) as file:
            file.write(content)

    retry(attempt)


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a file with a temporary name, which is renamed to `path` at the end unless an error was raised.

    Guarantee: at any moment `path` holds its previous content or the whole new one, even if the machine stops. Raises
    `Unwritable` if the file system still does not let `path` be replaced after some tries.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # in the same folder, since os.replace cannot rename between file systems
    part = temporary(path)
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            # the content must be on the disk before the name is, or a crash could leave an empty file
            os.fsync(file.fileno())
        _rename(part, path)
    except Unwritable:
        raise
    except OSError as error:
        # a full disk names no file, and the temporary name means nothing to the user
        error.filename = str(path)
        raise
    finally:
        # an error of the clean-up would hide the first one
        with suppress(OSError):
            part.unlink(missing_ok=True)
    # without this, a crash could bring back the previous content under the name
    _sync_folder(path.parent)


def temporary(path: Path) -> Path:
    """Return a random hidden name beside `path`; process numbers are not unique where containers share a folder."""
    return path.with_name(f".{path.name}.{token_hex(8)}.part")


def _rename(part: Path, path: Path) -> None:
    try:
        retry(lambda: os.replace(part, path), _is_in_use)
    except OSError as error:
        if not _is_in_use(error):
            raise
        raise Unwritable(
            f"{path} cannot be replaced ({error.strerror}): close the program that has it open, or choose another place"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Flush the new name to the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        # Windows cannot open folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_in_use(error: OSError) -> bool:
    """Return whether another program may hold the file open, as virus scanners do on Windows."""
    return isinstance(error, PermissionError) or error.errno == errno.EBUSY


def _is_stale(error: OSError) -> bool:
    """Return whether an NFS server has replaced the file under this name; the next try opens the new one."""
    return error.errno == errno.ESTALE


def retry(action: Callable[[], T], is_temporary: Callable[[OSError], bool] = _is_stale) -> T:
    """Return `action()`; after temporary errors try again, for less than two seconds in all."""
    for pause in PAUSES:
        try:
            return action()
        except OSError as error:
            if not is_temporary(error):
                raise
        time.sleep(pause)
    return action()


def check_writable(path: str | Path) -> None:
    """Raise `OSError` now if a file could not be written at `path` later; makes its folder."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # by trying: permissions do not tell of read-only mounts, quotas or network file systems
    part = temporary(path)
    try:
        retry(part.touch)
    except OSError as error:
        error.filename = str(path)
        raise
    part.unlink()


def is_writable(folder: Path) -> bool:
    """Return whether files can be written in a folder, which need not exist; leaves nothing behind."""
    try:
        # the folder itself may still be to be made: then its nearest parent decides
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        check_writable(existing / "new")
    except OSError:
        return False
    return True


def check_folder(path: Path) -> None:
    """Raise `NotADirectoryError` if `path`, or a folder above it, is a file."""
    for folder in (path, *path.parents):
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
