"""Made-up votes, seeded, for the tests of everything that starts from stored votes."""

from pathlib import Path

import numpy as np

from radii.noises import make_noise
from radii.votes import ImageIdentity, Votes
from radii.votes.plans import fixed

RUNS = (("laplace", 0.25), ("laplace", 0.5), ("laplace", 1.0), ("gaussian", 0.5), ("uniform", 0.5))
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def make_votes(noise="laplace", sigma=0.5, *, images=60, n=2000, seed=0) -> Votes:
    """Votes such as a model of CIFAR-10 gives: the more noise, the less sure."""
    draws = np.random.default_rng([seed, images])
    labels = draws.integers(0, 10, images)
    scores = draws.normal(0, 2, (images, 10))
    scores[np.arange(images), labels] += draws.gamma(2, 2 / (0.5 + sigma), images)
    odds = np.exp(scores)
    odds /= odds.sum(1, keepdims=True)
    return Votes(
        counts=draws.multinomial(n, odds),
        selection=draws.multinomial(100, odds),
        labels=labels,
        index=np.arange(images) * 20,
        noise=make_noise(noise, sigma),
        shape=(3, 32, 32),
        plan=fixed(n, 100),
        draws=((0, n),),
        seed=seed,
        model=f"made up for {noise} {sigma:g}",
        data=ImageIdentity("cifar10", "test", part=f"first {images} of every 20th of 10000"),
        classes=CLASSES,
    )


def save_runs(folder: Path, runs=RUNS, **settings) -> list[Path]:
    """Votes files of made-up runs in folders `NOISE-SIGMA` of `folder`."""
    paths = [folder / f"{noise}-{sigma:g}" / "votes.parquet" for noise, sigma in runs]
    for path, (noise, sigma) in zip(paths, runs, strict=True):
        make_votes(noise, sigma, **settings).save(path)
    return paths


def votes_of_counts(counts, selection=None, **changes) -> Votes:
    """Votes under a fixed plan, all with the true label 0, whose selection samples chose the most frequent class."""
    counts = np.asarray(counts)
    selection = np.eye(counts.shape[1], dtype=int)[counts.argmax(1)] * 10 if selection is None else selection
    n = int(counts[0].sum())
    fields = {
        "counts": counts,
        "selection": np.asarray(selection),
        "labels": np.zeros(len(counts), int),
        "index": np.arange(len(counts)),
        "noise": make_noise("gaussian", 0.5),
        "shape": (1, 6, 6),
        "plan": fixed(n, int(selection[0].sum())),
        "draws": ((0, n),),
        "seed": 0,
        "model": "0" * 64,
        **changes,
    }
    return Votes(**fields)
