"""Shells complete commands, options and names, fast, and as the rest of radii knows them."""

import contextlib
import io
import os
import shutil
import subprocess
import sys

import pytest

from radii.cli import app, main
from radii.cli.options import NAMES
from radii.noises import NOISES


def words(monkeypatch, *line):
    """What bash is told at the end of a line."""
    monkeypatch.setenv("_RADII_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(("radii", *line)))
    monkeypatch.setenv("COMP_CWORD", str(len(line)))
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    return said.getvalue().split()


COMPLETED = {
    ("cert",): ["certify"],
    ("doctor", "--js"): ["--json"],
    ("certify", "votes.parquet", "--norm", "l"): ["l0", "l1", "l2", "linf"],
    ("certify", "votes.parquet", "--labels", "p"): ["predicted"],
    ("certify", "votes.parquet", "--method", "s"): ["simultaneous"],
    ("certify", "votes.parquet", "--l0-unit", "p"): ["pixel"],
    ("certify", "vo"): [],  # files, by the shell itself
    ("attack", "votes.parquet", "--norm", "li"): ["linf"],
    ("vote", "m.onnx", "--noise", "exp"): ["exponential-l2", "exponential-linf"],
    ("vote", "m.onnx", "--data", "cifar"): ["cifar10", "cifar100"],
    ("vote", "m.onnx", "--data", "./"): [],
    ("vote", "run", "--plan", "t"): ["top-k", "two-stage"],
    ("vote", "run", "--precision", "b"): ["bfloat16"],
    ("vote", "run", "--layout", "nh"): ["nhwc"],
    ("vote", "m.onnx", "--binary", "l"): ["logit"],
    ("vote", "run", "--split", "t"): ["test", "train"],
    ("vote", "run", "--executor", "r"): ["ray"],
    ("train", "--recipe", "cifar10-c"): ["cifar10-cpu"],
    ("train", "--model", "wrn-4"): ["wrn-40-2"],
    ("train", "--loss", "st"): ["stability"],
    ("plan", "--noise", "par"): ["pareto"],
    ("report", "votes.parquet", "--published", "c"): ["cifar10"],
    ("falsify", "la"): ["laplace"],
    ("falsify", "laplace", "l"): ["l0", "l1", "l2", "linf"],
    ("data", "d"): ["digits"],
}


@pytest.mark.parametrize("line", COMPLETED, ids=" ".join)
def test_names_are_completed(monkeypatch, line):
    assert words(monkeypatch, *line) == COMPLETED[line]


def test_all_noises_are_offered(monkeypatch):
    assert words(monkeypatch, "train", "--noise", "''") == list(NOISES)


def test_names_are_those_that_the_rest_of_radii_knows():
    from radii.cli.vote_job import EXECUTORS
    from radii.data import ALL, DATASETS, SPLITS
    from radii.models import MODELS
    from radii.models.adapters import BINARY, LAYOUTS
    from radii.report.published import NAMES as PUBLISHED
    from radii.sampling.smoothed import AUTO
    from radii.training.losses import LOSSES
    from radii.training.recipe import NAMES as RECIPES
    from radii.votes import PRECISIONS

    known = {
        "binary": BINARY,
        "data": DATASETS,
        "executor": EXECUTORS,
        "layout": LAYOUTS,
        "loss": LOSSES,
        "model": MODELS,
        "name": DATASETS,
        "precision": (*PRECISIONS, AUTO),
        "published": PUBLISHED,
        "recipe": RECIPES,
        "split": (*SPLITS, ALL),
    }
    for what, names in known.items():
        assert sorted(NAMES[what]) == sorted(names), what


def test_every_name_is_asked_for_somewhere():
    parameters = {name for command in app.registered_commands for name in command.callback.__annotations__}
    assert NAMES.keys() <= parameters


def test_a_key_press_does_not_wait_for_torch():
    code = """
import sys, radii.cli
try: radii.cli.main()
finally: print([name for name in ("torch", "pyarrow") if name in sys.modules])
"""
    line = {"_RADII_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "radii train --model wrn-2"}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | line, capture_output=True, text=True
    )
    assert "wrn-22-3-half" in ended.stdout and "wrn-28-10" in ended.stdout
    assert ended.stdout.endswith("[]\n") and ended.stderr == ""


def test_bash_completes(tmp_path):
    """The script that is installed, in the shell itself."""
    radii = tmp_path / "radii"
    radii.write_text(f'#!/bin/sh\nexec {sys.executable} -m radii "$@"\n')
    radii.chmod(0o755)
    session = """
    source <(_RADII_COMPLETE=source_bash radii)
    COMP_WORDS=(radii plan --norm li); COMP_CWORD=3
    _radii_completion radii
    echo "${COMPREPLY[@]}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    bash = shutil.which("bash")
    ended = subprocess.run(
        [bash, "--norc", "-c", session], env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert (ended.stdout, ended.stderr) == ("linf\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(monkeypatch, capsys, shell):
    monkeypatch.setenv("_RADII_COMPLETE", f"source_{shell}")
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0 and f"_RADII_COMPLETE=complete_{shell}" in capsys.readouterr().out
