"""Votes on mnist5k under every noise, at several levels: results/mnist5k, a file each. What is there is left alone.

Run: make mnist5k. Networks are trained by the recipe mnist5k, as the demo's are, and not kept: seconds each.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import radii
from radii.data import load_data
from radii.models import DENOISER, Denoised
from radii.noises import NOISES, example_name
from radii.recipes import read_recipe
from radii.runs import Recipe
from radii.training import train

FOLDER = Path(__file__).parents[1] / "results" / "mnist5k"
SIGMAS = (0.25, 0.5, 1.0)
LEVELS = {"ablation": ("kept", (25, 45, 90)), "flips": ("keep", (0.6, 0.7, 0.8))}
"""Of noises without a sigma: the parameter that says how strong they are."""
LONGER = "longer-ablation-45"
ORDINARY, DENOISED = "ordinary", "denoiser"
DENOISED_SIGMAS = (0.25, 0.5)
DRAWS = 1000


def recipes() -> Iterator[tuple[str, Recipe]]:
    """The name of each votes file, and how its network is trained."""
    for name, kind in NOISES.items():
        if name in LEVELS:
            parameter, values = LEVELS[name]
            for value in values:
                yield f"{name}-{value:g}", usual(f"{name}:{parameter}={value:g}")
        else:
            for sigma in SIGMAS:
                yield f"{name}-{sigma:g}", replace(usual(example_name(kind)), sigma=sigma)


def longer() -> Recipe:
    """Ablation trained for longer, and to give the same answer whichever pixels it is shown."""
    return replace(
        usual("ablation:kept=45"), loss="consistency", options={"weight": 3.0}, epochs=80, average=0.998
    )


def usual(noise: str) -> Recipe:
    return replace(read_recipe("mnist5k"), noise=noise, sigma=None)


def vote(model: object, noise: radii.Noise) -> radii.Votes:
    """Of all test images; all noisy copies, where they can be listed."""
    plan = radii.fixed(DRAWS) if noise.outcomes is None else radii.exhaustive(noise)
    return radii.Smoothed(model, noise, batch=500).vote(load_data("mnist5k", "test"), plan=plan, seed=0)  # type: ignore[arg-type]


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    images = load_data("mnist5k", "train")
    with TemporaryDirectory() as place:
        for name, recipe in (*recipes(), (LONGER, longer())):
            path = FOLDER / f"{name}.parquet"
            if not path.exists():
                print(path.name, file=sys.stderr)
                vote(train(recipe, images, Path(place) / name), recipe.law()).save(path)
        # one classifier that never saw noise, alone and behind denoisers
        plain = train(replace(usual("gaussian"), loss="ordinary"), images, Path(place) / ORDINARY)
        for sigma in DENOISED_SIGMAS:
            noise = radii.Gaussian(sigma)
            recipe = replace(usual("gaussian"), sigma=sigma, model=DENOISER, loss="denoising")
            front = train(recipe, images, Path(place) / f"{DENOISED}-{sigma:g}", classifier=plain)
            for name, model in ((ORDINARY, plain), (DENOISED, Denoised(front, plain).eval())):
                path = FOLDER / f"{name}-{noise.name}-{sigma:g}.parquet"
                if not path.exists():
                    print(path.name, file=sys.stderr)
                    vote(model, noise).save(path)


if __name__ == "__main__":
    main()
