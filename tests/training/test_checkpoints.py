"""A training killed at any moment and started again ends at the weights of an unbroken one."""

import csv
import errno
import os
import signal
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import radii.training.checkpoint
from driven import Command, kill
from patience import wait_until
from radii.data import load_data
from radii.errors import InputError
from radii.models import make_model
from radii.storage.atomic import replacing
from radii.training import train
from radii.training.loop import Loop
from radii.training.recipe import Recipe
from radii.training.run_folder import load_run
from radii.training.tensor_file import encode_tensors

CPU = torch.device("cpu")
RECIPE = Recipe("digits", "small-cnn", "laplace", 0.3, epochs=4, batch=100)
FILES = ["config.json", "metrics.csv", "model.safetensors", "tensorboard"]


def digits(count=500):
    return load_data("digits", "train").first(count)


class Killed(Exception):
    pass


def train_until(recipe, folder, images):
    """Train, but stop as a kill would once so many images were seen."""

    def progress(done, *_):
        if done >= images:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, digits(), folder, progress, CPU)


def same_model(one, other):
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    train(RECIPE, digits(), folder, device=CPU)
    return folder


@pytest.mark.parametrize("images", [100, 500, 900, 2000])
def test_stopped_and_started_again(unbroken, tmp_path, images):
    train_until(RECIPE, tmp_path, images)
    (tmp_path / ".checkpoint.safetensors.99.part").touch()
    train(RECIPE, digits(), tmp_path, device=CPU)
    assert same_model(tmp_path, unbroken)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    kept = list(csv.DictReader((unbroken / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["loss"] for row in rows] == [row["loss"] for row in kept]


PROGRAM = """
import os, sys, time
from pathlib import Path
import torch
from radii.data import load_data
from radii.training.run_folder import Recipe
from radii.training.loop import train

folder, epochs, last, starter = Path(sys.argv[1]), *map(int, sys.argv[2:])

def hold(done, *_):
    while done >= 500 * last and os.getppid() == starter:
        time.sleep(0.01)

recipe = Recipe("digits", "small-cnn", "laplace", 0.3, epochs=epochs, batch=100)
train(recipe, load_data("digits", "train").first(500), folder, hold, torch.device("cpu"))
"""
"""A training that does not come past epoch `last`: however fast it is, a kill hits it before its end."""


def test_killed_by_the_system_several_times(tmp_path):
    epochs = 60
    broken, whole = tmp_path / "broken", tmp_path / "whole"

    def start(folder, last):
        asked = ("-c", PROGRAM, folder, epochs, last, os.getpid())
        return Command(*asked, log=tmp_path / "log", OMP_WAIT_POLICY="PASSIVE")

    for least in (1, 20, 40):
        with start(broken, least + 15) as command:
            wait_until(lambda command=command, least=least: epochs_in(broken) >= least or not command.alive)
            kill(command.process.pid)
            assert command.wait().status == -signal.SIGKILL
        assert least <= epochs_in(broken) <= least + 15
    for folder in (broken, whole):
        with start(folder, last=epochs + 1) as command:
            assert command.wait().status == 0
    assert same_model(broken, whole)
    assert epochs_in(broken) == epochs


def epochs_in(folder):
    path = folder / "metrics.csv"
    return len(path.read_text().splitlines()) - 1 if path.exists() else 0


def test_a_full_disk_leaves_the_last_good_checkpoint(unbroken, tmp_path, monkeypatch):
    train_until(RECIPE, tmp_path, 1000)
    path = tmp_path / "checkpoint.safetensors"
    before = path.read_bytes()

    @contextmanager
    def filling(path):
        with replacing(path) as file:
            yield file
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(radii.storage.atomic, "replacing", filling)
        with pytest.raises(OSError, match="No space left"):
            train(RECIPE, digits(), tmp_path, device=CPU)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*"))
    train(RECIPE, digits(), tmp_path, device=CPU)
    assert same_model(tmp_path, unbroken)


def test_averaging_continues_too(tmp_path):
    recipe = replace(RECIPE, average=0.9, model="wrn-10-1", epochs=2, augment=True, schedule="triangle")
    train(recipe, digits(), tmp_path / "whole", device=CPU)
    train_until(recipe, tmp_path / "broken", 700)
    train(recipe, digits(), tmp_path / "broken", device=CPU)
    assert same_model(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 9}, "unfinished training with epochs 4, not 9: choose another folder"),
        ({"sigma": 0.5}, "sigma 0.3, not 0.5"),
        ({"model": "wrn-10-1"}, "model small-cnn, not wrn-10-1"),
        ({"seed": 7}, "seed 0, not 7"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_rejected(tmp_path, changes, message):
    train_until(RECIPE, tmp_path, 500)
    config = (tmp_path / "config.json").read_bytes()
    with pytest.raises(InputError, match=message):
        train(replace(RECIPE, **changes), digits(), tmp_path, device=CPU)
    assert (tmp_path / "config.json").read_bytes() == config
    with pytest.raises(InputError, match="images digits train, first 500"):
        train(RECIPE, digits(400), tmp_path, device=CPU)


def test_damaged_checkpoints(tmp_path):
    train_until(RECIPE, tmp_path, 500)
    path = tmp_path / "checkpoint.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(InputError, match=r"is damaged .*remove it to start again"):
        train(RECIPE, digits(), tmp_path, device=CPU)
    path.write_bytes(whole)
    save_file(load_file(path), path)
    with pytest.raises(InputError, match="is not a checkpoint that this radii wrote"):
        train(RECIPE, digits(), tmp_path, device=CPU)


def test_every_change_of_a_checkpoint_is_noticed(tmp_path):
    train_until(RECIPE, tmp_path, 500)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    weight = next(name for name, value in tensors.items() if value.is_floating_point() and value.dim() == 4)
    other_rows = metadata["rows"].replace('"loss": ', '"loss": 1')
    forged = [
        (tensors | {weight: tensors[weight] + 1e-3}, metadata),
        (tensors | {weight: -tensors[weight]}, metadata),
        (tensors | {weight: tensors[weight].double()}, metadata),
        (tensors, metadata | {"rows": other_rows}),
        (tensors, metadata | {"digest": ""}),
        (tensors, {name: value for name, value in metadata.items() if name != "digest"}),
    ]
    for change, words in forged:
        save_file(change, path, words)
        with pytest.raises(InputError, match=r"does not match its digest\): remove it to start again"):
            train(RECIPE, digits(), tmp_path, device=CPU)
    whole = bytearray(encode_tensors(tensors, metadata))
    whole[-100] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match="is damaged"):
        train(RECIPE, digits(), tmp_path, device=CPU)


@pytest.mark.parametrize(
    "change", [{"rows": "[1]"}, {"rows": '[{"epoch": 1}]'}, {"training": "[]"}, {"rows": "[" * 10**5}]
)
def test_checkpoints_with_other_words(tmp_path, change):
    train_until(RECIPE, tmp_path, 500)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path), path, metadata | change)
    with pytest.raises(InputError, match="is not a checkpoint that this radii wrote"):
        train(RECIPE, digits(), tmp_path, device=CPU)


def test_state_of_another_network_is_rejected():
    loop, other = Loop(RECIPE, digits(), CPU), Loop(replace(RECIPE, model="wrn-10-1"), digits(), CPU)
    loop.epoch(lambda images: None)
    with pytest.raises(InputError, match="does not fit wrn-10-1"):
        other.restore(loop.state(), 1)


# the weights that it leaves -----------------------------------------------------------------------


def changed_network(*made_for) -> torch.nn.Module:
    """The architecture of another version: the same weights behind another activation."""
    model = make_model(*made_for)
    for layer in [*model.modules()]:
        for name, part in layer.named_children():
            if isinstance(part, torch.nn.ReLU):
                setattr(layer, name, torch.nn.GELU())
    return model


@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_weights_in_a_network_that_has_changed_are_rejected(storage, tmp_path, monkeypatch):
    train(replace(RECIPE, epochs=1, storage=storage), digits(), tmp_path, device=CPU)
    load_run(tmp_path)
    monkeypatch.setattr("radii.training.run_folder.make_model", changed_network)
    with pytest.raises(InputError, match=r"small-cnn gives other answers .* than after its training"):
        load_run(tmp_path)
    # weights of an older version have no answers to compare with
    path = tmp_path / "model.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    del metadata["canary"]
    save_file(load_file(path), path, metadata)
    load_run(tmp_path)
