"""Votes by a Ray cluster, tested in a process of its own: when nodes go, Ray may end whoever spoke to them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from job_factory import PLANS, load
from patience import HANG
from radii.engine import Job
from radii.errors import InputError, MissingExtra

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


def test_a_cluster_of_its_own_wants_a_token_and_listens_on_loopback(monkeypatch, tmp_path) -> None:
    from radii.engine.ray import Cluster

    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    variables = {**others, "RAY_TMPDIR": str(tmp_path)}
    given = {}

    def init(address: str, **options) -> None:
        given.update(options, address=address)
        raise ConnectionError("none is started here")

    monkeypatch.setattr(os, "environ", variables)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False, init=init))
    with pytest.raises(InputError, match="no Ray cluster at local: none is started here"):
        Cluster(*load(), Job(load, PLANS["fixed"]))
    assert given["address"] == "local" and given["include_dashboard"] is False
    assert variables["RAY_AUTH_MODE"] == "token" and re.fullmatch("[0-9a-f]{64}", variables["RAY_AUTH_TOKEN"])
    assert variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
