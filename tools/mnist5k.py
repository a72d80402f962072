"""Write votes on mnist5k under every noise, at several levels, to results/mnist5k; existing files stay.

Run: make mnist5k. Networks are trained by the recipe mnist5k, as the demo's are, and not kept: seconds each.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

import radii
from radii.data import load_data
from radii.models import DENOISER, Denoised
from radii.noises import NOISES, example_name
from radii.training import train
from radii.training.recipe import Recipe, read_recipe

FOLDER = Path(__file__).parents[1] / "results" / "mnist5k"
SIGMAS = (0.25, 0.5, 1.0)
LEVELS = {"ablation": ("kept", (25, 45, 90)), "flips": ("keep", (0.6, 0.7, 0.8))}
"""The parameter of each noise without a sigma that sets its strength, and its values."""
LONGER = "longer-ablation-45"
ORDINARY, DENOISED = "ordinary", "denoiser"
DENOISED_SIGMAS = (0.25, 0.5)
DRAWS = 1000


def recipes() -> Iterator[tuple[str, Recipe]]:
    """Yield the name of each votes file, and the recipe of its network."""
    for name, kind in NOISES.items():
        if name in LEVELS:
            parameter, values = LEVELS[name]
            for value in values:
                yield f"{name}-{value:g}", usual(f"{name}:{parameter}={value:g}")
        else:
            for sigma in SIGMAS:
                yield f"{name}-{sigma:g}", replace(usual(example_name(kind)), sigma=sigma)


def longer() -> Recipe:
    """Return the recipe of ablation for more epochs, and with a loss for equal predictions on all noise samples."""
    return replace(
        usual("ablation:kept=45"), loss="consistency", options={"weight": 3.0}, epochs=80, average=0.998
    )


def usual(noise: str) -> Recipe:
    return replace(read_recipe("mnist5k"), noise=noise, sigma=None)


def trained(recipe: Recipe, classifier: nn.Module | None = None) -> nn.Module:
    # a network is trained in seconds by its recipe, so its run folder is not kept
    with TemporaryDirectory() as folder:
        return train(recipe, load_data("mnist5k", "train"), Path(folder) / "run", classifier=classifier)


# cached: four votes files share it
@cache
def ordinary() -> nn.Module:
    """Return the one classifier trained without noise, which is sampled alone and behind denoisers."""
    return trained(replace(usual("gaussian"), loss="ordinary"))


def denoised(sigma: float) -> nn.Module:
    recipe = replace(usual("gaussian"), sigma=sigma, model=DENOISER, loss="denoising")
    return Denoised(trained(recipe, ordinary()), ordinary()).eval()


def networks() -> Iterator[tuple[str, radii.Noise, Callable[[], nn.Module]]]:
    """Yield the name of each votes file, its noise, and the function that trains its network."""
    for name, recipe in (*recipes(), (LONGER, longer())):
        yield name, recipe.law(), partial(trained, recipe)
    for sigma in DENOISED_SIGMAS:
        yield f"{ORDINARY}-gaussian-{sigma:g}", radii.Gaussian(sigma), ordinary
        yield f"{DENOISED}-gaussian-{sigma:g}", radii.Gaussian(sigma), partial(denoised, sigma)


def vote(model: nn.Module, noise: radii.Noise) -> radii.Votes:
    """Return votes on all test images, by all outcomes of the noise where they can be enumerated."""
    plan = radii.fixed(DRAWS) if noise.outcomes is None else radii.exhaustive(noise)
    return radii.Smoothed(model, noise, batch=500).vote(load_data("mnist5k", "test"), plan=plan, seed=0)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, noise, network in networks():
        path = FOLDER / f"{name}.parquet"
        # trained only where votes are missing
        if not path.exists():
            print(path.name, file=sys.stderr)
            vote(network(), noise).save(path)


if __name__ == "__main__":
    main()
