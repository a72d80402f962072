"""How long the arithmetic takes: from class counts to radii, on one core; with images, and with classes.

Run: OMP_NUM_THREADS=1 python benchmarks/arithmetic.py. Laplace noise against linf and l0 builds a table the first time.
"""

import numpy as np
from measure import seconds, table

import radii
from radii.noises import NOISES, example

IMAGES, DRAWS = 10_000, 100_000


def votes(images: int, classes: int, noise: radii.Noise, shape: tuple[int, ...]) -> radii.Votes:
    """Made-up votes, from hopeless to certain."""
    rng = np.random.default_rng(0)
    law = np.empty((images, classes))
    law[:, 0] = rng.beta(1.2, 0.6, images)
    law[:, 1:] = (1 - law[:, :1]) * rng.dirichlet(np.full(classes - 1, 5 / classes), images)
    counts = rng.multinomial(DRAWS, law / law.sum(axis=1, keepdims=True))
    index, label = np.arange(images), np.zeros(images, dtype=int)
    plan = radii.fixed(DRAWS, 0)
    return radii.Votes(
        counts, np.zeros_like(counts), label, index, noise, shape, plan, ((0, DRAWS),), 0, "made up"
    )


def pace(one: radii.Votes, norm: str, k: int) -> tuple[float, float]:
    """Seconds of the first time, and of the second."""
    taken = [seconds(lambda: radii.certify(one, norm, k=k)) for _ in range(2)]
    return taken[0], taken[1]


def section() -> str:
    """All measurements as a section in Markdown."""
    shape, rows = (3, 224, 224), []
    for noise in (example(kind) for kind in NOISES.values() if example(kind).outcomes is None):
        drawn = votes(IMAGES, 1000, noise, shape)
        for norm in noise.rules:
            first, again = pace(drawn, norm, 5)
            rows.append(
                [f"{drawn.noise.name}, {norm}", f"{first:.2f}", f"{again:.2f}", f"{IMAGES / again:,.0f}"]
            )
    growth = []
    for images, classes in ((2500, 10), (5000, 10), (10_000, 10), (10_000, 100), (10_000, 1000)):
        drawn = votes(images, classes, radii.Gaussian(0.5), (3, 32, 32))
        growth.append(
            [f"{images:,} images, {classes} classes"] + [f"{pace(drawn, 'l2', k)[1]:.3f}" for k in (1, 3, 5)]
        )
    return "\n\n".join(
        [
            "## Certificates per second",
            f"Seconds from votes to radii: n = {DRAWS:,}, {IMAGES:,} images, 3 x 224 x 224, 1000 classes, k = 5.",
            table(["noise, norm", "first call", "second call", "certificates/s"], rows),
            "Seconds by size, for Gaussian noise, l2, 3 x 32 x 32:",
            table(["votes", "k = 1", "k = 3", "k = 5"], growth),
        ]
    )


if __name__ == "__main__":
    print(section())
