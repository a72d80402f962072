"""Folders of small files, on this machine or in an object store; a file there is whole or absent.

Addresses are paths, `file://` or what pyarrow's file systems know, for example
`s3://bucket/folder?region=eu-west-1` with `endpoint_override=HOST:PORT` for other stores than Amazon's.
"""

import os
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from radii.errors import InputError, shown, without_keys
from radii.storage import atomic
from radii.storage.atomic import UNFINISHED

Where = str | Path

# pathlib takes the second slash of an address away, which is harmless here
ADDRESS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+]+):/+(?P<rest>[^?]*)(?P<query>\?.*)?", re.IGNORECASE | re.DOTALL
)

PAUSES = (1, 2, 4, 8, 16)
"""Seconds to wait before an object store is asked again."""

T = TypeVar("T")


class Missing(InputError):
    """There is no such file."""


class Folder(ABC):
    """Files by name."""

    @abstractmethod
    def address(self, name: str) -> str:
        """Where a file is, in words for the user."""

    @abstractmethod
    def names(self) -> list[str]:
        """Of the files that are there, sorted; none if the folder is not."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file; `Missing` if the folder is taken away meanwhile.

        Guarantee: at any moment it holds what it held before, or all of this.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""

    @abstractmethod
    def close(self) -> None:
        """Take the folder itself away, if nothing is left in it but what writers that were killed left unfinished."""


class LocalFolder(Folder):
    """A folder of a file system that is mounted here, over a network or not."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def address(self, name: str) -> str:
        return str(self.path / name)

    def names(self) -> list[str]:
        try:
            there = atomic.patiently(lambda: os.listdir(self.path))
            return sorted(name for name in there if not name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, name: str) -> bytes:
        path = self.path / name
        try:
            return atomic.read(path)
        except (FileNotFoundError, NotADirectoryError):
            raise Missing(f"there is no file {path}") from None
        except OSError as error:
            if os.path.isdir(path):
                raise InputError(
                    f"{path} is a folder: give a file, for example {path / 'votes.parquet'}"
                ) from None
            raise InputError(
                f"{path} cannot be read: {error.strerror or error}; check its rights and its disk, and try again"
            ) from error

    def write(self, name: str, content: bytes) -> None:
        try:
            atomic.write(self.path / name, content)
        except FileNotFoundError as error:
            raise Missing(f"{self.path} was taken away while {name} was written") from error

    def remove(self, name: str) -> None:
        atomic.patiently(lambda: (self.path / name).unlink(missing_ok=True))

    def close(self) -> None:
        if not self.names():
            for unfinished in self.path.glob(UNFINISHED):
                unfinished.unlink(missing_ok=True)
        # another process may take it away, or begin to write, at the same moment
        with suppress(OSError):
            self.path.rmdir()


class StoreFolder(Folder):
    """A prefix in an object store, which shows an object once all of it has arrived."""

    def __init__(self, where: str) -> None:
        from pyarrow.fs import FileSystem

        self._where = where
        self._system, self._prefix = self._patiently(None, lambda: FileSystem.from_uri(where))

    def address(self, name: str) -> str:
        return f"{shown(self._where).partition('?')[0]}/{name}"

    def names(self) -> list[str]:
        from pyarrow.fs import FileSelector, FileType

        found = self._patiently(
            "", lambda: self._system.get_file_info(FileSelector(self._prefix, allow_not_found=True))
        )
        return sorted(one.base_name for one in found if one.type == FileType.File)

    def read(self, name: str) -> bytes:
        def fetch() -> bytes:
            with self._system.open_input_stream(f"{self._prefix}/{name}") as stream:
                return stream.read()

        return self._patiently(name, fetch)

    def write(self, name: str, content: bytes) -> None:
        from pyarrow.fs import LocalFileSystem, copy_files

        # an output stream that an interruption cuts short would keep what it was given so far
        with TemporaryDirectory() as here:
            whole = Path(here) / name
            whole.write_bytes(content)
            source, target = LocalFileSystem(), self._system
            self._patiently(
                name,
                lambda: copy_files(
                    str(whole),
                    f"{self._prefix}/{name}",
                    source_filesystem=source,
                    destination_filesystem=target,
                ),
            )

    def remove(self, name: str) -> None:
        with suppress(Missing):
            self._patiently(name, lambda: self._system.delete_file(f"{self._prefix}/{name}"))

    def close(self) -> None:
        """Nothing: a prefix without objects is not there."""

    def _patiently(self, name: str | None, ask: Callable[[], T]) -> T:
        """Ask again a few times where the store does not answer; `name`: of the file, None for the store itself."""
        import pyarrow as pa

        for pause in (*PAUSES, None):
            try:
                return ask()
            except (OSError, ValueError, ImportError, pa.ArrowException) as error:
                found, temporary = self._meaning(error, name), _is_temporary(error)
            # not within `except`: what a library raised may quote keys, and would go along as the context
            if pause is None or not temporary:
                raise found
            time.sleep(pause)
        raise AssertionError("the last pause is none")

    def _meaning(self, error: Exception, name: str | None) -> InputError:
        """What an error of a library means, in words without keys."""
        if isinstance(error, FileNotFoundError) and name is not None:
            return Missing(f"there is no file {self.address(name)}")
        why = without_keys(_first_line(error), self._where)
        if not isinstance(error, OSError) or isinstance(error, FileNotFoundError):
            return InputError(f"{shown(self._where)} is no address of an object store: {why}")
        place = shown(self._where) if name is None else self.address(name)
        return InputError(
            f"{place} cannot be reached ({why}): check the address, the credentials and the connection; what is "
            "stored stays, and the same command goes on from there"
        )


def _is_temporary(error: Exception) -> bool:
    """Whether a store may answer later, for all that is known: a name may be resolved again, a line be mended."""
    return isinstance(error, OSError) and not isinstance(error, PermissionError | FileNotFoundError)


def open_folder(where: Where) -> Folder:
    """The folder at a path or an address; nothing is made yet, and a store is asked for its region at most."""
    address = ADDRESS.fullmatch(str(where))
    if address is None:
        return LocalFolder(Path(where))
    if address["scheme"].lower() == "file":
        return LocalFolder(Path(f"/{address['rest']}"))
    return StoreFolder(f"{address['scheme'].lower()}://{address['rest'].rstrip('/')}{address['query'] or ''}")


def split(where: Where) -> tuple[str, str]:
    """The folder of a file, and its name."""
    path, query = _path_and_query(where)
    return f"{path.parent}{query}", path.name


def bare(where: Where) -> Path:
    """The path of a file or in an address, without keys and options: for names that are made of it."""
    return _path_and_query(shown(where))[0]


def with_suffix(where: Where, suffix: str) -> str:
    """The same place with another ending."""
    path, query = _path_and_query(where)
    return f"{path.with_suffix(suffix)}{query}"


def _path_and_query(where: Where) -> tuple[Path, str]:
    base, mark, query = str(where).partition("?") if ADDRESS.fullmatch(str(where)) else (str(where), "", "")
    if not (path := Path(base)).name:
        raise InputError(f"{shown(where)!r} is the name of no file")
    return path, mark + query


def read_file(where: Where) -> bytes:
    """The content of one file."""
    folder, name = split(where)
    return open_folder(folder).read(name)


def write_file(where: Where, content: bytes) -> None:
    """Make or replace one file, whole or not at all."""
    folder, name = split(where)
    open_folder(folder).write(name, content)


def check_writable(where: Where) -> None:
    """Fail at once where a local file written hours from now would fail; object stores are asked when it matters."""
    folder, name = split(where)
    if isinstance(place := open_folder(folder), LocalFolder):
        atomic.check_writable(place.path / name)


def exists(where: Where) -> bool:
    """Whether there is such a file."""
    folder, name = split(where)
    return name in open_folder(folder).names()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
