"""Votes on thousands of images with 1000 classes: written in parts, merged, loaded and certified; time and memory.

Run: python benchmarks/scale.py. Each size is a process of its own.
"""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
from measure import peak_memory, table

import radii
from radii.engine import Parts, gather
from radii.engine.parts import manifest_of
from radii.storage.folders import LocalFolder
from radii.votes import ImageIdentity
from radii.votes.canary import INPUTS, NUMBERS

CLASSES, K, N, EACH = 1000, 5, 10_000, 100
SIZES = (2500, 5000, 10_000)
STEPS = ("write", "merge", "load", *radii.NORMS)


def make_votes(first: int, images: int) -> radii.Votes:
    """Made-up votes on some images: each is one of 2 to 60 classes, as a network under noise sees it."""
    rng = np.random.default_rng(first)
    counts, selection = (np.zeros((images, CLASSES), dtype=np.int64) for _ in range(2))
    for row in range(images):
        classes = rng.choice(CLASSES, rng.integers(2, 61), replace=False)
        chance = rng.dirichlet(np.full(len(classes), 0.3))
        counts[row, classes] = rng.multinomial(N, chance)
        selection[row, classes] = rng.multinomial(100, chance)
    return radii.Votes(
        counts=counts,
        selection=selection,
        labels=counts.argmax(axis=1),
        index=np.arange(first, first + images),
        noise=radii.Laplace(0.5),
        shape=(3, 224, 224),
        plan=radii.fixed(N, 100),
        draws=((0, N),),
        seed=0,
        model="made up",
        canary=((1.0,) * NUMBERS,) * INPUTS,
        data=ImageIdentity("made-up images"),
    )


def fill(folder: Path, images: int) -> float:
    """A folder of parts, as a run leaves it; the seconds of writing alone."""
    parts, spent = Parts(LocalFolder(folder)), 0.0
    about = SimpleNamespace(index=np.arange(images), labels=None, fingerprints=None)
    law = manifest_of(make_votes(0, EACH), about, EACH * (N + 100))
    for unit in law.units():
        votes = replace(make_votes(unit.first, unit.stop - unit.first), labels=None)
        start = time.perf_counter()
        if parts.manifest is None:
            parts.begin(law)
        parts.save(unit, votes.encode())
        spent += time.perf_counter() - start
    return spent


def run(images: int) -> dict[str, float]:
    """Seconds of each step, and bytes at the peak and of the file."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        taken = {"write": fill(folder / "votes.parts", images)}
        start = time.perf_counter()
        gather([folder / "votes.parts"]).save(folder / "votes.parquet")
        taken["merge"] = time.perf_counter() - start
        start = time.perf_counter()
        votes = radii.load_votes(folder / "votes.parquet")
        taken["load"] = time.perf_counter() - start
        for norm in radii.NORMS:
            start = time.perf_counter()
            radii.certify(votes, norm, k=K, labels="predicted")
            taken[norm] = time.perf_counter() - start
        size = (folder / "votes.parquet").stat().st_size
    return taken | {"memory": peak_memory(), "file": size}


def section() -> str:
    """All measurements as a section in Markdown."""
    rows = []
    for images in SIZES:
        command = [sys.executable, __file__, str(images)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        seconds = [found[step] for step in STEPS]
        sizes = f"{found['memory'] / 2**20:,.0f}", f"{found['file'] / 2**20:.2f}"
        rows.append([f"{images:,}", *(f"{one:.2f}" for one in seconds), f"{sum(seconds):.1f}", *sizes])
    words = (
        f"Synthetic votes, {CLASSES} classes, n = {N:,}, in parts of {EACH} images; top {K} in four norms. Seconds per "
        "step, and MiB of peak memory and of the file."
    )
    return "\n\n".join(
        ["## Many images and classes", words, table(["images", *STEPS, "total", "memory", "file"], rows)]
    )


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]))) if len(sys.argv) > 1 else section())
