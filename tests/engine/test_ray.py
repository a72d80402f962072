"""Votes by a Ray cluster, tested in a process of its own: when nodes go, Ray may end whoever spoke to them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from job_factory import PLANS, load
from patience import HANG
from radii.engine import Job
from radii.errors import MissingExtra

NODES = Path(__file__).parents[1] / "ray_nodes.py"


@pytest.mark.parametrize(
    ("which", "count"),
    [("not slow", 2), pytest.param("slow", 1, marks=pytest.mark.slow)],
)
def test_votes_of_two_nodes(which: str, count: int) -> None:
    line = [sys.executable, "-m", "pytest", "-v", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", which]
    ended = subprocess.run([*line, str(NODES)], capture_output=True, text=True, timeout=HANG)
    # verdicts are printed before the nodes go
    verdicts = re.findall(r" (PASSED|FAILED|ERROR) ", ended.stdout)
    assert verdicts == ["PASSED"] * count, ended.stdout + ended.stderr


def test_without_ray_the_extra_is_named(monkeypatch) -> None:
    from radii.engine.ray import Cluster

    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("RAY_TMPDIR", "unused")
    with pytest.raises(MissingExtra, match=r"a Ray cluster needs ray: run pip install 'radii\[cluster\]'"):
        Cluster(*load(), Job(load, PLANS["fixed"]))
