"""Print the few numbers by which results/cifar10 is judged, from its stored votes, and write them to tables.md.

Run: python tools/headline.py [FOLDER]. Runs without votes leave a dash.
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
    """Return a row per radius: noise, norm, k, radius, accuracy by fixed and sequential votes, best published one."""
    level = "best σ" if question.sigma is None else f"σ = {question.sigma:g}"
    matching = [
        run for run in votes if run.noise.name == question.noise and question.sigma in (None, run.noise.sigma)
    ]
    kinds = [[accuracies(question, run) for run in kind] for kind in by_plan(matching)]
    rows = []
    for column, radius in enumerate(question.radii):
        where = [NORM_NAMES[question.norm], str(question.k), round_text(radius, question.norm)]
        shares = [best_share([(of_run[column], sigma) for of_run, sigma in kind], question) for kind in kinds]
        name = f"{question.noise.capitalize()}, {level}"
        rows.append([name, *where, *shares, best_published(question, radius)])
    return rows


def by_plan(votes: Sequence[radii.Votes]) -> tuple[list[radii.Votes], list[radii.Votes]]:
    """Return the votes with a fixed number of noise samples per image, and the sequential ones."""
    sequential = [run for run in votes if isinstance(run.plan, Sequential)]
    return [run for run in votes if not isinstance(run.plan, Sequential)], sequential


def accuracies(question: RadiusTarget, votes: radii.Votes) -> tuple[list[float | None], float]:
    """Return certified accuracy at each radius, None at radii that a sequential plan does not decide, and sigma."""
    known = [True] * len(question.radii)
    if isinstance(votes.plan, Sequential):
        # at any other radius the plan stopped too early, and the accuracy would say nothing about the noise
        decisions = [
            decision
            for decision in votes.plan.decisions
            if (decision.norm, decision.k) == (question.norm, question.k)
        ]
        known = [any(radius in decision.radii for decision in decisions) for radius in question.radii]
    # most pairs of votes and question end here, before any certificate
    if not any(known):
        return [None] * len(known), votes.noise.sigma
    shares = radii.certify(votes, question.norm, k=question.k, alpha=ALPHA).accuracy(question.radii)
    return [
        share if decided else None for share, decided in zip(shares, known, strict=True)
    ], votes.noise.sigma


def best_share(shares: Iterable[tuple[float | None, float]], question: RadiusTarget) -> str:
    """Return the largest share, with its sigma where that was chosen."""
    known = [(share, sigma) for share, sigma in shares if share is not None]
    if not known:
        return "–"
    share, sigma = max(known)
    return f"{share:.1%}" + (f" (σ = {sigma:g})" if question.sigma is None else "")


def best_published(question: RadiusTarget, radius: float) -> str:
    """Return the largest accuracy published for the noise and its sigma, or the best of several sigmas."""
    # rows without a sigma are the best of several; they count for one sigma too, as the stronger comparison
    rows = [
        (row.accuracy[radius], row.name)
        for row in of_question(load_published("cifar10"), question.norm, question.k)
        if row.noise == question.noise and row.sigma in (None, question.sigma) and radius in row.accuracy
    ]
    share, name = max(rows, default=(None, ""))
    return "–" if share is None else f"{share:.1%} ({name})"


def headline(votes: Sequence[radii.Votes]) -> str:
    """Return all targets with their accuracies as a page in Markdown."""
    rows = [row for question in QUESTIONS for row in answer(question, votes)]
    usual, sequential = by_plan(votes)
    names = ["noise", "norm", "k", "radius", "certified accuracy", "by sequential votes"]
    table = markdown_table([*names, "best published for the noise"], rows)
    images = listed(f"{len(run)} images ({run.data})" for run in votes)
    # enumerated noise has all its outcomes for samples
    samples = listed(f"{run.n:,}" for run in usual if not run.noise.outcomes)
    return (
        f"# Certified accuracy in short\n\n{table}\n"
        f"{images}, n = {samples} noise samples per image, α = {ALPHA:g}; splitting noise has no sampling error."
        " The best σ of a radius is chosen by these very images.\n"
        f"{spent(sequential)}"
        "What was published, with sources: `src/radii/report/published/cifar10.toml`; in ℓ₁ and for "
        "SmoothAdv it is the best σ of each radius.\n"
    )


def spent(sequential: Sequence[radii.Votes]) -> str:
    """Return in words how many noise samples the sequential votes took."""
    means = [
        f"{run.samples.mean():,.0f} with {run.noise.name} {run.noise.sigma:g}"
        for run in sorted(sequential, key=lambda run: (run.noise.name, run.noise.sigma))
    ]
    if not means:
        return ""
    most = listed(f"{run.plan.n_max:,}" for run in sequential)
    return (
        "Sequential votes count the label alone. They end when it is decided which of the radii of their plan"
        f" (README.md) are certified, or at {most} samples; they begin with the same noise samples. On average"
        f" they took {', '.join(means)}.\n"
    )


def listed(values: Iterable[str]) -> str:
    """Return the values that occur, each once: `a or b`."""
    return " or ".join(dict.fromkeys(values))


def main() -> None:
    folder = Path(sys.argv[1]) if sys.argv[1:] else FOLDER
    # in the order of the names, which is that of the numbers in the text
    paths = sorted(folder.glob("*/votes*.parquet"))
    if not paths:
        raise SystemExit(f"there are no votes in {folder}: give the folder above the runs")
    page = headline([radii.load_votes(path) for path in paths])
    write_whole(folder / "tables.md", page)
    print(page, end="")


if __name__ == "__main__":
    main()
