"""A pipe, a device or a loop of links in the place of a file ends in one sentence: reading it may never end."""

import ast
import os
from pathlib import Path

import pytest

import radii
from commands import call
from fuzz_factory import put_special
from radii.engine import gather
from radii.engine.parts import MANIFEST, Parts
from radii.errors import InputError
from radii.models.adapters.class_map import read_class_map
from radii.storage import atomic
from radii.storage.documents import read_toml
from radii.storage.folders import LocalFolder, open_folder

ROOT = Path(radii.__file__).parent
OPENERS = {"ZipFile", "fromfile", "memmap", "open", "read_bytes", "read_text", "safe_open"}
NO_FILES = {"archive.open", "pillow.open", "frontend.batcher.open", "os.open", "tarfile.open"}
"""Calls of the same names for a member of an open archive, bytes, folders, and the archive that was downloaded here."""
OTHERS = {
    "cli/attacked_pictures.py": "bytes in memory",
    "cli/doctor.py": "files of the system",
    "certificates/imported/arrays.py": "bytes in memory",
    "certificates/imported/run.py": "bytes in memory",
    "cli/terminal.py": "the null device",
    "models/adapters/export_archive.py": "bytes in memory",
    "noises/theory/laplace_l2.py": "files of this package",
    "report/html/page.py": "files of this package",
    "storage/atomic.py": "a new file",
    "storage/owner.py": "files of the system, and a new one",
}
"""Modules that open other files than those of users, and which."""


KINDS = {"pipe": "is a pipe", "device": "a device", "loop": "leads back to itself"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_not_read(kind: str, tmp_path: Path) -> None:
    names = (MANIFEST, "votes.parquet", "recipe.toml", "map.json")
    paths = [put_special(tmp_path / name, kind) for name in names]
    readers = (
        lambda path: gather([path.parent]),
        radii.load_votes,
        read_toml,
        lambda path: read_class_map(path, ()),
    )
    for path, reader in zip(paths, readers, strict=True):
        with pytest.raises(ValueError, match=f"{path}.*{KINDS[kind]}"):
            reader(path)


def test_a_part_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "part-00000.parquet")
    with pytest.raises(InputError, match="must be a file, but is a pipe"):
        LocalFolder(tmp_path).read("part-00000.parquet")


def test_a_folder_that_is_a_loop(tmp_path: Path) -> None:
    loop = put_special(tmp_path / "votes.parts", "loop")
    for use in (Parts(open_folder(loop)).stored, open_folder(loop).names):
        with pytest.raises(atomic.NotAFile, match="remove that link"):
            use()
    ended = call("certify", loop)
    assert ended.status == 2 and ended.err.count("\n") == 1 and "remove that link" in ended.err


def test_files_and_links_to_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert atomic.read(tmp_path / "link") == b"content"
    with pytest.raises(FileNotFoundError):
        atomic.read(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        atomic.read(tmp_path)


def unchecked(source: str) -> list[str]:
    """The calls in a module that open a file without asking what it is."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [(ast.unparse(call.func), ast.unparse(call)) for call in calls]
    return [
        call
        for name, call in named
        if name.rpartition(".")[2] in OPENERS or (name == "np.load" and "BytesIO" not in call)
        if name not in NO_FILES and "openable(" not in call
    ]


def test_every_file_is_opened_by_way_of_one_function() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if unchecked(path.read_text(encoding="utf-8"))
    }
    assert found == OTHERS.keys()


def test_an_unchecked_file_is_noticed() -> None:
    assert unchecked("np.load(path)\npath.read_text()\nopen(path)\nzipfile.ZipFile(path)\nread(path)") == [
        "np.load(path)",
        "path.read_text()",
        "open(path)",
        "zipfile.ZipFile(path)",
    ]
