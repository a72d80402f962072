"""How many forward passes a certificate costs: plans that stop early against the usual 100,000 of every image.

Run: python benchmarks/passes.py [VOTES], a file of votes under Gaussian noise. The shares of votes in it are taken as
the probabilities of a model. What plans do with them is then counted exactly for radii, simulated for two stages; no
network runs.
"""

import sys
from pathlib import Path

import numpy as np
from measure import table

import radii
from radii.certificates.planning import fresh_samples
from radii.noises import Gaussian
from radii.votes.plans import TwoStage, fixed_boundaries

VOTES = Path(__file__).parents[1] / "results" / "cifar10" / "gaussian-0.5" / "votes.parquet"
USUAL, ALPHA, NORM = 100_000, 1e-3, "l2"
BOUNDS = ("binary", "two-event")
"""Methods of the bounds that are compared at a fixed number of samples."""


def probabilities(votes: radii.Votes) -> tuple[np.ndarray, np.ndarray]:
    """Shares of all classes, `(images, classes)`, the true label's first, and of the true label, `(images,)`."""
    rows = np.arange(len(votes))
    share = votes.counts / votes.counts.sum(axis=1, keepdims=True)
    first = np.argsort(np.arange(share.shape[1])[None] != votes.labels[:, None], axis=1, kind="stable")
    return np.take_along_axis(share, first, axis=1), share[rows, votes.labels]


def asked(votes: radii.Votes, p: np.ndarray, multiples: list[float]) -> list[str]:
    """One row: the sequential plan for these multiples of sigma, all on one stream."""
    radii_ = tuple(multiple * votes.noise.sigma for multiple in multiples)
    question = radii.RadiusTarget(votes.noise, NORM, radii_, votes.shape)
    plan = radii.sequential(question, alpha=ALPHA, n_max=USUAL)
    usual = fixed_boundaries(plan.levels, USUAL, ALPHA)
    passes, median, early, late = [], [], [], []
    values, times = np.unique(p, return_counts=True)
    for value in values:
        found = plan.operating_characteristics(float(value))
        passes.append(found.mean_samples)
        median.append(found.quantile(0.5))
        early.append(found.certified)
        late.append(usual.operating_characteristics(float(value)).certified)
    mean = float(np.average(passes, weights=times))
    lost = np.average(np.array(late) - np.array(early), weights=times, axis=0)
    certified = np.average(early, weights=times, axis=0)
    half = float(np.median(np.repeat(median, times)))
    name = ", ".join(f"{multiple:g}" for multiple in multiples) + " sigma"
    shares = ", ".join(f"{share:.1%}" for share in certified) if len(multiples) < 4 else ""
    return [name, f"{mean:,.0f}", f"{half:,.0f}", f"{USUAL / mean:.1f}", shares, f"{100 * lost.max():.2f}"]


def simulated(
    votes: radii.Votes,
    law: np.ndarray,
    plan: radii.Fixed | TwoStage,
    methods: tuple[str | None, ...],
    repeats: int = 20,
) -> tuple[list[float], float]:
    """Mean radius by each method, and mean passes, of many made-up runs, every image's true label first."""
    rng = np.random.default_rng(0)
    law = np.tile(law, (repeats, 1))
    label = np.zeros(len(law), dtype=int)
    if isinstance(plan, TwoStage):
        selection = rng.multinomial(plan.pilot, law)
        n = fresh_samples(plan, votes.noise, plan.pilot - selection[:, 0], shape=votes.shape)
        counts, draws = rng.multinomial(n, law), ()
    else:
        selection = np.zeros(law.shape, dtype=int)
        counts, draws = rng.multinomial(plan.n, law), ((0, plan.n),)
    drawn = radii.Votes(
        counts, selection, label, np.arange(len(law)), votes.noise, votes.shape, plan, draws, 0, "simulated"
    )
    radius = [float(radii.certify(drawn, NORM, alpha=ALPHA, method=how).radius.mean()) for how in methods]
    return radius, float(drawn.samples.mean())


def section(path: Path = VOTES) -> str:
    """All numbers as a section in Markdown."""
    votes = radii.load_votes(path)
    assert isinstance(votes.noise, Gaussian), "the targets are about Gaussian noise"
    law, p = probabilities(votes)
    rows = [asked(votes, p, multiples) for multiples in ([1], [2], [3], [1, 2], [1, 2, 3])]
    rows.append(asked(votes, p, [0.4 * step for step in range(1, 10)]))
    headers = [
        "radius to decide",
        "mean samples",
        "median",
        "baseline / mean",
        "certified",
        "points lost at most",
    ]
    usual, _ = simulated(votes, law, radii.fixed(USUAL, 0), BOUNDS)
    stages = []
    for price in (1e-6, 1.6e-6, 2.4e-6, 4e-6):
        plan = radii.two_stage(
            votes.noise, NORM, shape=votes.shape, n_max=USUAL, price=price * votes.noise.sigma
        )
        (radius,), passes = simulated(votes, law, plan, (None,))
        against = [f"{radius / other - 1:+.2%}" for other in usual]
        stages.append([f"{price:g} sigma", f"{passes:,.0f}", f"{USUAL / passes:.2f}", *against])
    n = f"{votes.counts.sum(axis=1).max():,}"
    return "\n\n".join(
        [
            "## Samples per certificate",
            f"Gaussian noise, sigma {votes.noise.sigma:g}, l2, {len(votes)} images, alpha {ALPHA:g}. Baseline: "
            f"{USUAL:,} noise samples per image. Probabilities are shares of {n} votes of a network ({votes.data}).",
            table(headers, rows),
            "The radius itself, by the two-stage plan with its pilot. Mean radius against that of the baseline, which "
            f"is {usual[0]:.4f} by the label's votes alone (as published) and {usual[1]:.4f} by two-event bounds:",
            table(
                ["price per sample", "mean samples", "baseline / mean", "radius, label", "radius, two-event"],
                stages,
            ),
        ]
    )


def main() -> None:
    print(section(Path(sys.argv[1]) if sys.argv[1:] else VOTES))


if __name__ == "__main__":
    main()
