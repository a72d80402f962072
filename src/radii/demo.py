"""The whole job on embedded data: train under three noises, vote, certify in every norm and for k = 1, 2, 3, report."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from radii.certificates import Certificates, certify
from radii.data import DataSet, load_data
from radii.designs import fixed
from radii.errors import InputError
from radii.noises import NOISES
from radii.norms import NORMS
from radii.report import Examples, Run, choose_examples, write_report
from radii.runs import WEIGHTS, Recipe, load_run, make_recipe
from radii.sampling import Smoothed
from radii.training import train
from radii.votes import Votes, load_votes

KS = (1, 2, 3)


class Watch(Protocol):
    """Shows progress: called with words, gives a context whose value is called as `(done, total, ...)`."""

    def __call__(self, words: str) -> AbstractContextManager: ...


@dataclass(frozen=True)
class Demo:
    """What to do: the embedded data set, equal sigma for all noises, so many test images and draws."""

    data: str = "mnist5k"
    sigma: float = 0.5
    images: int = 500
    n: int = 1000
    alpha: float = 1e-3


def run_demo(demo: Demo, folder: Path, watch: Watch) -> tuple[dict[str, dict], Path]:
    """Do the whole job in `folder`, taking up what an earlier call had finished.

    Returns the certificates, `{noise: {(norm, k): Certificates}}`, and the page of the report.
    """
    training, test = (load_data(demo.data, split) for split in ("train", "test"))
    shown = test.every(max(1, len(test) // demo.images))
    found = {}
    for noise in NOISES:
        recipe = make_recipe(demo.data, noise=noise, sigma=demo.sigma)
        votes = vote(
            demo, train_once(recipe, training, folder / noise, watch), recipe, shown, folder / noise, watch
        )
        found[noise] = certify_all(votes, demo.alpha)
    with watch("report") as move:
        move(0, 1)
        page = report(found, shown, folder / "report", f"Certified robustness on {demo.data}")
        move(1, 1)
    return found, page


def train_once(recipe: Recipe, data: DataSet, folder: Path, watch: Watch) -> Path:
    """A folder with a model by this recipe, trained now unless it is there."""
    if (folder / WEIGHTS).exists():
        there = load_run(folder)[1].recipe
        if there != recipe:
            raise InputError(f"{folder} holds a model by another recipe: choose another folder with --out")
        return folder
    with watch(f"train {recipe.noise}") as move:
        train(recipe, data, folder, progress=move)
    return folder


def vote(demo: Demo, run: Path, recipe: Recipe, images: DataSet, folder: Path, watch: Watch) -> Votes:
    """The votes of a run on `images`, drawn now unless they are there."""
    path, plan = folder / "votes.parquet", fixed(demo.n)
    if path.exists():
        votes = load_votes(path)
        if (votes.plan, votes.data, votes.noise) != (plan, images.description, recipe.law()):
            raise InputError(f"{path} holds other votes: choose another folder with --out")
        return votes
    smoothed = Smoothed(load_run(run)[0], recipe.law())
    with watch(f"vote  {recipe.noise}") as move:
        votes = smoothed.vote(images, plan=plan, progress=move)
    votes.save(path)
    return votes


def certify_all(votes: Votes, alpha: float) -> dict[tuple[str, int], Certificates]:
    """Certificates in every norm and for k = 1, 2, 3; l0 counts whole pixels."""
    units = {norm: "pixel" if norm == "l0" else "feature" for norm in NORMS}
    return {(norm, k): certify(votes, norm, k=k, alpha=alpha, unit=units[norm]) for norm in NORMS for k in KS}


def report(
    found: Mapping[str, dict[tuple[str, int], Certificates]], data: DataSet, folder: Path, title: str
) -> Path:
    """The page that compares the noises, with images worth looking at."""
    runs = [Run(noise, certificates) for noise, certificates in found.items()]
    rows = choose_examples(runs[0].certificates["l2", 1])
    examples = Examples(data.pixels[rows].numpy(), data.index[rows].numpy(), data.classes)
    return write_report(runs, folder, title=title, examples=examples)
