"""Sampling against the bare forward pass of the same network, which is the limit here, and against the usual loop.

Run: python benchmarks/sampling.py [--model wrn-16-2] [--copies 4000] [--rounds 5]. Ratios come from neighbouring runs.
"""

import argparse
from functools import partial
from operator import itemgetter

import torch
from baseline import BATCH, sample
from measure import in_turn, machine, table

from radii.certificates.probability_bounds import NoiseRules
from radii.data import from_arrays
from radii.models import make_model
from radii.models.devices import best_device, cores_used, has_bfloat16
from radii.noises import NOISES, Gaussian, Noise, ProductNoise, example
from radii.sampling.autotune import ROWS, tune_rows
from radii.sampling.model_call import BaseClassifier, prepare
from radii.sampling.monte_carlo import NoisyImages, count_votes
from radii.sampling.scheduler import Scheduler
from radii.votes.plans import fixed

SHAPE, CLASSES = (3, 32, 32), 10


def follow(
    model: BaseClassifier,
    rows: int,
    cores: int,
    noise: Noise,
    copies: int,
    exact: bool = False,
    images: int = 4,
) -> None:
    """Sample so many copies, of a few images; the model keeps so many cores busy."""
    pixels = torch.randint(256, (images, *SHAPE), generator=torch.Generator().manual_seed(0))
    data = from_arrays(pixels / 255)
    plan = fixed(copies // images, selection=0)
    scheduler = Scheduler(plan.stopping_rule(NoiseRules(noise, SHAPE, exact)), images, CLASSES, None)
    count_votes(model, NoisyImages(data, noise, 0, "bound", exact), scheduler, rows, lambda _: None, cores)


def bare(model: BaseClassifier, rows: int, copies: int) -> None:
    """The forward pass alone, on as many images."""
    batch = torch.zeros(rows, *SHAPE)
    with torch.inference_mode():
        for _ in range(-(-copies // rows)):
            model(batch)


def section(model_name: str, copies: int, rounds: int) -> str:
    """All measurements as a section in Markdown."""
    device = best_device()
    model = make_model(model_name, SHAPE, CLASSES).eval().to(device)
    noise, cores = Gaussian(0.5), cores_used(model)
    settings = [("float32", False)] + [("bfloat16", fuse) for fuse in (False, True) if has_bfloat16(device)]
    usual = partial(sample, model, noise, torch.rand(SHAPE), copies, CLASSES)
    paces, found = [], []
    for precision, fuse in settings:
        model = prepare(model, precision, SHAPE, fuse)
        rows = ROWS // 2 if fuse else tune_rows(model, SHAPE, device)[0]
        name = f"{precision}{', fused' if fuse else ''}, {rows} rows"
        ours = partial(follow, model, rows, cores, noise, copies)
        limit, other = in_turn(partial(bare, model, rows, copies), ours, rounds), in_turn(usual, ours, rounds)
        forward, sampling = (copies / taken for taken in limit.seconds)
        paces.append([name, f"{forward:,.0f}", f"{sampling:,.0f}", limit.ratio, other.ratio])
        found.append((sampling, name, model, rows))
    _, name, model, rows = max(found, key=itemgetter(0))
    costs = []
    for noise in (example(kind) for kind in NOISES.values() if issubclass(kind, ProductNoise)):
        usual = partial(follow, model, rows, cores, noise, copies)
        pairs = in_turn(partial(usual, exact=True), usual, rounds)
        exact, plain = (f"{copies / taken:,.0f}" for taken in pairs.seconds)
        costs.append([noise.name, plain, exact, pairs.ratio])
    return "\n\n".join(
        [
            f"## Samples per second: {model_name}, CIFAR-10 size",
            f"Baseline: a loop in float32, {BATCH} noise samples of one image per batch, noise drawn for the whole "
            "batch.",
            table(
                [
                    "setting",
                    "forward pass alone",
                    "sampling",
                    "sampling / forward pass",
                    "sampling / baseline",
                ],
                paces,
            ),
            f"By noise, at {name}:",
            table(["noise", "samples/s", "samples/s, exact arithmetic", "cost of exact arithmetic"], costs),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="wrn-16-2")
    parser.add_argument("--copies", type=int, default=4000, help="in one run")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    print(machine(), section(asked.model, asked.copies, asked.rounds), sep="\n\n")


if __name__ == "__main__":
    main()
