"""Votes in an object store: a real S3 server on the loopback interface, started for these tests."""

import pytest
from pyarrow.fs import FileSystem

import radii
from commands import call, fine
from job_factory import PLANS, job, load
from object_server import RESETTING, server
from radii.engine import LocalExecutor, Parts, Shard, gather, run
from radii.errors import InputError, RadiiWarning
from radii.storage import folders
from radii.storage.folders import exists, open_folder, read_file, write_file

__all__ = ["server"]

BLOCK = 1300


def drawn_at_once() -> radii.Votes:
    """The votes of the jobs below, without parts."""
    smoothed, examples = load()
    return smoothed.ready(examples.shape).vote(examples, PLANS["fixed"], 3, (0, 600))


def test_files_are_written_listed_read_and_removed(server) -> None:
    folder = open_folder(server.address("votes/a"))
    assert folder.names() == []
    for name, content in (("two", b"2"), ("one", b"1"), ("one", b"11")):
        folder.write(name, content)
    assert folder.names() == ["one", "two"] and folder.read("one") == b"11"
    with pytest.raises(InputError, match=r"there is no file s3://votes/a/three$"):
        folder.read("three")
    for name in ("one", "one", "two"):
        folder.remove(name)
    folder.remove_if_empty()
    assert folder.names() == []


def test_one_file_at_an_address(server) -> None:
    address = server.address("votes/b/votes.parquet")
    assert not exists(address)
    votes = drawn_at_once()
    votes.save(address)
    assert exists(address) and radii.load_votes(address).encode() == votes.encode() == read_file(address)


def test_a_run_in_a_store_continues(server) -> None:
    def parts() -> Parts:
        return Parts(open_folder(server.address("votes/run.parts")))

    run(LocalExecutor(job()), parts(), shard=Shard(1, 2), block=BLOCK)
    address = server.address("votes/run.parts")
    write_file(server.address("votes/run.parts/part-00002.parquet"), b"cut")
    with pytest.warns(RadiiWarning):
        votes = run(LocalExecutor(job()), parts())
    smoothed, examples = load()
    assert (
        votes.encode() == smoothed.ready(examples.shape).vote(examples, PLANS["fixed"], 3, (0, 600)).encode()
    )
    assert gather([address]).encode() == votes.encode()


def test_commands_take_addresses(server, tmp_path) -> None:
    folder = tmp_path / "run"
    fine("train", "--data", "digits", "--epochs", 1, "--out", folder)
    line = ("vote", folder, "--limit", 6, "--n", 200, "--part-size", 400)
    fine(*line)
    address = server.address("votes/mine/votes.parquet")
    for number in (1, 2):
        printed = fine(*line, "--out", address, "--shard", f"{number}/2")
    parts = printed.split()[-1]
    assert parts == server.address("votes/mine/votes.parts").replace("s3://", "s3:/")
    printed = fine("merge", parts)
    assert read_file(address) == (folder / "votes.parquet").read_bytes()
    fine("certify", address, "--norm", "l2")
    assert "exists: choose another file" in call("merge", parts).err
    fine(*line, "--out", server.address("votes/again/votes.parquet"))
    assert open_folder(server.address("votes/again")).names() == ["votes.parquet"]


def test_a_lost_connection_is_reported_and_loses_nothing(server, monkeypatch) -> None:
    class Lost(LocalExecutor):
        def sample(self, units, report):
            for number, done in enumerate(super().sample(units, report)):
                if number == 2:
                    server.cut()
                    patch.setattr(folders, "PAUSES", ())
                yield done

    def parts() -> Parts:
        return Parts(open_folder(server.address("votes/lost.parts")))

    words = r"s3://votes/lost\.parts.* cannot be reached .* check the address"
    with monkeypatch.context() as patch, pytest.raises(InputError, match=words):
        run(Lost(job()), parts(), block=BLOCK)
    server.connect()
    with pytest.warns(RadiiWarning, match="2 of 6 parts were sampled before"):
        assert run(LocalExecutor(job()), parts()).encode() == drawn_at_once().encode()


def test_a_reset_leaves_no_unfinished_upload(server, monkeypatch) -> None:
    folder = open_folder(server.address("votes/reset"))
    server.cut()
    server.connect(RESETTING)
    with monkeypatch.context() as patch:
        patch.setattr(folders, "PAUSES", ())
        with pytest.raises(InputError, match="cannot be reached"):
            folder.write("part", bytes(5_000_000))
        assert server.unfinished("votes") == 0
        # beyond what one request holds: its pieces stay, but it must not count as written
        with pytest.raises(InputError, match="cannot be reached"):
            folder.write("large", bytes(20_000_000))
    server.cut()
    server.connect()
    assert folder.names() == []
    for name, size in (("part", 5_000_000), ("large", 20_000_000)):
        folder.write(name, bytes(size))
        assert folder.read(name) == bytes(size)


KEYS = "KEYIDKEYID:sEc%2FReT%2B123@"
SECRETS = ("KEYID", "sEc", "ReT")


def everything(server, folder) -> dict[str, str]:
    """Names and contents of all files below a folder, and of all objects in the store."""
    from pyarrow.fs import FileSelector

    found = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    system, _ = FileSystem.from_uri(server.address("votes"))
    for one in system.get_file_info(FileSelector("votes", recursive=True)):
        if one.is_file:
            with system.open_input_stream(one.path) as stream:
                found[one.path] = stream.read()
    return {name: f"{name}\0{content.decode('latin-1')}" for name, content in found.items()}


def test_keys_in_addresses_are_in_nothing_that_is_printed_or_written(server, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run, more = tmp_path / "run", tmp_path / "more"
    fine("train", "--data", "digits", "--epochs", 1, "--out", run)
    fine("vote", run, "--limit", 6, "--n", 200, "--seed", 5, "--out", more / "votes.parquet")
    address, other = (server.address(f"votes/{name}/votes.parquet", KEYS) for name in ("keys", "others"))
    parts = server.address("votes/keys/votes.parts", KEYS)
    vote = ("vote", run, "--limit", 6, "--n", 200, "--part-size", 400, "--out", address)
    lines = [
        (*vote, "--shard", "1/2"),
        ("merge", parts),  # parts are missing
        (*vote, "--seed", 1),  # another run was begun there
        (*vote, "--shard", "2/2"),
        ("merge", parts),
        vote,  # all was drawn before
        ("merge", parts),  # the file exists
        (*vote, "--n", 300),  # with other votes
        ("vote", run, "--limit", 6, "--n", 200, "--out", other),
        (
            "certify",
            address,
            other,
            more / "votes.parquet",
            "--norm",
            "l2",
            "--norm",
            "linf",
            "--out",
            "found",
        ),
        ("certify", address, address),
        ("report", address, other, "--norm", "l2", "--k", 1, "--out", "page"),
        ("report", address, "--attacks", "--out", "page"),
        (
            "attack",
            address,
            "--run",
            run,
            "--stride",
            6,
            "--steps",
            1,
            "--eot-samples",
            2,
            "--n",
            50,
            "--out",
            "attacks",
        ),
        ("attack", address),  # no run folder
        (
            "plan",
            "--images",
            9,
            "--pilot",
            address,
            "--radii",
            0.1,
            "--noise",
            "laplace:sigma=0.5",
            "--shape",
            "1,8,8",
        ),
        ("certify", server.address("votes/none.parquet", KEYS)),
    ]
    wrong = [
        ("certify", address.replace("region=", "token=sEcReT&regio=")),
        ("certify", address.replace("%2F", "/")),
        ("certify", address.replace("s3:", "s4:")),
        ("vote", address),  # no model
        ("vote", run, "--limit", address),  # no number
    ]
    printed = []
    for line in [*lines, *wrong]:
        if line is wrong[0]:
            monkeypatch.setattr(folders, "PAUSES", ())
        ended = call(*line)
        printed.append(f"{ended.out}{ended.err}")
        assert ended.status in (0, 1, 2)
    server.cut()
    printed += [f"{ended.out}{ended.err}" for ended in (call("certify", address), call(*vote, "--seed", 9))]
    server.connect()
    assert "s3:/***@votes/keys" in "".join(printed) and "cannot be reached" in printed[-1]
    written = everything(server, tmp_path)
    assert {"votes/keys/votes.parquet", str(tmp_path / "page" / "report.json")} <= set(written)
    assert "votes/keys/votes.parts/law.json" in written
    for text in (*printed, *written.values()):
        assert not any(secret in text for secret in SECRETS)


def test_invalid_addresses(server) -> None:
    with pytest.raises(InputError, match="not an address of an object store"):
        radii.load_votes("s4://bucket/votes.parquet")
    with pytest.raises(InputError, match="there is no file"):
        radii.load_votes(server.address("votes/none.parquet"))
