"""Two processes train one model: the same weights in both, those of an unbroken run after a kill."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from patience import HANG
from radii.training.distributed import Processes

PROGRAM = """
import os, sys, torch
from pathlib import Path
from radii.data import load_data
from radii.models import digest
from radii.training.run_folder import Recipe
from radii.training.loop import train
folder, stop = Path(sys.argv[1]), int(sys.argv[2])
def progress(done, *_):
    if stop and done >= stop:
        os.kill(os.getpid(), 9)
recipe = Recipe("digits", "small-cnn", "laplace", 0.3, epochs=8, batch=101, average=0.9)
model = train(recipe, load_data("digits", "train").first(405), folder, progress, torch.device("cpu"))
(folder / f"digest{os.environ['RANK']}").write_text(digest(model))
"""

GRADIENTS = """
import weakref, torch
import torch.distributed as dist
from radii.training.distributed import together
with together(torch.device("cpu")) as processes:
    group = weakref.ref(dist.group.WORLD)
    torch.manual_seed(0)
    layer, inputs = torch.nn.Linear(3, 2), torch.rand(7, 3)
    rows, weight = processes.share(torch.arange(7))
    (layer(inputs[rows]).square().mean() * weight).backward()
    processes.sum_gradients(layer)
    whole = torch.autograd.grad(layer(inputs).square().mean(), layer.weight)[0]
    assert torch.allclose(layer.weight.grad, whole, atol=1e-6)
    torch.optim.SGD(layer.parameters(), 0.1).step()
assert group() is None, "gloo's threads outlive the group, and abort the process now and then"
"""


LIMITS = ("join_timeout", "read_timeout", "close_timeout", "heartbeat_timeout", "keep_alive_interval")
"""Seconds after which torchrun gives up, or takes its only machine for dead."""


def launch(folder, stop=0, code=PROGRAM):
    program = folder.parent / "program.py"
    program.write_text(code)
    patiently = ",".join(f"{name}={HANG:.0f}" for name in LIMITS)
    line = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--rdzv-conf", patiently]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", *line, str(program), str(folder), str(stop)],
        env=environment,
        capture_output=True,
        timeout=HANG,
    )


def test_two_processes_and_a_kill(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    ended = launch(whole)
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    assert (whole / "digest0").read_text() == (whole / "digest1").read_text()
    accuracy = float((whole / "metrics.csv").read_text().splitlines()[-1].split(",")[2])
    assert accuracy > 0.4
    assert launch(broken, 1000).returncode
    assert (broken / "checkpoint.safetensors").exists()
    assert launch(broken).returncode == 0
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, broken))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_gradients_are_those_of_the_whole_batch(tmp_path):
    ended = launch(tmp_path / "none", code=GRADIENTS)
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]


def test_shares_cover_a_batch_once():
    for size in (1, 2, 7, 128):
        shares = [Processes(rank, 3).share(torch.arange(size)) for rank in range(3)]
        assert sum(weight for _, weight in shares) == pytest.approx(1)
        assert sorted(torch.cat([rows for rows, weight in shares if weight]).tolist()) == list(range(size))
        assert all(len(rows) for rows, _ in shares)


def test_seeds_differ():
    assert Processes(0, 3).seed(5) == 5
    assert len({Processes(rank, 9).seed(5) for rank in range(9)}) == 9
