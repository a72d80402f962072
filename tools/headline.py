"""The few numbers by which results/cifar10 is judged, from its stored votes: print them and write tables.md.

Run: python tools/headline.py [FOLDER]. Runs that are not there yet leave a dash.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import radii
from radii.report.export import markdown_table, write_whole
from radii.report.formatting import NORM_NAMES, round_text
from radii.report.published import load_published, of_question
from radii.votes.plans import Sequential

FOLDER = Path(__file__).parents[1] / "results" / "cifar10"
ALPHA = 0.001


@dataclass(frozen=True)
class RadiusTarget:
    """Certified top-k accuracy at these radii, under a noise of one sigma, or of the best one for each radius."""

    noise: str
    sigma: float | None
    norm: str
    radii: tuple[float, ...]
    k: int = 1


QUESTIONS = (
    RadiusTarget("laplace", 0.5, "l1", (0.25, 0.5, 1.0)),
    RadiusTarget("laplace", None, "l1", (0.5, 1.0)),
    RadiusTarget("laplace", 0.5, "linf", (1 / 255, 2 / 255)),
    RadiusTarget("laplace", 0.5, "l2", (0.25, 0.5)),
    RadiusTarget("laplace", 0.5, "linf", (2 / 255,), k=3),
    RadiusTarget("uniform", 0.5, "l1", (0.5,)),
    RadiusTarget("gaussian", 0.5, "l2", (0.5,)),
    RadiusTarget("splitting", None, "l1", (0.5, 1.0, 2.0)),
)


def answer(question: RadiusTarget, votes: Sequence[radii.Votes]) -> list[list[str]]:
    """A row for each radius: noise, norm, k, radius, accuracy by fixed and sequential votes, what others published."""
    asked = question
    level = "best σ" if asked.sigma is None else f"σ = {asked.sigma:g}"
    mine = [one for one in votes if one.noise.name == asked.noise and asked.sigma in (None, one.noise.sigma)]
    kinds = [[told(asked, one) for one in kind] for kind in by_plan(mine)]
    rows = []
    for column, radius in enumerate(asked.radii):
        where = [NORM_NAMES[asked.norm], str(asked.k), round_text(radius, asked.norm)]
        shares = [best_share([(one[column], sigma) for one, sigma in kind], asked) for kind in kinds]
        rows.append([f"{asked.noise.capitalize()}, {level}", *where, *shares, best_published(asked, radius)])
    return rows


def by_plan(votes: Sequence[radii.Votes]) -> tuple[list[radii.Votes], list[radii.Votes]]:
    """Votes of one number of draws an image, and sequential ones."""
    sequential = [one for one in votes if isinstance(one.plan, Sequential)]
    return [one for one in votes if not isinstance(one.plan, Sequential)], sequential


def told(question: RadiusTarget, votes: radii.Votes) -> tuple[list[float | None], float]:
    """Certified accuracy at each radius, None at those that a sequential plan was not asked about, and sigma."""
    asked = question
    known = [True] * len(asked.radii)
    if isinstance(votes.plan, Sequential):
        mine = [one for one in votes.plan.decisions if (one.norm, one.k) == (asked.norm, asked.k)]
        known = [any(radius in one.radii for one in mine) for radius in asked.radii]
    if not any(known):
        return [None] * len(known), votes.noise.sigma
    shares = radii.certify(votes, asked.norm, k=asked.k, alpha=ALPHA).accuracy(asked.radii)
    return [share if so else None for share, so in zip(shares, known, strict=True)], votes.noise.sigma


def best_share(found: Iterable[tuple[float | None, float]], question: RadiusTarget) -> str:
    """The largest share, with its sigma where that was chosen."""
    there = [(share, sigma) for share, sigma in found if share is not None]
    if not there:
        return "–"
    share, sigma = max(there)
    return f"{share:.1%}" + (f" (σ = {sigma:g})" if question.sigma is None else "")


def best_published(question: RadiusTarget, radius: float) -> str:
    """The largest accuracy published for the noise and its sigma, or the best of several sigmas."""
    asked = question
    rows = [
        (row.accuracy[radius], row.name)
        for row in of_question(load_published("cifar10"), asked.norm, asked.k)
        if row.noise == asked.noise and row.sigma in (None, asked.sigma) and radius in row.accuracy
    ]
    share, name = max(rows, default=(None, ""))
    return "–" if share is None else f"{share:.1%} ({name})"


def headline(votes: Sequence[radii.Votes]) -> str:
    """All questions and their answers as a page in Markdown."""
    rows = [row for question in QUESTIONS for row in answer(question, votes)]
    usual, sequential = by_plan(votes)
    names = ["noise", "norm", "k", "radius", "certified accuracy", "by sequential votes"]
    table = markdown_table([*names, "best published for the noise"], rows)
    images = listed(f"{len(one)} images ({one.data})" for one in votes)
    draws = listed(f"{one.n:,}" for one in usual if not one.noise.outcomes)
    return (
        f"# Certified accuracy in short\n\n{table}\n"
        f"{images}, n = {draws} noise samples per image, α = {ALPHA:g}; splitting noise has no sampling error."
        " The best σ of a radius is chosen by these very images.\n"
        f"{spent(sequential)}"
        "What was published, with sources: `src/radii/report/published/cifar10.toml`; in ℓ₁ it is the best σ of each "
        "radius.\n"
    )


def spent(sequential: Sequence[radii.Votes]) -> str:
    """What the sequential votes took, in words."""
    means = [
        f"{one.samples.mean():,.0f} with {one.noise.name} {one.noise.sigma:g}"
        for one in sorted(sequential, key=lambda one: (one.noise.name, one.noise.sigma))
    ]
    if not means:
        return ""
    most = listed(f"{one.plan.n_max:,}" for one in sequential)
    return (
        "Sequential votes count the label alone. They end when it is decided which of the radii of their plan"
        f" (README.md) are certified, or at {most} samples; they begin with the same noise samples. On average"
        f" they took {', '.join(means)}.\n"
    )


def listed(values: Iterable[str]) -> str:
    """The values that occur, each once."""
    return " or ".join(dict.fromkeys(values))


def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    paths = sorted(folder.glob("*/votes*.parquet"))
    if not paths:
        raise SystemExit(f"there are no votes in {folder}: give the folder above the runs")
    page = headline([radii.load_votes(path) for path in paths])
    write_whole(folder / "tables.md", page)
    print(page, end="")


if __name__ == "__main__":
    main()
