"""One image certified without sampling error: all noisy copies that splitting noise has, the votes, the radius in l1.

Run: python benchmarks/exhaustive.py.
"""

import statistics

import torch
from measure import seconds, table

import radii
from radii.data import from_arrays
from radii.models import make_model
from radii.models.devices import best_device, has_bfloat16
from radii.sampling import Smoothed

SHAPE, SIGMAS = (3, 32, 32), (0.25, 0.5, 0.75, 1.5)


def section(model_name: str = "wrn-16-2", rounds: int = 5) -> str:
    """All measurements as a section in Markdown."""
    device = best_device()
    model = make_model(model_name, SHAPE, 10).eval().to(device)
    image = torch.randint(256, (1, *SHAPE), generator=torch.Generator().manual_seed(0)) / 255
    examples = from_arrays(image, torch.zeros(1, dtype=torch.long))
    rows = []
    for sigma in SIGMAS:
        noise = radii.Splitting(sigma)
        cells = [f"{sigma:g}", f"{noise.outcomes:,}"]
        for precision in ["float32"] + ["bfloat16"] * has_bfloat16(device):
            sampler = Smoothed(model, noise, precision).ready(SHAPE)
            plan = radii.exhaustive(noise)

            def one() -> None:
                radii.certify(sampler.vote(examples, plan, 0, None), "l1")  # noqa: B023 (called at once)

            taken = sorted([seconds(one) for _ in range(rounds + 1)][1:])
            cells.append(f"{statistics.median(taken):.2f} ({taken[0]:.2f} to {taken[-1]:.2f})")
        rows.append(cells)
    heads = ["sigma", "noise samples", "seconds, float32", "seconds, bfloat16"][: len(rows[0])]
    words = f"{model_name}, one image of CIFAR-10 size, splitting noise: time from the image to its radius."
    return "\n\n".join(["## One image without sampling error", words, table(heads, rows)])


if __name__ == "__main__":
    print(section())
