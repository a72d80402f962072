"""Every command on docs/scaling.md is run, and gives the same votes; by `make test-slow`, as each starts afresh."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import radii
from commands import call
from object_server import server
from ray_nodes import LIMITS

__all__ = ["server"]

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
BLOCKS = {
    title.splitlines()[0]: re.findall(r"```(sh|python)\n(.*?)```", title, re.DOTALL)
    for title in PAGE.read_text().split("\n## ")
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, server) -> Path:
    """A folder with a run, in which the commands are given."""
    path = tmp_path_factory.mktemp("page")
    (path / "bin").mkdir()
    (path / "bin" / "radii").symlink_to(Path(sys.executable).parent / "radii")
    shell(path, server, "radii train --data digits --epochs 1 --out runs/first")
    return path


def shell(folder: Path, server, commands: str, **more: str) -> None:
    """Give commands to a shell that stops at the first error."""
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server.port}",
    }
    ended = subprocess.run(
        ["sh", "-ec", commands],
        cwd=folder,
        env=os.environ | LIMITS | environment | more,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


def give(folder: Path, server, commands: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give commands, those of radii in this process, which saves the seconds in which each would load torch."""
    lines = commands.splitlines()
    if not all(line.startswith("radii ") for line in lines) or "--executor ray" in commands:
        shell(folder, server, commands)
        return
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.port}")
    for line in lines:
        ended = call(*shlex.split(line, comments=True)[1:])
        assert ended.status == 0, ended.err


@pytest.mark.parametrize(
    "title", [title for title, blocks in BLOCKS.items() if blocks and title != "In Python"]
)
def test_commands_run(title: str, folder: Path, server, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, commands in BLOCKS[title]:
        assert kind == "sh"
        give(folder, server, commands, monkeypatch)


def test_the_array(folder: Path, server) -> None:
    for number in "312":
        shell(folder, server, "sh vote.sbatch", SLURM_ARRAY_TASK_ID=number)
    shell(folder, server, "radii merge array.parts")


def test_the_snippet_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found: dict[str, radii.Votes] = {}
    exec(BLOCKS["In Python"][0][1], found)
    found["votes"].save("python.parquet")


def test_all_gave_the_same_file(folder: Path, server) -> None:
    whole = (folder / "runs" / "first" / "votes.parquet").read_bytes()
    for name in ("two", "shared", "both", "array", "ray", "python"):
        assert (folder / f"{name}.parquet").read_bytes() == whole, name
    address = server.address("votes/first/votes.parquet")
    assert radii.load_votes(address).encode() == whole
