"""The whole job on embedded data: train under three noises, vote, certify in every norm and for k = 1, 2, 3, report."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from radii.certificates.certify import certify_all, check_reach
from radii.cli.report import shown_examples
from radii.data import DataSet, load_data
from radii.errors import InputError
from radii.models import digest
from radii.noises.norms import NORMS
from radii.report.html import Run, choose_examples, write_report
from radii.sampling import Smoothed
from radii.training import train
from radii.training.recipe import Recipe, make_recipe
from radii.training.run_folder import WEIGHTS, load_run
from radii.votes import Votes, load_votes
from radii.votes.bounds import check_alpha
from radii.votes.plans import fixed

KS = (1, 2, 3)

Watch = Callable[[str], AbstractContextManager]
"""Shows progress: called with words, gives a context whose value is called as `(done, total, ...)`."""


COMPARED = ("laplace", "gaussian", "uniform")
"""Noises, with a rule for every norm."""


@dataclass(frozen=True)
class Demo:
    """What to do: the embedded data set, equal sigma for all noises, so many test images and draws.

    `epochs`: None for as many as the data set usually gets.
    """

    data: str = "mnist5k"
    sigma: float = 0.5
    images: int = 500
    n: int = 1000
    alpha: float = 1e-3
    epochs: int | None = None

    def recipe(self, noise: str) -> Recipe:
        """How the model under one noise is trained."""
        return make_recipe(self.data, noise=noise, sigma=self.sigma, epochs=self.epochs)

    def shown(self) -> DataSet:
        """The test images: spread evenly over the whole, so that every class is among them."""
        if self.images < 1:
            raise InputError(f"at least one image must be taken; got {self.images}")
        test = load_data(self.data, "test")
        return test.every(max(1, len(test) // self.images)).first(self.images)


def run_demo(demo: Demo, folder: Path, watch: Watch) -> tuple[dict[str, dict], Path]:
    """Do the whole job in `folder`, taking up what an earlier call had finished.

    Returns the certificates, `{"Laplace": {(norm, k): Certificates}, ...}`, and the page of the report.
    """
    recipes, shown, plan = [demo.recipe(noise) for noise in COMPARED], demo.shown(), fixed(demo.n)
    check_alpha(demo.alpha)
    for k in KS:
        check_reach(plan.n, k, demo.alpha, "two-event", len(shown.classes))
    drawn = {}
    for recipe in recipes:
        run = folder / recipe.noise
        train_once(recipe, run, watch)
        drawn[recipe.noise.capitalize()] = vote_once(demo, run, shown, watch)
    found = certify_all(drawn, NORMS, KS, alpha=demo.alpha, unit="pixel")
    with watch("report") as move:
        runs = [Run(name, found[name], votes) for name, votes in drawn.items()]
        page = report(runs, shown, folder / "report", f"Certified robustness on {demo.data}", move)
    return found, page


def train_once(recipe: Recipe, folder: Path, watch: Watch) -> None:
    """Train a model by this recipe, unless it is there."""
    if (folder / WEIGHTS).exists():
        if load_run(folder)[1].recipe != recipe:
            raise InputError(f"{folder} holds a model by another recipe: choose another folder with --out")
        return
    with watch(f"train {recipe.noise}") as move:
        train(recipe, load_data(recipe.data, "train"), folder, progress=move)


def vote_once(demo: Demo, run: Path, images: DataSet, watch: Watch) -> Votes:
    """The votes of the model in `run` on `images`, drawn now unless they are there."""
    path, plan = run / "votes.parquet", fixed(demo.n)
    model, config = load_run(run)
    law = config.recipe.law()
    if path.exists():
        votes = load_votes(path)
        wanted = (plan, images.identity, law, digest(model))
        if (votes.plan, votes.data, votes.noise, votes.model) != wanted or not votes.complete:
            raise InputError(f"{path} holds other votes: choose another folder with --out")
        return votes
    with watch(f"vote {config.recipe.noise}") as move:
        votes = Smoothed(model, law).vote(images, plan=plan, progress=move)
    votes.save(path)
    return votes


def report(
    runs: list[Run],
    data: DataSet,
    folder: Path,
    title: str,
    progress: Callable[[int, int], object],
) -> Path:
    """The page that compares the noises, with images worth looking at."""
    chosen = data.at(data.index[choose_examples(runs[0].certificates["l2", 1])])
    drawn = {run.name: run.votes for run in runs if run.votes is not None}
    return write_report(runs, folder, title=title, examples=shown_examples(chosen, drawn), progress=progress)
