"""How fast a network trains here: the loop of radii against a plain one, in turn, in one run.

Run: python benchmarks/training.py [--model wrn-16-2] [--batch 128] [--rounds 5] [--compile].

The plain loop is what published codes do: float32, the usual memory layout, noise for the whole batch. Both see the
same number of CIFAR-10-sized images a batch, already cropped and mirrored in the plain loop (published codes do that in
other processes), on the fly in ours. Ratios come from pairs of neighbouring blocks, since machines drift.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F

from radii.data.base import make_data
from radii.devices import best_device
from radii.models import make_model
from radii.runs import Recipe
from radii.training import Loop

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


def seconds(call) -> float:
    """Wall-clock seconds of one call, the device's work included."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="wrn-16-2")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="batches in a block")
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()
    data, device = images(asked.batch * asked.steps), best_device()
    recipe = Recipe(
        "random",
        asked.model,
        "gaussian",
        batch=asked.batch,
        augment=True,
        average=0.999,
        compile=asked.compile,
    )
    loop = Loop(recipe, data, device)
    model = make_model(asked.model, SHAPE, CLASSES).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    pixels, labels = data.images().to(device), data.labels.to(device)

    def plain() -> float:
        return seconds(lambda: plain_epoch(model, optimizer, pixels, labels, asked.batch))

    def ours() -> float:
        return seconds(lambda: loop.epoch(lambda images: None))

    plain(), ours()
    pairs = [(plain(), ours()) for _ in range(asked.rounds)]
    ratios = sorted(slow / fast for slow, fast in pairs)
    paces = [len(data) / statistics.median(times) for times in zip(*pairs, strict=True)]
    print(f"{asked.model}, batch {asked.batch}, {device.type}, {torch.get_num_threads()} threads")
    print(f"plain float32 loop  {paces[0]:8.0f} images/s")
    print(f"radii               {paces[1]:8.0f} images/s{', compiled' if asked.compile else ''}")
    print(f"ratio               {statistics.median(ratios):8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
