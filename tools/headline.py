"""The few numbers by which results/cifar10 is judged, from its stored votes: print them and write tables.md.

Run: python tools/headline.py [FOLDER]. Runs that are not there yet leave a dash.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import radii
from radii import planning
from radii.designs import Exhaustive, Fixed
from radii.exports import markdown_table, write_whole
from radii.published import load_published, of_question
from radii.wording import NORM_NAMES, round_text

FOLDER = Path(__file__).parents[1] / "results" / "cifar10"
SEQUENTIAL = "votes-sequential.parquet"
ALPHA = 0.001


@dataclass(frozen=True)
class Question:
    """Certified top-k accuracy at these radii, under a noise of one sigma, or of the best one for each radius."""

    noise: str
    sigma: float | None
    norm: str
    radii: tuple[float, ...]
    k: int = 1


QUESTIONS = (
    Question("laplace", 0.5, "l1", (0.25, 0.5, 1.0)),
    Question("laplace", None, "l1", (0.5, 1.0)),
    Question("laplace", 0.5, "linf", (1 / 255, 2 / 255)),
    Question("laplace", 0.5, "l2", (0.25, 0.5)),
    Question("laplace", 0.5, "linf", (2 / 255,), k=3),
    Question("uniform", 0.5, "l1", (0.5,)),
    Question("gaussian", 0.5, "l2", (0.5,)),
    Question("splitting", None, "l1", (0.5, 1.0, 2.0)),
)


def answer(
    question: Question, votes: Sequence[radii.Votes], sequential: Sequence[radii.Votes]
) -> list[list[str]]:
    """A row for each radius: noise, norm, k, radius, accuracy by either kind of votes, and what others published."""
    asked = question
    level = "best σ" if asked.sigma is None else f"σ = {asked.sigma:g}"
    rows = []
    for radius in asked.radii:
        where = [NORM_NAMES[asked.norm], str(asked.k), round_text(radius, asked.norm)]
        shares = [best_share(asked, radius, votes), best_share(asked, radius, sequential)]
        rows.append([f"{asked.noise.capitalize()}, {level}", *where, *shares, best_published(asked, radius)])
    return rows


def best_share(question: Question, radius: float, votes: Sequence[radii.Votes]) -> str:
    """The certified accuracy by those of `votes` that were drawn under the noise and can tell; the best of them."""
    asked = question
    found = [
        (radii.certify(one, asked.norm, k=asked.k, alpha=ALPHA).accuracy([radius])[0], one.noise.sigma)
        for one in votes
        if one.noise.name == asked.noise
        and asked.sigma in (None, one.noise.sigma)
        and was_asked(one, asked.norm, radius, asked.k)
    ]
    if not found:
        return "–"
    share, sigma = max(found)
    return f"{share:.1%}" + (f" (σ = {sigma:g})" if asked.sigma is None else "")


def was_asked(votes: radii.Votes, norm: str, radius: float, k: int) -> bool:
    """Whether the plan of the votes was to find out about this radius; all draws of one number tell about all radii."""
    if isinstance(votes.plan, Fixed | Exhaustive):
        return True
    (level,) = planning.Question(votes.noise, norm, (radius,), votes.shape, k, exact=votes.exact).levels()
    return bool(np.isclose(level, votes.plan.levels, rtol=0, atol=planning.SAME).any())


def best_published(question: Question, radius: float) -> str:
    """The largest accuracy published for the noise and its sigma, or the best of several sigmas."""
    asked = question
    rows = [
        (row.accuracy[radius], row.name)
        for row in of_question(load_published("cifar10"), asked.norm, asked.k)
        if row.noise == asked.noise and row.sigma in (None, asked.sigma) and radius in row.accuracy
    ]
    share, name = max(rows, default=(None, ""))
    return "–" if share is None else f"{share:.1%} ({name})"


def headline(votes: Sequence[radii.Votes], sequential: Sequence[radii.Votes]) -> str:
    """All questions and their answers as a page in Markdown, by fixed `votes` and by sequential ones."""
    rows = [row for question in QUESTIONS for row in answer(question, votes, sequential)]
    names = ["noise", "norm", "k", "radius", "certified accuracy", "by sequential votes"]
    table = markdown_table([*names, "best published for the noise"], rows)
    images = listed(f"{len(one)} images ({one.data})" for one in votes)
    draws = listed(f"{one.n:,}" for one in votes if not one.noise.outcomes)
    return (
        f"# Certified accuracy in short\n\n{table}\n"
        f"{images}, n = {draws} draws an image, α = {ALPHA:g}; of splitting noise all copies, without α."
        " The best σ of a radius is chosen by these very images.\n"
        f"{spent(sequential)}"
        "What was published, with sources: `src/radii/published/cifar10.toml`; in ℓ₁ it is the best σ of each radius.\n"
    )


def spent(sequential: Sequence[radii.Votes]) -> str:
    """What the sequential votes took, in words."""
    means = [
        f"{one.passes.mean():,.0f} with {one.noise.name} {one.noise.sigma:g}"
        for one in sorted(sequential, key=lambda one: (one.noise.name, one.noise.sigma))
    ]
    if not means:
        return ""
    most = listed(f"{one.plan.n_max:,}" for one in sequential)
    return (
        "Sequential votes count the label alone, and end when it is clear which of the radii that they were asked about"
        f" (README.md) are certified, or at {most} draws; they begin with the same draws. On average they took"
        f" {', '.join(means)}.\n"
    )


def listed(values: Iterable[str]) -> str:
    """The values that occur, each once."""
    return " or ".join(dict.fromkeys(values))


def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    paths = sorted(folder.glob("*/votes.parquet"))
    if not paths:
        raise SystemExit(f"there are no votes in {folder}: give the folder above the runs")
    sequential = sorted(folder.glob(f"*/{SEQUENTIAL}"))
    page = headline(
        [radii.load_votes(path) for path in paths], [radii.load_votes(path) for path in sequential]
    )
    write_whole(folder / "tables.md", page)
    print(page, end="")


if __name__ == "__main__":
    main()
