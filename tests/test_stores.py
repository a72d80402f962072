"""Folders of files, wherever they are: whole or absent, listed, replaced, removed."""

import pytest

from radii.errors import InputError
from radii.files import check_writable, replacing
from radii.stores import LocalFolder, exists, open_folder, read_file, split, write_file


@pytest.mark.parametrize(
    ("where", "folder", "name"),
    [
        ("votes.parquet", ".", "votes.parquet"),
        ("runs/a b/votes.parquet", "runs/a b", "votes.parquet"),
        (
            "s3://bucket/x/votes.parquet?region=a&scheme=http",
            "s3:/bucket/x?region=a&scheme=http",
            "votes.parquet",
        ),
        ("file:///tmp/x/v", "file:/tmp/x", "v"),
        ("odd?name", ".", "odd?name"),
    ],
)
def test_a_file_has_a_folder_and_a_name(where, folder, name):
    assert split(where) == (folder, name)


def test_a_file_is_written_read_listed_and_removed(tmp_path):
    for where in (str(tmp_path / "a"), f"file://{tmp_path}/b"):
        folder = open_folder(where)
        assert isinstance(folder, LocalFolder) and folder.names() == []
        folder.write("two", b"2")
        folder.write("one", b"1")
        folder.write("one", b"11")
        assert folder.names() == ["one", "two"] and folder.read("one") == b"11"
        folder.close()
        assert folder.names() == ["one", "two"]
        for name in ("one", "two", "two"):
            folder.remove(name)
        folder.close()
        assert not folder.path.exists()


def test_two_that_write_one_file_at_once_do_not_meet(tmp_path):
    """In containers that share a folder, processes may have the same number."""
    path = tmp_path / "votes"
    with replacing(path) as one:
        one.write(b"one")
        with replacing(path) as two:
            two.write(b"second")
            check_writable(path)
        assert path.read_bytes() == b"second"
        one.write(b", the first")
    assert path.read_bytes() == b"one, the first" and list(tmp_path.iterdir()) == [path]


def test_one_file_at_an_address(tmp_path):
    address = f"file://{tmp_path}/new/votes.parquet"
    assert not exists(address)
    write_file(address, b"votes")
    assert exists(address) and read_file(tmp_path / "new" / "votes.parquet") == b"votes"


def test_what_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*none"):
        read_file(tmp_path / "none")
    with pytest.raises(InputError, match="is a folder: give a file"):
        read_file(tmp_path)
    with pytest.raises(InputError, match="no address of an object store"):
        open_folder("nothing://like/this")
