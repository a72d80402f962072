"""The most memory that voting takes above the model, n = 100,000, CIFAR-10 size.

Run: python benchmarks/memory.py. Each case is a process of its own: first without votes, then with them.
"""

import subprocess
import sys
from contextlib import suppress

import numpy as np
import torch
from measure import peak_memory, table

import radii
from radii.data import DataSet
from radii.models import make_model

SHAPE, N, IMAGES = (3, 32, 32), 100_000, 10_000
CASES = MODEL, FORWARD, BYTES, FLOATS, FIXED = (
    "model",
    "model and one forward pass",
    "sequential plan, images in a data set",
    "sequential plan, images in a float32 tensor",
    "fixed plan, one image",
)


def run(case: str) -> int:
    """Bytes at the peak. Few copies are polled of so many: that takes the memory of all of them."""
    model = make_model("wrn-16-2", SHAPE, 10).eval()
    if case != MODEL:
        with torch.inference_mode():
            model(torch.rand(128, *SHAPE))
    if case in (BYTES, FLOATS, FIXED):
        noise = radii.Laplace(0.5)
        question = radii.RadiusTarget(noise, "linf", (1 / 255, 2 / 255), SHAPE)
        plan = radii.fixed(N) if case == FIXED else radii.sequential(question, n_max=N)
        smoothed, left = radii.Smoothed(model, noise), 240

        def stop(*_: int) -> None:
            nonlocal left
            left -= 1
            if not left:
                raise StopIteration

        with suppress(StopIteration):
            smoothed.vote(*images_of(case), plan=plan, progress=stop)
    return peak_memory()


def images_of(case: str) -> tuple[DataSet | torch.Tensor, ...]:
    """Made-up images of a case, and their labels where they do not come along."""
    if case != BYTES:
        count = 1 if case == FIXED else IMAGES
        return torch.rand(count, *SHAPE), torch.zeros(count, dtype=torch.int64)
    pixels = torch.randint(256, (IMAGES, *SHAPE), dtype=torch.uint8).numpy()
    return (
        DataSet(pixels, np.zeros(IMAGES, dtype=np.int64), np.arange(IMAGES), classes=tuple("0123456789")),
    )


def section() -> str:
    """All measurements as a section in Markdown."""
    taken = {}
    for case in CASES:
        command = [sys.executable, __file__, case]
        taken[case] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    rows = [
        [case, f"{size / 2**20:,.0f}", f"{(size - taken[MODEL]) / 2**20:,.0f}"]
        for case, size in taken.items()
    ]
    return "\n\n".join(
        [
            "## Memory",
            f"wrn-16-2, batch size from the trial, n = {N:,}, {IMAGES:,} images under the sequential plan, "
            "in memory as well. MiB:",
            table(["process", "at the peak", "above the model"], rows),
        ]
    )


if __name__ == "__main__":
    print(run(sys.argv[1]) if sys.argv[1:] else section())
