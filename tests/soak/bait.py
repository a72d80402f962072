"""Good files of every kind that radii reads, the commands that read them, and changes that keep their form."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from fuzz_factory import (
    changed,
    drawn_changes,
    drawn_edits,
    edited,
    with_footer,
    with_header,
)
from given_models import digits, plain
from image_factory import png, write_folder, write_npy, write_npz, write_parquet
from onnx_factory import linear
from patience import wait_until
from program_factory import MODEL, export
from program_factory import changed as with_files
from soak.forked import Forked
from soak.trials import expect

FEW = ("--limit", 2, "--n", 60, "--n0", 20, "--out", "out.parquet")
GIVEN = ("--noise", "gaussian", "--sigma", 0.25)
RECIPE = b"""data = "digits"
model = "small-cnn"
noise = "uniform"
sigma = 0.25
loss = "noise-augmentation"
batch = 100
"""

Forge = Callable[[random.Random, Path], bytes]
"""Makes another content of a file, in its form."""

Answer = bytes | tuple[bytes, bytes]
"""What a command wrote or printed; of a training, its configuration and its weights."""


@dataclass(frozen=True)
class Bait:
    """A good file, the command that reads it, and the answer.

    `answer`: the file that is written, "" for what is printed; `forge`: a change that keeps the form of the file;
    `sealed`: it carries a digest, so no other content is valid; `program`: it may take any memory (SECURITY.md).
    """

    name: str
    file: str
    command: tuple[object, ...]
    forge: Forge
    answer: str = "out.parquet"
    sealed: bool = False
    program: bool = False


def forge_json(rng: random.Random, path: Path) -> bytes:
    document = json.loads(path.read_bytes())
    document.pop("digest", None)  # without it, changes are checked for themselves
    return json.dumps(changed(document, drawn_changes(rng))).encode()


def forge_header(rng: random.Random, path: Path) -> bytes:
    return with_header(path.read_bytes(), lambda header: changed(header, drawn_changes(rng)))


def forge_footer(rng: random.Random, path: Path) -> bytes:
    return with_footer(path.read_bytes(), lambda footer: edited(footer, drawn_edits(rng)))


def forge_program(rng: random.Random, path: Path) -> bytes:
    def edit(content: bytes) -> bytes:
        return json.dumps(changed(json.loads(content), drawn_changes(rng))).encode()

    return with_files(str(path), **{MODEL: edit})


def forge_start(rng: random.Random, path: Path) -> bytes:
    """Change the first bytes, where most formats state sizes."""
    content = path.read_bytes()
    return edited(content[:80], drawn_edits(rng)) + content[80:]


def forge_lines(rng: random.Random, path: Path) -> bytes:
    """Change the value in one line of TOML."""
    lines = path.read_bytes().splitlines()
    at = rng.randrange(len(lines))
    value = rng.choice(
        (b"[" * 3000, b"1e999999999", b"9" * 400, b"nan", b"-inf", b"true", b'"x"', b"{}", b"0")
    )
    lines[at] = lines[at].partition(b"=")[0] + b"= " + value
    return b"\n".join(lines)


BAITS = (
    Bait(
        "votes", "votes.parquet", ("certify", "votes.parquet", "--norm", "l2"), forge_footer, "", sealed=True
    ),
    Bait("part", "few.parts/part-00001.parquet", ("merge", "few.parts"), forge_footer, "few.parquet", True),
    Bait("law.json", "few.parts/law.json", ("merge", "few.parts"), forge_json, "few.parquet", True),
    Bait("config.json", "run/config.json", ("vote", "run", *FEW), forge_json),
    Bait("weights", "run/model.safetensors", ("vote", "run", *FEW), forge_header),
    Bait(
        "checkpoint",
        "new/checkpoint.safetensors",
        ("train", "--data", "digits", "--epochs", 6, "--out", "new"),
        forge_header,
        "new/model.safetensors",
        sealed=True,
    ),
    Bait(
        "recipe",
        "own.toml",
        ("train", "--recipe", "own.toml", "--epochs", 1, "--out", "new"),
        forge_lines,
        "new",
    ),
    Bait(
        "ONNX",
        "m.onnx",
        ("vote", "m.onnx", "--data", "digits", "--layout", "flat", *GIVEN, *FEW),
        forge_start,
        program=True,
    ),
    Bait(
        "program", "m.pt2", ("vote", "m.pt2", "--data", "digits", *GIVEN, *FEW), forge_program, program=True
    ),
    *(
        Bait(
            name,
            file,
            ("vote", "run", "--data", data, "--split", "all", *FEW),
            forge_start,
        )
        for name, file, data in (
            ("PNG", "images/0/00000.png", "images"),
            ("PPM", "images/0/00000.ppm", "images"),
            ("npz", "images.npz", "images.npz"),
            ("npy", "images.npy", "images.npy"),
            ("Parquet images", "images.parquet", "images.parquet"),
        )
    ),
)


@cache
def write_baits(folder: Path, run: Path) -> None:
    """Write the good files, each in a folder of its bait."""
    folder.mkdir()
    images, labels = digits(30)
    half = {"": (np.rint(255 * images[:, 0]).astype(np.uint8), labels)}
    few = Forked(
        "vote",
        run,
        *FEW[:-1],
        folder / "few.parquet",
        "--part-size",
        30,
        "--shard",
        "1/1",
        folder=folder,
        log=folder / "log",
    )
    expect(few.wait() == 0, few.said)
    torch.manual_seed(0)
    for bait in BAITS:
        place = folder / bait.name
        place.mkdir()
        path = place / bait.file
        if "run" in bait.command:
            shutil.copytree(run, place / "run", ignore=shutil.ignore_patterns("tensorboard"))
        if bait.name == "votes":
            shutil.copy(folder.parent / "whole.parquet", path)
        elif bait.command[0] == "merge":
            shutil.copytree(folder / "few.parts", place / "few.parts")
        elif bait.name == "checkpoint":
            interrupt_training(place, bait)
        elif bait.name == "recipe":
            path.write_bytes(RECIPE)
        elif bait.name == "ONNX":
            linear(path)
        elif bait.name == "program":
            export(plain, path)
        elif bait.name in ("PNG", "PPM"):
            write_folder(place / "images", half)
            if bait.name == "PPM":
                path.with_suffix(".png").unlink()
                path.write_bytes(png(half[""][0][0], "PPM"))
        elif bait.name == "npy":
            # large enough to be in the middle of it when the file shrinks
            write_npy(place / "images", {"": (np.tile(half[""][0], (2000, 1, 1)), np.tile(labels, 2000))})
        elif bait.name in ("npz", "Parquet images"):
            (write_npz if bait.name == "npz" else write_parquet)(place / "images", half)


def interrupt_training(place: Path, bait: Bait) -> None:
    """Leave a checkpoint."""
    training = Forked(*bait.command, folder=place, log=place.parent / "log")
    wait_until(lambda: (place / bait.file).exists() or not training.alive)
    training.end()
    expect((place / bait.file).exists(), f"no checkpoint is left: {training.said}")


def answer(bait: Bait, place: Path, printed: bytes) -> Answer:
    """The answer of a command that has ended."""
    path = place / bait.answer
    if path.is_dir() and bait.answer:
        return (path / "config.json").read_bytes(), (path / "model.safetensors").read_bytes()
    return path.read_bytes() if bait.answer else printed
