"""What the page says, as plain data: every number is taken from the certificates, every sentence from them too."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.noises import Additive
from radii.noises.norms import NORMS
from radii.report.accuracy import AccuracyTable, footnotes, marked_names, summarize, tabulate
from radii.report.formatting import NO_BREAK, NORM_NAMES, docstring, draws_text, radius_text, unit_text
from radii.report.html.runs import Run, by_name
from radii.report.plots.strip import class_name
from radii.report.plots.style import noise_colour, run_colours
from radii.report.published import Published, check_same_data
from radii.votes import Votes

NORM_WORDS = {
    "l0": "a few {unit}s change, each as far as it can",
    "l1": "the sum of all changes is bounded",
    "l2": "the Euclidean length of the change is bounded",
    "linf": "every single value changes a little",
}
KIND_WORDS = {
    "best": "Best σ: at each radius the best run of a noise, as published tables have it; see its note.",
    "published": "In italics: published by others, not measured here, with other networks, images and draws."
    " A dash: nothing was published at this radius.",
}
LABEL_WORDS = {
    "true": "the true label of each image",
    "predicted": "the label that separate draws chose",
    "top-k-set": "the whole set of k labels that separate draws chose",
    "given": "labels given by the user",
}


def percent(share: float) -> str:
    """A share of the images, to a tenth of a percent."""
    return f"{100 * share:.1f}"


def main_tables(
    runs: Sequence[Run], norms: Sequence[str], published: Sequence[Published] = ()
) -> dict[str, AccuracyTable]:
    """Certified accuracy at round radii, one table a norm, for the smallest k at hand."""
    return {norm: tabulate(by_name(runs, norm), published=published) for norm in norms}


def table_rows(table: AccuracyTable, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Rows of a table for the page: name, kind, colour, and cells with their text and whether they are best."""
    coloured, names = colours(runs), marked_names(table)
    return [
        {
            "name": names[place],
            "kind": table.kinds[place],
            "colour": coloured.get(table.names[place], noise_colour(table.noises[place])),
            "cells": [
                {"text": "–" if math.isnan(share) else percent(share), "best": bool(top)}
                for share, top in zip(table.shares[place], table.best[place], strict=True)
            ],
        }
        for place in range(len(names))
    ]


def rank_tables(runs: Sequence[Run], norm: str, published: Sequence[Published] = ()) -> list[dict[str, Any]]:
    """Certified top-k accuracy at the round radii of each k above the smallest."""
    return [shown(table, runs) for table in all_tables(runs, [norm], published)[1:]]


def shown(table: AccuracyTable, runs: Sequence[Run]) -> dict[str, Any]:
    """A table as the page shows it."""
    rows, notes = table_rows(table, runs), footnotes(table)
    return {"k": table.k, "headers": table.headers, "rows": rows, "notes": notes}


def legend(tables: Iterable[AccuracyTable]) -> list[dict[str, str]]:
    """What the marks beside the rows mean, where there are others than those of runs."""
    kinds = {kind for table in tables for kind in table.kinds}
    return [{"kind": kind, "words": words} for kind, words in KIND_WORDS.items() if kind in kinds - {"run"}]


def all_tables(
    runs: Sequence[Run], norms: Sequence[str] = NORMS, published: Sequence[Published] = ()
) -> list[AccuracyTable]:
    """Certified accuracy at round radii, one table for each norm and k."""
    asked = sorted({(norm, one.k) for norm in norms for run in runs for one in run.ranks(norm)})
    return [tabulate(by_name(runs, norm, k), published=published) for norm, k in asked]


def radius_rows(runs: Sequence[Run], norm: str) -> list[dict[str, Any]]:
    """For each run and k: accuracy without perturbation, abstention, and the radii that images reach."""
    rows, coloured = [], colours(runs)
    for run in runs:
        for one in run.ranks(norm):
            found = summarize(one)
            radii = [found.mean_radius, *found.quantiles.values()]
            shares = [percent(found.accuracy), percent(found.abstention)]
            cells = [str(one.k), *shares, *(radius_text(radius, norm) for radius in radii)]
            rows.append({"name": run.name, "colour": coloured[run.name], "cells": cells})
    return rows


def summary_sentences(runs: Sequence[Run], tables: dict[str, AccuracyTable]) -> list[str]:
    """Two sentences: who certifies most in each norm, and what a certificate promises."""
    leaders: dict[str, list[str]] = {}
    for norm, table in tables.items():
        name, reach = _leader(table, norm)
        leaders.setdefault(name, []).append(reach)
    most = "" if len(runs) == 1 else "the most "
    found = [
        f"{name} certifies {most}against {_listed(reaches)}" for name, reaches in leaders.items() if name
    ]
    found += [
        f"nothing is certified against {_listed(reaches)}" for name, reaches in leaders.items() if not name
    ]
    data = _range(str(one.data) for one in _all(runs) if one.data)
    images = _range(f"{len(one):,}" for one in _all(runs)) + f" images{f' ({data})' if data else ''}"
    odds = _range(f"{1 - one.alpha:.10g}" for one in _all(runs))
    draws = draws_text(_all(runs))
    promise = (
        f"Each radius is a proof that holds with probability {odds} image by image, over its {draws} noise"
        " draws: no perturbation within it, whatever the attack, moves the label out of its place."
    )
    return [f"Of {images}, {'; '.join(found)}.", promise]


def _leader(table: AccuracyTable, norm: str) -> tuple[str, str]:
    """The best runs near the middle radius of a table, or none, and what they reach there."""
    own = [place for place, note in enumerate(table.notes) if not note]
    shares = table.shares[own]
    held = np.flatnonzero(shares.max(axis=0) > 0)
    middle = len(table.radii) // 2
    column = max(min(middle, held[-1]) if len(held) else 1, 1)
    most = shares[:, column].max()
    best = [table.names[place] for place in own if 0 < table.shares[place, column] == most]
    radius = table.headers[column]
    if norm == "l0":
        radius += f" changed {table.unit}{'s' * (radius != '1')}"
    if not best:
        return "", f"{NORM_NAMES[norm]} changes up to {radius}"
    share = percent(most)
    return " or ".join(best), f"{NORM_NAMES[norm]} ({share}{NO_BREAK}% up to {radius})"


def _listed(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """What was measured, name and value, read off the certificates."""
    every = _all(runs)
    return [
        ("images", _range(f"{len(one):,}" for one in every)),
        ("data", _range(str(one.data or "not named") for one in every)),
        ("inputs", _range(" × ".join(map(str, one.shape)) for one in every) + ", values in [0, 1]"),
        ("draws an image, n", draws_text(every)),
        ("error probability, α", _range(f"{one.alpha:g}" for one in every) + " an image, one-sided"),
        ("plan", _range(one.plan for one in every)),
        ("label certified", _range(LABEL_WORDS.get(one.labels, one.labels) for one in every)),
        ("probability bounds", _range(one.method for one in every)),
        *_drawing([run.votes for run in runs if run.votes is not None]),
    ]


def _drawing(votes: Sequence[Votes]) -> list[tuple[str, str]]:
    """How the votes were drawn, as far as their files are at hand."""
    if not votes:
        return []
    devices = [device for one in votes for device in one.devices]
    return [
        ("precision of the models", _range(one.precision for one in votes)),
        ("noise", _range(map(_rounding, votes))),
        ("seed", _range(str(one.seed) for one in votes)),
        *([("processors", _range(devices))] if devices else []),
        ("software", _range(_versions(one) for one in votes)),
        ("models, by digest", ", ".join(dict.fromkeys(one.model[:12] for one in votes))),
    ]


def _rounding(votes: Votes) -> str:
    """What float32 does to the noise."""
    if votes.noise.of_bytes:
        return "a function of 8-bit images, exact in float32"
    if not isinstance(votes.noise, Additive):
        return "values are kept or replaced, nothing is added that could round"
    return "on a lattice, exact in float32" if votes.exact_arithmetic else "float32, rounded when it is added"


def _versions(votes: Votes) -> str:
    return ", ".join(f"{package} {version}" for package, version in votes.software.items())


def laws(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The law of each run's noise in words, its parameters, and the colour of the run."""
    shades = colours(runs)
    return [
        {
            "name": run.name,
            "colour": shades[run.name],
            "law": (docstring(type(run.noise)) or run.noise.name).splitlines()[0],
            "parameters": f"{run.noise.level_text}, scale {run.noise.scale:.4g}",
        }
        for run in runs
    ]


def rules(runs: Sequence[Run], norms: Sequence[str]) -> list[dict[str, str]]:
    """For each kind of noise and norm: how tight the radius is, and where the rule comes from."""
    kinds = dict.fromkeys(type(run.noise) for run in runs)
    return [
        {"noise": kind.name, "norm": NORM_NAMES[norm], "tightness": rule.tightness, "source": rule.source}
        for kind in kinds
        for norm, rule in kind.rules.items()
        if norm in norms
    ]


def promises(runs: Sequence[Run], norms: Sequence[str]) -> list[str]:
    """What every radius on the page promises, said once; the exact sentence of each is in its JSON."""
    every = _all(runs)
    odds = _range(f"{1 - one.alpha:.10g}" for one in every)
    ks = _listed([str(k) for k in sorted({one.k for one in every})])
    units = {norm: unit_text(norm, one.unit) for norm in norms for one in every if one.norm == norm}
    return [
        f"For each image, with probability at least {odds} over its noise draws, no perturbation whose size is at most"
        " the radius pushes the certified label out of the k most probable labels of the smoothed classifier"
        f" (k = {ks}).",
        *_confined(runs),
        f"Sizes: {'; '.join(f'{NORM_NAMES[norm]} in {unit}' for norm, unit in units.items())}.",
        "The probability is that of each certificate by itself, not of all images at once.",
    ]


def _confined(runs: Sequence[Run]) -> list[str]:
    """Which perturbed images the radii are about, where it is not all."""
    grid = [run.name for run in runs if run.all[0].confined == "grid"]
    boxed = dict.fromkeys(NORM_NAMES[one.norm] for one in _all(runs) if one.confined == "box")
    found = []
    if grid:
        whose = "The" if len(grid) == len(runs) else f"{_listed(grid)}: the"
        found.append(f"{whose} image that comes of it has 8 bits a value again, as the image had.")
    if boxed:
        found.append(f"{_listed(list(boxed))}: it keeps every value in [0, 1].")
    return found


def labels(runs: Sequence[Run], classes: Sequence[str]) -> list[tuple[int, str]]:
    """The labels that occur, with their names."""
    known = {label for run in runs for label in np.unique(run.labels).tolist()}
    return [(label, class_name(label, classes)) for label in sorted(known)]


def colours(runs: Sequence[Run]) -> dict[str, str]:
    """The colour of each run: that of its curves."""
    return dict(zip((run.name for run in runs), run_colours(run.all[0] for run in runs), strict=True))


def check_truth(runs: Sequence[Run]) -> None:
    """A report is about accuracy, so it needs the true labels."""
    for run in runs:
        _ = run.labels


def check_published(runs: Sequence[Run], published: Sequence[Published]) -> None:
    """Published rows are about the same data set as the runs."""
    for one in _all(runs):
        check_same_data(published, one.data)


def _all(runs: Sequence[Run]) -> list[Certificates]:
    return [one for run in runs for one in run.all]


def _range(values: Iterable[str]) -> str:
    """The values that occur, each once."""
    return " or ".join(dict.fromkeys(values))
