"""One process at a time works in a folder; what a killed one left is taken over."""

import json
import os
import signal
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from commands import call
from driven import Command, kill
from patience import wait_until
from radii.errors import InputError, RadiiWarning
from radii.storage import owner
from radii.storage.owner import OWNER, Process, owned

TRAIN = ("--data", "digits", "--epochs", 2)


def write(folder: Path, content: bytes, silence: float = 0.0) -> Path:
    """The file of an owner that touched it some seconds ago."""
    path = folder / OWNER
    path.write_bytes(content)
    now = path.stat().st_mtime
    os.utime(path, (now - silence, now - silence))
    return path


def encoded(process: Process) -> bytes:
    return json.dumps(asdict(process)).encode()


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with owned(folder) as first:
        before = (folder / OWNER).read_bytes()
        named = (
            rf"{folder} belongs to process {os.getpid()} on .*: wait until it ends, or choose another folder$"
        )
        with pytest.raises(InputError, match=named), owned(folder):
            pass
        first.check()
        assert (folder / OWNER).read_bytes() == before
    assert not list(folder.iterdir())
    with owned(folder):
        pass


def test_a_process_that_has_ended_is_no_owner(tmp_path: Path) -> None:
    with Command("-c", "pass", log=tmp_path / "log") as command:
        command.wait()
    # its number may be another's by now, and so may that of this process in the second
    this = Process.this()
    for ended in (replace(this, process=command.process.pid), replace(this, start=this.start + "0")):
        path = write(tmp_path, encoded(ended))
        with (
            pytest.warns(RadiiWarning, match=rf"was left by process {ended.process} .* takes it over"),
            owned(tmp_path) as new,
        ):
            new.check()
        assert not path.exists()


OTHERS = [replace(Process.this(), machine="another boot"), replace(Process.this(), machine="", start="")]


@pytest.mark.parametrize("content", [*map(encoded, OTHERS), b"", b"cut", b'{"process": 1}', b"[]"])
def test_owners_that_cannot_be_looked_up_count_by_their_last_touch(content: bytes, tmp_path: Path) -> None:
    for silence in (0.0, owner.SILENCE / 2):
        path = write(tmp_path, content, silence)
        with (
            pytest.raises(InputError, match="counts as ended after 120 s without a sign of life"),
            owned(tmp_path),
        ):
            pass
        assert path.read_bytes() == content
    for silence in (owner.SILENCE * 2, -1e6):
        path = write(tmp_path, content, silence)
        with pytest.warns(RadiiWarning, match="takes it over"), owned(tmp_path) as new:
            new.check()
    assert not list(tmp_path.iterdir())


def test_an_owner_touches_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "BEAT", 0.001)
    with owned(tmp_path):
        path = tmp_path / OWNER
        os.utime(path, (1, 1))
        wait_until(lambda: path.stat().st_mtime > 1)
    assert not list(tmp_path.iterdir())


def test_an_owner_that_was_taken_over_stops(tmp_path: Path) -> None:
    with owned(tmp_path) as first:
        path = write(tmp_path, encoded(OTHERS[0]))
        with pytest.raises(InputError, match="another process has taken over"):
            first.check()
    assert path.read_bytes() == encoded(OTHERS[0]), "and leaves the file of the other one"
    path.unlink()
    with owned(tmp_path) as first, pytest.raises(InputError, match="has taken over"):
        path.unlink()
        first.check()


def test_one_of_many_takes_over(tmp_path: Path) -> None:
    write(tmp_path, encoded(replace(Process.this(), start="0")))
    together, tried, done = (threading.Barrier(8) for _ in range(3))
    kept, ended = [], []

    def enter() -> None:
        together.wait()
        try:
            with owned(tmp_path) as new:
                tried.wait()
                try:
                    new.check()
                    kept.append(1)
                except InputError:
                    ended.append(1)
                done.wait()
        except InputError:
            ended.append(1)
            tried.wait()
            done.wait()

    threads = [threading.Thread(target=enter) for _ in range(8)]
    with pytest.warns(RadiiWarning, match="takes it over"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(kept), len(ended)) == (1, 7)


def test_broken_files_in_the_place_of_an_owner(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / OWNER)
    with pytest.raises(InputError, match="is a pipe"), owned(tmp_path):
        pass
    (tmp_path / OWNER).unlink()
    (tmp_path / OWNER).symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="remove it"), owned(tmp_path):
        pass


HELD = """
import os, sys, time
from radii.training import loop
from radii.cli import main

starter, save = int(os.environ["STARTER"]), loop.save_checkpoint

def held(*arguments):
    save(*arguments)
    while os.getppid() == starter:
        time.sleep(0.01)

loop.save_checkpoint = held
sys.argv = ["radii", *sys.argv[1:]]
main()
"""
"""A command that stops after its first checkpoint."""


def test_two_trainings_in_one_folder(tmp_path: Path) -> None:
    folder, alone = tmp_path / "run", tmp_path / "alone"
    line = ("train", *TRAIN, "--out", folder)
    with Command("-c", HELD, *line, log=tmp_path / "log", STARTER=str(os.getpid())) as first:
        wait_until(lambda: (folder / "checkpoint.safetensors").exists() or not first.alive)
        before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        # the same recipe and another one
        for more in ((), ("--sigma", 0.1)):
            second = call(*line, *more)
            assert second.status == 2 and second.err.count("\n") == 1
            assert f"{folder} belongs to process {first.process.pid} on " in second.err
        assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
        kill(first.process.pid)
        assert first.wait().status == -signal.SIGKILL
    assert (folder / OWNER).exists()
    third = call(*line)
    assert third.status == 0 and f"was left by process {first.process.pid} on" in third.err
    assert call("train", *TRAIN, "--out", alone).err == ""
    assert not (folder / OWNER).exists() and not (folder / "checkpoint.safetensors").exists()
    weights = [(one / "model.safetensors").read_bytes() for one in (folder, alone)]
    assert weights[0] == weights[1] and load_file(folder / "model.safetensors")
