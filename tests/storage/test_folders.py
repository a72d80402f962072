"""Folders of files: written whole, listed, replaced, removed, and retried; keys in addresses are masked."""

import errno
import os
from pathlib import Path

import pytest

from radii.cli.console import one_sentence
from radii.errors import InputError, RadiiWarning, shown, without_keys
from radii.storage import atomic, folders
from radii.storage.atomic import check_writable, replacing
from radii.storage.folders import LocalFolder, bare, exists, open_folder, read_file, split, write_file


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
        folder.remove_if_empty()
        assert folder.names() == ["one", "two"]
        for name in ("one", "two", "two"):
            folder.remove(name)
        folder.remove_if_empty()
        assert not folder.path.exists()


def test_two_writers_of_one_file_do_not_interfere(tmp_path):
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


def test_missing_files_and_stores(tmp_path):
    with pytest.raises(InputError, match=r"there is no file .*none"):
        read_file(tmp_path / "none")
    with pytest.raises(InputError, match="is a folder: give a file"):
        read_file(tmp_path)
    with pytest.raises(InputError, match="not an address of an object store"):
        open_folder("nothing://like/this")


# temporary errors of file systems -----------------------------------------------------------------


def failing(path, kind, times):
    """The function at `path`, which raises errors the first `times` times, and the list of its calls."""
    import importlib

    module, _, name = path.rpartition(".")
    owner = importlib.import_module(module) if module != "pathlib.Path" else Path
    real, calls = getattr(owner, name), []

    def function(*arguments, **how):
        calls.append(arguments)
        if len(calls) <= times:
            raise OSError(kind, os.strerror(kind), str(arguments[0]))
        return real(*arguments, **how)

    return function, calls


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between tries, in seconds, which the tests skip."""
    waited = []
    monkeypatch.setattr(atomic.time, "sleep", waited.append)
    return waited


# the function that fails, what calls it, the errors that are temporary, and what the file holds in the end
WAYS = {
    "os.replace": ("write", (errno.ESTALE, errno.EACCES, errno.EPERM, errno.EBUSY), b"new"),
    "os.fsync": ("write", (errno.ESTALE,), b"new"),
    "pathlib.Path.touch": ("check", (errno.ESTALE,), b"old"),
    "pathlib.Path.read_bytes": ("read", (errno.ESTALE,), b"old"),
    "os.listdir": ("names", (errno.ESTALE,), b"old"),
    "pathlib.Path.unlink": ("remove", (errno.ESTALE,), None),
}
CASES = [(way, *WAYS[way][::2], kind) for way in WAYS for kind in WAYS[way][1]]


def do(deed, place):
    """Do something with the file `v` of a folder."""
    if deed == "check":
        check_writable(place.path / "v")
    else:
        more = {"write": ("v", b"new"), "read": ("v",), "remove": ("v",), "names": ()}
        getattr(place, deed)(*more[deed])


def content(folder):
    """What the file `v` holds, None if it is gone; there is no other file."""
    left = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(left) <= {"v"}
    return left.get("v")


@pytest.mark.parametrize(("way", "deed", "after", "kind"), CASES)
def test_temporary_errors_are_retried(tmp_path, monkeypatch, pauses, way, deed, after, kind):
    place = open_folder(tmp_path)
    place.write("v", b"old")
    function, calls = failing(way, kind, 2)
    monkeypatch.setattr(way, function)
    do(deed, place)
    assert pauses == [0.05, 0.1] and len(calls) >= 3
    monkeypatch.undo()
    assert content(tmp_path) == after


@pytest.mark.parametrize(("way", "deed", "after", "kind"), CASES)
def test_lasting_errors_are_one_sentence(tmp_path, monkeypatch, pauses, capsys, way, deed, after, kind):
    place = open_folder(tmp_path)
    place.write("v", b"old")
    function, _ = failing(way, kind, 99)
    monkeypatch.setattr(way, function)
    with pytest.raises(SystemExit) as end, one_sentence():
        do(deed, place)
    monkeypatch.undo()
    said = capsys.readouterr().err
    assert (
        end.value.code == 2 and said.startswith("radii: ") and said.count("\n") == 1 and "Errno" not in said
    )
    assert str(tmp_path) in said and ".part" not in said and os.strerror(kind) in said
    assert pauses == list(atomic.PAUSES) and content(tmp_path) == b"old"


def test_a_full_disk_is_not_retried(tmp_path, monkeypatch, pauses):
    function, _ = failing("os.fsync", errno.ENOSPC, 99)
    monkeypatch.setattr("os.fsync", function)
    with pytest.raises(OSError, match="No space left"):
        write_file(tmp_path / "v", b"new")
    assert not pauses and not list(tmp_path.iterdir())


# keys in addresses --------------------------------------------------------------------------------

SHOWN = {
    "votes/a?b=c": "votes/a?b=c",
    "file:///tmp/a?b=c": "file:///tmp/a?b=c",
    "s3://bucket/x@y/v.parquet?region=eu&scheme=http": "s3://bucket/x@y/v.parquet?region=eu&scheme=http",
    "hdfs://host:8020/votes": "hdfs://host:8020/votes",
    "abfss://container@account.net/v": "abfss://container@account.net/v",
    "http://127.0.0.1:80/p?model=a&x=1": "http://127.0.0.1:80/p?model=a&x=1",
    "s3://ID:k3y@bucket/v?region=eu": "s3://***@bucket/v?region=eu",
    "s3:/ID:k3y@bucket/v": "s3:/***@bucket/v",
    "S3://k3y@bucket": "S3://***@bucket",
    "s3://ID:k3/y?k3+y@bucket/v": "s3://***@bucket/v",
    "s3://ID:12/k3y@bucket/v": "s3://***@bucket/v",
    "abfss://account:k3y@container.net/v?sv=1": "abfss://***@container.net/v?sv=***",
    "s3://bucket/v?X-Amz-Signature=k3y&region=eu": "s3://bucket/v?X-Amz-Signature=***&region=eu",
    "s3://bucket/v?k3y": "s3://bucket/v?***",
    "s3://bucket/v?k3y==": "s3://bucket/v?***",
    "s3://bucket/v#k3y": "s3://bucket/v#***",
    "s3://bucket/v?endpoint_override=ID:k3y@host:1": "s3://bucket/v?endpoint_override=***",
    "http://me:k3y@host:80/p": "http://***@host:80/p",
    "https://host/p?code=k3y;v=2&api%5Fkey=k3y": "https://host/p?code=***;v=2&api%5Fkey=***",
    "https://host/p?url=http://me:k3y@x": "https://host/p?url=***",
}


@pytest.mark.parametrize("address", SHOWN)
def test_an_address_is_shown_without_its_keys(address):
    assert shown(address) == SHOWN[address] and "k3y" not in shown(address)
    assert (
        without_keys(f"see '{address}': again, ({address})")
        == f"see '{SHOWN[address]}': again, ({SHOWN[address]})"
    )
    assert (
        str(InputError(f"{address} is wrong"))
        == str(RadiiWarning(f"{address} is wrong"))
        == f"{SHOWN[address]} is wrong"
    )


def test_keys_are_masked_anywhere_in_a_text():
    """Libraries may quote a key alone, percent-encoded or not, or an address that is cut at a space."""
    address = "s3://KEYID:a%2Fb c%2Bd@bucket/v?token=t0p%3D1"
    said = "no KEYID; a/b c+d, a%2Fb c%2Bd or t0p=1; cannot parse 's3://KEYID:a%2Fb c%2Bd@bucket/v'"
    assert without_keys(said, address) == "no ***; ***, *** or ***; cannot parse 's3://***@bucket/v'"
    assert without_keys("cannot parse s3://ID:k3y and more@bucket") == "cannot parse s3://*** and more@bucket"
    assert without_keys("=1.http://ID:k3y@host, ") == "=1.http://***@host, "


@pytest.mark.parametrize("text", ["a" * 10**6, "a." * 10**6, "1" * 10**6, "1a" * 10**6 + "://u:k3y@h"])
def test_addresses_are_found_in_linear_time(text):
    # a search from each letter would take hours; votes, for example, name their model by any text
    assert "k3y" not in without_keys(text)


def family(error):
    """An error with its causes and contexts, as texts."""
    while error is not None:
        yield f"{error!r} {error} {error.args}"
        error = error.__cause__ or error.__context__


ADDRESSES_OF_NOTHING = [
    "s3://KEYID:k3yk3y@bucket/v.parquet?regio=eu",
    "s3://KEYID:k3y/k3y@bucket/v.parquet?region=eu",
    "s3://KEYID:k3y k3y@bucket/v.parquet?region=eu",
    "s4://KEYID:k3yk3y@bucket/v.parquet",
    "S4://KEYID:k3yk3y@bucket/v.parquet",
    "gs://KEYID@bucket/v.parquet?token=k3yk3y",
    "abfs://KEYID:k3yk3y@container.net/v.parquet?k3yk3y",
]


@pytest.mark.parametrize("address", ADDRESSES_OF_NOTHING)
def test_no_error_about_an_address_holds_its_keys(address):
    with pytest.raises(InputError) as error:
        read_file(address)
    assert all("k3y" not in text and "KEYID" not in text for text in family(error.value))


def test_names_made_of_addresses_hold_no_keys():
    assert str(bare("s3://KEYID:k3y@bucket/run/v.parquet?token=a/b")) == "s3:/***@bucket/run/v.parquet"
    assert str(bare("runs/a?b/v.parquet")) == "runs/a?b/v.parquet"


def test_a_store_whose_name_is_not_resolved_is_tried_again(monkeypatch):
    """Without a region in the address, the store is queried for it first."""
    from pyarrow.fs import FileSystem, LocalFileSystem

    said = (
        "When resolving region for bucket 'b': AWS Error NETWORK_CONNECTION: Could not resolve host: b.s3.aws"
    )
    waited, asked = [], []

    class Stores:
        away = 3

        @classmethod
        def from_uri(cls, where):
            asked.append(where)
            if len(asked) <= cls.away:
                raise OSError(said)
            return LocalFileSystem(), "nowhere"

    monkeypatch.setattr("pyarrow.fs.FileSystem", Stores)
    monkeypatch.setattr(folders.time, "sleep", waited.append)
    assert open_folder("s3://KEYID:k3y@b/x").names() == []
    assert waited == [1, 2, 4] and len(asked) == 4
    Stores.away = 99
    with pytest.raises(InputError) as error:
        open_folder("s3://KEYID:k3y@b/x")
    words = str(error.value)
    assert (
        words.startswith(f"s3://***@b/x cannot be reached ({said}): check the address")
        and "no address" not in words
    )
    assert waited == [1, 2, 4, *folders.PAUSES] and FileSystem is not Stores


@pytest.mark.parametrize(
    "wrong", [PermissionError("ACCESS_DENIED"), FileNotFoundError("no bucket"), ValueError("bad")]
)
def test_permanent_errors_are_not_retried(monkeypatch, wrong):
    class Stores:
        @staticmethod
        def from_uri(where):
            raise wrong

    monkeypatch.setattr("pyarrow.fs.FileSystem", Stores)
    monkeypatch.setattr(folders.time, "sleep", lambda _: pytest.fail("waited"))
    with pytest.raises(InputError, match=str(wrong)):
        open_folder("s3://b/x")
