"""Use a GPU that is at hand for a few minutes; nothing else in this project needs one.

    python tools/gpu.py check
    python tools/gpu.py speed
    python tools/gpu.py train --noise splitting --sigma 0.75 --data-dir PATH --out RUN

`check` compares the votes of every noise, in every precision and compiled, with those of the processor; a difference
that rounding does not explain ends it with exit code 1. `speed` measures sampling against the bare forward pass, and
training. `train` trains WRN-40-2 by the published recipe, in larger batches, until it is done or `--seconds` are over;
the same command resumes. They are made to take less than four minutes each on one large GPU. With `--dry-run` they do
the same, also on a processor, but on so little that the numbers mean nothing.
"""

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import nn

import radii
from radii.data import DataSet, load_data
from radii.errors import InputError
from radii.models.devices import best_device
from radii.noises import example, full_name
from radii.training import train
from radii.training.recipe import Recipe, make_recipe, read_recipe

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from measure import machine, table

import sampling
import training

MOVED = {"float32": 0.0005, "bfloat16": 0.01}
"""Largest share of all votes that may go to another class because a device rounds otherwise.

Noise samples are the same to the bit; only logits that agree to rounding error change their order. Measured in emulated
bfloat16 on a processor: at most .0019 for these networks.
"""

RECIPE = "cifar10-wrn-40-2"
BATCH, LR = 512, 0.4
"""Eight times the published batch keeps a large GPU busy; the learning rate grows by half as much, with a warm-up."""


COMPILED = ("gaussian", "independent-splitting")
"""Noises whose networks are compiled too: samples of the image's own shape, and of twice its channels."""


class TimeIsOver(Exception):
    """Raised between two steps of a training, whose last checkpoint stays."""


def check(dry: bool) -> bool:
    """Print a row for each noise and setting; return whether rounding explains every difference."""
    held, rows = True, []
    with tempfile.TemporaryDirectory() as folder:
        for noise, model, images in networks(Path(folder), dry):
            for name, moved, before, after, limit in compare(noise, model, images, 200 if dry else 20_000):
                held &= moved <= limit
                row = [noise.name, name, f"{moved:.5f}", f"{before:.3f}", f"{after:.3f}"]
                rows.append([*row, "yes" if moved <= limit else "NO"])
    print(
        table(
            ["noise", "setting", "votes moved", "certified, processor", "certified, device", "explained"],
            rows,
        )
    )
    return held


def networks(folder: Path, dry: bool) -> Iterator[tuple[radii.Noise, nn.Module, DataSet]]:
    """Yield every noise with a small network that was trained under it here, and test images."""
    learnt, tested = load_data("digits", "train"), load_data("digits", "test")
    for name, kind in list(radii.NOISES.items())[: 2 if dry else None]:
        noise = example(kind)
        model = train(make_recipe("digits", noise=full_name(noise)), learnt, folder / name)
        yield noise, model, tested[:8] if dry else tested[:64]


def compare(
    noise: radii.Noise, model: nn.Module, images: DataSet, samples: int
) -> Iterator[tuple[str, float, float, float, float]]:
    """Yield each setting, the share of votes moved, the share of images certified here and there, and the limit."""
    settings = [("float32", False), ("bfloat16", False)]
    # noise is added before the network, so a compiled network sees of it only the shape of its samples
    if noise.name in COMPILED and samples > 1000:
        settings.append(("bfloat16", True))
    plan = radii.exhaustive(noise) if noise.outcomes else radii.fixed(samples, selection=0)
    norm = next(iter(noise.rules))
    here = radii.Smoothed(copy.deepcopy(model).cpu(), noise).vote(images, plan=plan)
    for precision, compiled in settings:
        smoothed = radii.Smoothed(model.to(best_device()), noise, precision, compile=compiled)
        there = smoothed.vote(images, plan=plan)
        moved = np.abs(there.counts - here.counts).sum() / 2 / here.counts.sum()
        shares = [radii.certify(votes, norm).correctly_certified.mean() for votes in (here, there)]
        yield f"{precision}{', compiled' if compiled else ''}", moved, *shares, MOVED[precision]


def speed(dry: bool) -> None:
    """Print sampling against the bare forward pass, and images per second of a training."""
    name, copies, rounds = ("small-cnn", 80, 1) if dry else ("wrn-40-2", 100_000, 3)
    print(sampling.section(name, copies, rounds))
    batch, steps = (8, 2) if dry else (BATCH, 20)
    print(training.section(name, batch, rounds, steps, compile=not dry))


def fit(recipe: Recipe, data: DataSet, folder: Path, until: float) -> bool:
    """Train until the recipe is done, or the time is over; return whether it is done."""

    def show(done: int, total: int, metrics: Mapping[str, float]) -> None:
        if time.monotonic() > until:
            raise TimeIsOver(f"{done / total:.0%} done; the same command continues from the last epoch")
        if metrics and not done % len(data):
            print("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()), flush=True)

    try:
        train(recipe, data, folder, show)
    except TimeIsOver as over:
        print(over)
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["check", "speed", "train"])
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--noise", default="splitting", help="of train")
    parser.add_argument("--sigma", type=float, default=0.75, help="of train")
    parser.add_argument("--data-dir", help="of train: folder of CIFAR-10")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="of train: run folder")
    parser.add_argument("--seconds", type=float, default=220, help="of train: stop after so many")
    asked = parser.parse_args()
    until = time.monotonic() + asked.seconds
    print(machine(), end="\n\n", flush=True)
    if asked.stage == "check":
        return 0 if check(asked.dry_run) else 1
    if asked.stage == "speed":
        speed(asked.dry_run)
        return 0
    law = {"noise": asked.noise, "sigma": asked.sigma}
    if asked.dry_run:
        recipe = make_recipe("digits", epochs=2, **law)
    else:
        recipe = read_recipe(
            RECIPE, batch=BATCH, lr=LR, schedule="triangle", compile=True, storage="bfloat16", **law
        )
    try:
        fit(recipe, load_data(recipe.data, "train", asked.data_dir), asked.out, until)
    except InputError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
