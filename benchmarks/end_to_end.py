"""The same table of certified accuracy: by a plan that stops early, and by the usual loop with 100,000 passes each.

Run: python benchmarks/end_to_end.py --data-dir PATH [--every 20] [--run results/cifar10/gaussian-0.5]. Ours is run as
a whole, from weights to table. The usual loop would take hours: its pace is measured, before and after, and its time
follows.
"""

import argparse
from pathlib import Path

import torch
from baseline import sample
from measure import machine, seconds, table

import radii
from radii.data import load_data
from radii.models.devices import best_device, has_bfloat16
from radii.training.run_folder import load_run

RUN = Path(__file__).parents[1] / "results" / "cifar10" / "gaussian-0.5"
USUAL, ALPHA, NORM, COPIES = 100_000, 1e-3, "l2", 4000
MULTIPLES = ([1, 2], [1, 2, 3])
EVERY = 20
"""Of the test images, as the stored votes take them."""


def section(data_dir: Path, every: int, run: Path) -> str:
    """All measurements as a section in Markdown."""
    model, config = load_run(run)
    noise, device = config.recipe.law(), best_device()
    images = load_data(config.recipe.data, "test", data_dir).every(every)
    plain, first = model.to(device), torch.from_numpy(images.images()[0])

    def pace() -> float:
        return COPIES / seconds(lambda: sample(plain, noise, first, COPIES, len(config.classes)))

    pace()
    precision = "bfloat16" if has_bfloat16(device) else "float32"
    rows = []
    for multiples in MULTIPLES:
        before, found = pace(), {}
        asked = [multiple * noise.sigma for multiple in multiples]

        def ours(asked: list[float] = asked, found: dict = found) -> None:
            smoothed = radii.Smoothed(model, noise, precision)
            found["it"] = smoothed.certify(
                images.images(), images.labels, norm=NORM, radii=asked, alpha=ALPHA, n_max=USUAL
            )

        taken, after = seconds(ours), pace()
        usual = USUAL * len(images) / ((before + after) / 2)
        cert = found["it"]
        shares = ", ".join(f"{share:.1%}" for share in cert.accuracy(asked))
        name = ", ".join(map(str, multiples)) + " sigma"
        paces = f"{len(images) * cert.mean_samples / taken:,.0f}", f"{(before + after) / 2:,.0f}"
        rows.append(
            [
                name,
                f"{cert.mean_samples:,.0f}",
                shares,
                f"{taken:,.0f}",
                f"{usual:,.0f}",
                f"{usual / taken:.0f}",
                *paces,
            ]
        )
    headers = [
        "radii",
        "mean samples",
        "certified",
        "seconds",
        "baseline, seconds",
        "speed-up",
        "samples/s",
        "baseline, samples/s",
    ]
    return "\n\n".join(
        [
            "## A table of certified accuracy, end to end",
            f"{config.recipe.model}, {noise.name} noise, sigma {noise.sigma:g}, {NORM}, {len(images)} images "
            f"({images.description}), alpha {ALPHA:g}, n up to {USUAL:,}; {precision}, "
            "including the trial of batch sizes. Baseline: a loop with n samples of every image.",
            table(headers, rows),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--every", type=int, default=EVERY)
    parser.add_argument("--run", type=Path, default=RUN)
    asked = parser.parse_args()
    print(machine(), section(asked.data_dir, asked.every, asked.run), sep="\n\n")


if __name__ == "__main__":
    main()
