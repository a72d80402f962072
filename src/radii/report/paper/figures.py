"""The figures of a paper about some runs: their names, how they are drawn, and the data behind them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from radii.certificates.certify import Certificates
from radii.certificates.radius import certified_radius
from radii.report.accuracy import (
    accuracy_curve,
    empirical_curve,
    label_probabilities,
    probability_curve,
    summarize,
)
from radii.report.formatting import NORM_NAMES, radius_text
from radii.report.html.page import METRIC
from radii.report.html.pictures import equal_noises
from radii.report.plots import Drawing, accuracy_by_k, accuracy_by_noise, probability_distribution
from radii.report.plots.theory import even_probabilities, radius_by_probability
from radii.report.published import Published, of_question
from radii.report.runs import Run, by_name, ks_of

Rows = list[tuple[object, ...]]
_CURVES = ("row", "k", "kind", "radius", "share")
"""Columns of the data of curves: a certified share holds up to its radius, an attacked one from its radius on."""


@dataclass(frozen=True)
class Figure:
    """A figure of a paper.

    Parameters
    ----------
    name : of its files
    draw : draws it in the look that holds when it is called
    columns, rows : of its data
    note : what its caption adds
    cited : key of a work that the note cites, empty without one
    """

    name: str
    draw: Callable[[], Drawing]
    columns: tuple[str, ...]
    rows: Rows
    note: str = ""
    cited: str = ""


def figures_of(runs: Sequence[Run], norms: Sequence[str], published: Sequence[Published]) -> Iterator[Figure]:
    """Return the figures: certified accuracy by norm and by k, radii by probability, and the distribution of p_A."""
    for norm in norms:
        yield _accuracy(runs, norm, published)
        yield from _top_k(runs, norm, published)
        yield _theory(runs, norm)
    yield _probabilities(runs)


def _accuracy(runs: Sequence[Run], norm: str, published: Sequence[Published]) -> Figure:
    compared = by_name(runs, norm)
    first = next(iter(compared.values()))
    attacks = {
        run.name: run.attacks[norm, first.k]
        for run in runs
        if run.name in compared and (norm, first.k) in run.attacks
    }
    rows: Rows = []
    for name, certified in compared.items():
        rows += _steps(name, certified, attacks.get(name))
    for row in of_question(published, norm, first.k, first.unit):
        rows += [(row.name, row.k, "published", radius, share) for radius, share in row.accuracy.items()]
    return Figure(
        f"accuracy-{norm}",
        lambda: accuracy_by_noise(compared, published, attacks=attacks),
        _CURVES,
        rows,
        # only here, where the curve stands beside it
        f"Average certified radius, of each curve, which alone is a poor metric: {mean_radii(compared)}",
        METRIC,
    )


def mean_radii(certificates: Mapping[str, Certificates]) -> str:
    """Return the average certified radius of each, for the caption of their curves: `Laplace: 0.51, Uniform: 0.49`."""
    means = [
        (name, radius_text(summarize(certified).mean_radius, certified.norm))
        for name, certified in certificates.items()
    ]
    return ", ".join(f"{name}: {mean}" for name, mean in means)


def _top_k(runs: Sequence[Run], norm: str, published: Sequence[Published]) -> Iterator[Figure]:
    counts = Counter(run.noise for run in runs)
    for run in runs:
        by_k = run.by_k(norm)
        if len(by_k) > 1:
            attacks = {one.k: run.attacks[norm, one.k] for one in by_k if (norm, one.k) in run.attacks}
            rows = [row for one in by_k for row in _steps(run.name, one, attacks.get(one.k))]
            yield Figure(
                f"topk-{norm}-{run.slug}",
                # the figure is drawn when the loop is at another run
                _draw_top_k(by_k, published, run.name if counts[run.noise] > 1 else "", attacks),
                _CURVES,
                rows,
            )


def _draw_top_k(
    by_k: Sequence[Certificates], published: Sequence[Published], name: str, attacks: Mapping[int, np.ndarray]
) -> Callable[[], Drawing]:
    return lambda: accuracy_by_k(by_k, published, name=name, attacks=attacks)


def _steps(name: str, certificates: Certificates, lengths: np.ndarray | None) -> Rows:
    """Return the steps of certified accuracy and, where attacked, of the empirical one, without thinning."""
    curves = [("certified", accuracy_curve(certificates))]
    if lengths is not None:
        curves.append(("attacked", empirical_curve(certificates.correct, lengths)))
    return [
        (name, certificates.k, kind, radius, share)
        for kind, (radii, shares) in curves
        for radius, share in zip(radii.tolist(), shares.tolist(), strict=True)
    ]


def _theory(runs: Sequence[Run], norm: str) -> Figure:
    noises, first = equal_noises(runs, norm), next(iter(by_name(runs, norm).values()))
    lower, rows = even_probabilities(), Rows()
    for noise in noises:
        radii = certified_radius(noise, norm, lower, shape=first.shape, unit=first.unit)
        rows += [
            (noise.title, noise.level, probability, radius)
            for probability, radius in zip(lower.tolist(), radii.tolist(), strict=True)
        ]
    return Figure(
        f"radius-{norm}",
        lambda: radius_by_probability(
            noises, norm, first.shape, unit=first.unit, n=first.n, alpha=first.alpha
        ),
        ("noise", "level", "probability", "radius"),
        rows,
        f"One {NORM_NAMES[norm]} radius for each lower bound.",
    )


def _probabilities(runs: Sequence[Run]) -> Figure:
    k = ks_of(runs)[0]
    # the bounds of a run are the same in every norm
    named = {run.name: next(one for one in run.all if one.k == k) for run in runs if k in ks_of([run])}
    rows: Rows = []
    for name, certified in named.items():
        bounds, shares = probability_curve(label_probabilities(certified))
        rows += [
            (name, k, bound, share) for bound, share in zip(bounds.tolist(), shares.tolist(), strict=True)
        ]
    return Figure(
        "probability",
        lambda: probability_distribution(named),
        ("row", "k", "lower", "share"),
        rows,
        "The dotted line is one half, above which the label is the most probable one; radii follow from the bound",
        METRIC,
    )
