"""No test measures patience: each waits for events, up to one limit; and `make test-busy` leaves nothing busy."""

import ast
import os
import signal
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from driven import Command, kill, read, state_of, status
from patience import HANG, wait_until

ROOT = Path(__file__).parents[1]
# patience.py is where waiting is done; the soak strikes at random moments, for as long as it is told
TESTS = [
    path
    for path in Path(__file__).parent.rglob("*.py")
    if path.name != "patience.py" and path.parent.name != "soak"
]
WAITING = {"acquire", "communicate", "join", "poll", "result", "wait"}
"""Methods that wait, and take a number of seconds as their argument."""


def impatience(source: str) -> list[str]:
    """What in some code waits for a time: a sleep, or a limit other than the one of a hang."""
    return [
        ast.unparse(call)
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call) and (called := ast.unparse(call.func).rpartition(".")[2])
        if called == "sleep"
        or called == "timeout"
        or any(one.arg in ("timeout", "deadline") and not is_patient(one.value) for one in call.keywords)
        or (called in WAITING and any(is_number(one) for one in call.args))
    ]


def is_patient(limit: ast.expr) -> bool:
    """Whether a limit is that of a hang, or none."""
    names = {one.id for one in ast.walk(limit) if isinstance(one, ast.Name)}
    return "HANG" in names or (isinstance(limit, ast.Constant) and limit.value is None)


def is_number(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Constant) and isinstance(argument.value, int | float)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_tests_wait_for_events(path: Path) -> None:
    waits = impatience(path.read_text())
    if path.stem == "job_factory":  # in a task of Ray, which has nothing but this module
        waits.remove("time.sleep(0.01)")
    assert waits == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(0.2)",
        "from time import sleep\nsleep(x)",
        "process.communicate(timeout=30)",
        "subprocess.run(line, timeout=2 * 60)",
        "HTTPConnection(host, timeout=SECONDS)",
        "event.wait(10)",
        "thread.join(0.5)",
        "future.result(60.0)",
        "@pytest.mark.timeout(1800)\ndef test(): pass",
        "@settings(deadline=200)\ndef test(): pass",
    ],
)
def test_impatience_is_noticed(source: str) -> None:
    assert len(impatience(source)) == 1
    patient = "thread.join(HANG)\nrun(line, timeout=HANG)\n', '.join(words)\nprocess.wait()\nf(deadline=None)"
    assert impatience(patient) == []


def test_only_hangs_have_a_limit() -> None:
    """Ten minutes at least for one event, and several of them for one test; an example may take as long as it takes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert 600 <= HANG <= project["tool"]["pytest"]["ini_options"]["timeout"] / 4
    usual = hypothesis.settings()
    assert usual.deadline is None and hypothesis.HealthCheck.too_slow in usual.suppress_health_check


# the tests beside busy loops ----------------------------------------------------------------------

WAITS = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)\nsys.exit(3)"
NICE = 16
"""The place of the priority in what the system says of a process."""


@contextmanager
def beside_loops(folder: Path) -> Iterator[Command]:
    """The tool, with a command that ends with status 3 once there is the file `end`, when its loops are busy."""
    line = (ROOT / "tools" / "busy.py", sys.executable, "-c", WAITS, folder / "end")
    with Command(*line, log=folder / "log") as tool:
        wait_until(lambda: [state_of(pid) for pid in loops(tool)] == ["R", "R"] or not tool.alive)
        assert [status(pid)[NICE] for pid in loops(tool)] == [str(os.nice(0))] * 2
        yield tool


def loops(tool: Command) -> list[int]:
    """The busy loops among its processes."""
    return [pid for pid in tool.members() if b"getppid" in read(pid, "cmdline")]


def test_loops_end_with_the_command(tmp_path: Path) -> None:
    with beside_loops(tmp_path) as tool:
        (tmp_path / "end").touch()
        assert tool.wait() == (3, "") and not tool.members()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_loops_end_when_all_is_interrupted(sign: signal.Signals, tmp_path: Path) -> None:
    with beside_loops(tmp_path) as tool:
        wait_until(lambda: len(tool.members()) == 4)
        os.killpg(tool.process.pid, sign)
        assert tool.wait().status and not tool.members()


def test_loops_end_when_nobody_is_left_to_end_them(tmp_path: Path) -> None:
    with beside_loops(tmp_path) as tool:
        kill(tool.process.pid)
        wait_until(lambda: not loops(tool))
