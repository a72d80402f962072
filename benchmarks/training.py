"""How fast a network trains here: the loop of radii against a plain one, in turn, in one run.

Run: python benchmarks/training.py [--model wrn-16-2] [--batch 128] [--rounds 5] [--compile].

The plain loop is what published codes do: float32, the usual memory layout, noise for the whole batch. Both see the
same number of CIFAR-10-sized images a batch, already cropped and mirrored in the plain loop (published codes do that in
other processes), on the fly in ours. Ratios come from pairs of neighbouring blocks, since machines drift.
"""

import argparse

import torch
import torch.nn.functional as F
from measure import in_turn, machine, table

from radii.data.dataset import make_data
from radii.models import make_model
from radii.models.devices import best_device
from radii.training.loop import Loop
from radii.training.recipe import Recipe

SHAPE, CLASSES = (3, 32, 32), 10


def images(count: int):
    """Random pixels and labels: what they show does not matter for speed."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, *SHAPE), generator=generator, dtype=torch.uint8)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return make_data("random", "train", pixels.numpy(), labels.numpy(), tuple("abcdefghij"))


def plain_epoch(model, optimizer, pixels, labels, batch: int) -> None:
    """One pass of the plain loop."""
    for rows in torch.randperm(len(labels), device=labels.device).split(batch):
        inputs = pixels[rows] + 0.5 * torch.randn(len(rows), *SHAPE, device=labels.device)
        loss = F.cross_entropy(model(inputs), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()


def section(model_name: str, batch: int, rounds: int, steps: int, compile: bool) -> str:
    """The measurement as a section in Markdown."""
    data, device = images(batch * steps), best_device()
    how = {"batch": batch, "augment": True, "average": 0.999, "compile": compile}
    loop = Loop(Recipe("random", model_name, "gaussian", **how), data, device)  # type: ignore[arg-type]
    model = make_model(model_name, SHAPE, CLASSES).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    pixels, labels = (torch.from_numpy(values).to(device) for values in (data.images(), data.labels))
    pairs = in_turn(
        lambda: plain_epoch(model, optimizer, pixels, labels, batch),
        lambda: loop.epoch(lambda images: None),
        rounds,
    )
    plain, ours = (f"{len(data) / taken:,.0f}" for taken in pairs.seconds)
    row = [f"{model_name}, batch {batch}{', layers fused' if compile else ''}", plain, ours, pairs.ratio]
    return "\n\n".join(
        [
            "## Training",
            "Images per second, of CIFAR-10 size. Baseline: a loop in float32, noise drawn for the whole batch.",
            table(["model", "baseline", "radii", "ratio"], [row]),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="wrn-16-2")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="batches in a block")
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()
    page = section(asked.model, asked.batch, asked.rounds, asked.steps, asked.compile)
    print(machine(), page, sep="\n\n")


if __name__ == "__main__":
    main()
