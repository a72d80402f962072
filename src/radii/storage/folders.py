"""Folders of small files, on this machine or in an object store; each file is whole or absent.

A location is a path, `file://...`, or an address that pyarrow's file systems accept, for example
`s3://bucket/folder?region=eu-west-1`, with `endpoint_override=HOST:PORT` for stores other than Amazon's.
"""

import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from radii.errors import InputError, shown, without_keys
from radii.storage import atomic

Location = str | Path

# one slash is enough: pathlib removes the other
ADDRESS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+]+):/+(?P<rest>[^?]*)(?P<query>\?.*)?", re.IGNORECASE | re.DOTALL
)

PAUSES = (1, 2, 4, 8, 16)
"""Seconds between tries to reach an object store: half a minute in all, then the command ends and can be repeated."""

T = TypeVar("T")


class Missing(InputError):
    """Error for a file that does not exist."""


class Folder(ABC):
    """Files by name."""

    @abstractmethod
    def address(self, name: str) -> str:
        """Return the path or address of a file, without keys, for messages."""

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of the files, sorted; none if the folder does not exist."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return the content of a file; raise `Missing` if it does not exist."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file; raise `Missing` if the folder is removed meanwhile.

        Guarantee: at any moment the file has its previous content or the whole new one.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file if it exists."""

    @abstractmethod
    def remove_if_empty(self) -> None:
        """Remove the folder itself if it holds no files but unfinished ones of writers that were killed."""


def open_folder(location: Location) -> Folder:
    """Return the folder at a path or an address, which need not exist; nothing is created.

    Raises `InputError` for an address without an object store. A store may be queried for its region.
    """
    address = ADDRESS.fullmatch(str(location))
    if address is None:
        return LocalFolder(Path(location))
    if address["scheme"].lower() == "file":
        return LocalFolder(Path(f"/{address['rest']}"))
    return StoreFolder(f"{address['scheme'].lower()}://{address['rest'].rstrip('/')}{address['query'] or ''}")


def read_file(location: Location) -> bytes:
    """Return the content of one file."""
    folder, name = split(location)
    return open_folder(folder).read(name)


def write_file(location: Location, content: bytes) -> None:
    """Write or replace one file, whole or not at all."""
    folder, name = split(location)
    open_folder(folder).write(name, content)


def exists(location: Location) -> bool:
    """Return whether a file exists."""
    folder, name = split(location)
    return name in open_folder(folder).names()


def check_writable(location: Location) -> None:
    """Raise now if a local file could not be written later; object stores are not tried."""
    folder, name = split(location)
    if isinstance(opened := open_folder(folder), LocalFolder):
        atomic.check_writable(opened.path / name)


def split(location: Location) -> tuple[str, str]:
    """Return the folder of a file and its name."""
    path, query = _path_and_query(location)
    return f"{path.parent}{query}", path.name


def bare(location: Location) -> Path:
    """Return a path, or that in an address, without keys and options, to derive names from."""
    return _path_and_query(shown(location))[0]


def with_suffix(location: Location, suffix: str) -> str:
    """Return the location with another suffix."""
    path, query = _path_and_query(location)
    return f"{path.with_suffix(suffix)}{query}"


def _path_and_query(location: Location) -> tuple[Path, str]:
    text = str(location)
    # a local file may have "?" in its name
    base, mark, query = text.partition("?") if ADDRESS.fullmatch(text) else (text, "", "")
    if not (path := Path(base)).name:
        raise InputError(f"{shown(location)!r} does not name a file: add the name of one")
    return path, mark + query


class LocalFolder(Folder):
    """A folder of a mounted file system, local or over a network."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def address(self, name: str) -> str:
        return str(self.path / name)

    def names(self) -> list[str]:
        try:
            names = atomic.retry(lambda: os.listdir(atomic.openable(self.path)))
        except (FileNotFoundError, NotADirectoryError):
            # a run that has not begun, or has finished
            return []
        # unfinished files start with a dot, and so do those that file managers leave
        return sorted(name for name in names if not name.startswith("."))

    def read(self, name: str) -> bytes:
        path = self.path / name
        try:
            return atomic.read(path)
        except (FileNotFoundError, NotADirectoryError):
            raise Missing(f"there is no file {path}") from None
        except atomic.NotAFile:
            raise
        except OSError as error:
            if os.path.isdir(path):
                raise InputError(
                    f"{path} is a folder: give a file, for example {path / 'votes.parquet'}"
                ) from None
            raise InputError(
                f"{path} cannot be read: {error.strerror or error}; check its permissions and its disk, and try again"
            ) from error

    def write(self, name: str, content: bytes) -> None:
        try:
            atomic.write(self.path / name, content)
        except FileNotFoundError as error:
            raise Missing(f"{self.path} was removed while {name} was written") from error

    def remove(self, name: str) -> None:
        atomic.retry(lambda: (self.path / name).unlink(missing_ok=True))

    def remove_if_empty(self) -> None:
        if not self.names():
            for unfinished in self.path.glob(atomic.UNFINISHED):
                unfinished.unlink(missing_ok=True)
        # another process may remove the folder, or write into it, at the same moment
        with suppress(OSError):
            self.path.rmdir()


DELAYED = "allow_delayed_open"
"""Option of pyarrow's S3, in addresses since pyarrow 21, with which files below 10 MB take one request."""


def _with_one_request(address: str) -> str:
    """Return an address of S3 with `DELAYED`: an upload in several requests that is cut off stays in the bucket."""
    import pyarrow as pa

    if not address.startswith("s3:") or f"{DELAYED}=" in address or int(pa.__version__.split(".")[0]) < 21:
        return address
    return f"{address}{'&' if '?' in address else '?'}{DELAYED}=true"


class StoreFolder(Folder):
    """A prefix in an object store; objects appear there once they are complete."""

    def __init__(self, address: str) -> None:
        from pyarrow.fs import FileSystem

        self._address = address
        self._system, self._prefix = self._retry(
            None, lambda: FileSystem.from_uri(_with_one_request(address))
        )

    def address(self, name: str) -> str:
        return f"{shown(self._address).partition('?')[0]}/{name}"

    def names(self) -> list[str]:
        from pyarrow.fs import FileSelector, FileType

        # a prefix does not exist before its first object
        selector = FileSelector(self._prefix, allow_not_found=True)
        infos = self._retry("", lambda: self._system.get_file_info(selector))
        return sorted(info.base_name for info in infos if info.type == FileType.File)

    def read(self, name: str) -> bytes:
        def fetch() -> bytes:
            with self._system.open_input_stream(f"{self._prefix}/{name}") as stream:
                return stream.read()

        return self._retry(name, fetch)

    def write(self, name: str, content: bytes) -> None:
        def send() -> None:
            # not copy_files of pyarrow, which ignores an error at the end of an upload; and not `with`, which would end
            # an interrupted upload as if it were whole: one call takes all of the content or none
            stream = self._system.open_output_stream(f"{self._prefix}/{name}", compression=None)
            stream.write(content)
            stream.close()

        self._retry(name, send)

    def remove(self, name: str) -> None:
        # another process may have removed it
        with suppress(Missing):
            self._retry(name, lambda: self._system.delete_file(f"{self._prefix}/{name}"))

    def remove_if_empty(self) -> None:
        """Do nothing: a prefix without objects does not exist."""

    def _retry(self, name: str | None, request: Callable[[], T]) -> T:
        """Return `request()`, trying again while the store is unreachable; about the file `name`, or None for all."""
        import pyarrow as pa

        pauses = iter(PAUSES)
        while True:
            try:
                return request()
            except (OSError, ValueError, ImportError, pa.ArrowException) as error:
                reported = self._without_keys(error, name)
                # for all that is known, other errors may pass: names that were not resolved, lost connections
                temporary = isinstance(error, OSError) and not isinstance(
                    error, PermissionError | FileNotFoundError
                )
            # raised outside `except`: the library's error may quote keys, and would be kept as the context
            pause = next(pauses, None) if temporary else None
            if pause is None:
                raise reported
            time.sleep(pause)

    def _without_keys(self, error: Exception, name: str | None) -> InputError:
        """Return a library's error as one for users, without keys."""
        if isinstance(error, FileNotFoundError) and name is not None:
            return Missing(f"there is no file {self.address(name)}")
        text = str(error).strip()
        reason = without_keys(text.splitlines()[0] if text else type(error).__name__, self._address)
        if not isinstance(error, OSError) or isinstance(error, FileNotFoundError):
            return InputError(f"{shown(self._address)} is not an address of an object store: {reason}")
        address = shown(self._address) if name is None else self.address(name)
        return InputError(
            f"{address} cannot be reached ({reason}): check the address, the credentials and the connection; what is "
            "stored is kept, and the same command continues from there"
        )
