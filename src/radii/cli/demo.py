"""The work of radii demo: train under three noises, vote, certify every norm and k, report, on embedded data."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from radii.certificates.certify import check_reach
from radii.certificates.runs import certify_all
from radii.cli.report import recipe_beside, shown_examples
from radii.data import DataSet, load_data
from radii.errors import InputError
from radii.models import digest
from radii.noises.norms import NORMS
from radii.report.html import MOST_PICTURES, Examples, Run, choose_examples, write_report
from radii.sampling import Smoothed
from radii.training import train
from radii.training.recipe import Recipe, make_recipe
from radii.training.run_folder import WEIGHTS, load_run
from radii.votes import Votes, load_votes
from radii.votes.bounds import check_alpha
from radii.votes.plans import fixed

KS = (1, 2, 3)

COMPARED = ("laplace", "gaussian", "uniform")
"""Noises that have a rule for every norm."""

Watch = Callable[[str], AbstractContextManager]
"""Shows progress: called with a job's name, returns a context that yields the callback `update(done, total, ...)`."""


@dataclass(frozen=True)
class Demo:
    """Settings of the demo: embedded data set, one sigma for all noises, test images, and noise samples per image.

    `epochs`: None for the usual number of the data set.
    """

    data: str = "mnist5k"
    sigma: float = 0.5
    images: int = 500
    n: int = 1000
    alpha: float = 1e-3
    epochs: int | None = None

    def recipe(self, noise: str) -> Recipe:
        """Return the recipe of the model under one noise."""
        return make_recipe(self.data, noise=noise, sigma=self.sigma, epochs=self.epochs)

    def shown(self) -> DataSet:
        """Return the test images, spread evenly over the split so that every class is among them."""
        if self.images < 1:
            raise InputError(f"at least one image must be taken; got {self.images}")
        test = load_data(self.data, "test")
        return test.every(max(1, len(test) // self.images)).first(self.images)


def run_demo(demo: Demo, folder: Path, watch: Watch) -> tuple[dict[str, dict], Path]:
    """Do all work in `folder`, except what an earlier call has finished.

    Returns the certificates, `{"Laplace": {(norm, k): Certificates}, ...}`, and the page of the report.
    """
    # wrong settings of any model show here, before the first is trained
    recipes, shown, plan = [demo.recipe(noise) for noise in COMPARED], demo.shown(), fixed(demo.n)
    # too few samples for any certificate show before minutes of training
    check_alpha(demo.alpha)
    for k in KS:
        check_reach(plan.n, k, demo.alpha, "two-event", len(shown.classes))
    votes = {}
    # one noise after the other: what is finished is kept by an interruption
    for recipe in recipes:
        run = folder / recipe.noise
        train_once(recipe, run, watch)
        votes[recipe.noise.capitalize()] = vote_once(demo, run, shown, watch)
    certificates = certify_all(votes, NORMS, KS, alpha=demo.alpha, unit="pixel")
    runs = [
        Run(
            name, certificates[name], counted, training=recipe_beside(folder / name.lower() / "votes.parquet")
        )
        for name, counted in votes.items()
    ]
    # of one run for all, since each card compares the runs on one image
    examples = shown.at(shown.index[choose_examples(runs[0].certificates["l2", 1])])
    with watch("report") as update:
        page = write_report(
            runs,
            folder / "report",
            title=f"Certified robustness on {demo.data}",
            examples=shown_examples(examples, votes),
            # of the first images, if there are too many for a page
            thumbnails=Examples(shown.first(MOST_PICTURES).pictures(), shown.first(MOST_PICTURES).index),
            progress=update,
        )
    return certificates, page


def train_once(recipe: Recipe, folder: Path, watch: Watch) -> None:
    """Train a model by this recipe, unless `folder` holds it."""
    if (folder / WEIGHTS).exists():
        # models of different settings must not be compared as if they had the same
        if load_run(folder)[1].recipe != recipe:
            raise InputError(f"{folder} holds a model by another recipe: choose another folder with --out")
        return
    with watch(f"train {recipe.noise}") as update:
        train(recipe, load_data(recipe.data, "train"), folder, progress=update)


def vote_once(demo: Demo, run: Path, images: DataSet, watch: Watch) -> Votes:
    """Return the votes of the model in `run` on `images`: from its votes file, or counted now."""
    path, plan = run / "votes.parquet", fixed(demo.n)
    model, config = load_run(run)
    noise = config.recipe.law()
    if path.exists():
        votes = load_votes(path)
        # votes of other settings would be shown as those of this demo
        expected = (plan, images.identity, noise, digest(model))
        if (votes.plan, votes.data, votes.noise, votes.model) != expected or not votes.complete:
            raise InputError(f"{path} holds other votes: choose another folder with --out")
        return votes
    with watch(f"vote {config.recipe.noise}") as update:
        votes = Smoothed(model, noise).vote(images, plan=plan, progress=update)
    votes.save(path)
    return votes
