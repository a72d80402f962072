"""The texts and tables of the page, as plain data; every number is read from the certificates and votes."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.noises import Additive
from radii.noises.norms import NORMS
from radii.report.accuracy import status_names, summarize
from radii.report.accuracy_table import AccuracyTable, footnotes, marked_names, tabulate
from radii.report.formatting import (
    NORM_NAMES,
    docstring,
    draws_text,
    probability_text,
    radius_text,
    unit_text,
)
from radii.report.html.run_styles import run_styles
from radii.report.leaderboard import HEADERS
from radii.report.paired import CONFIDENCE
from radii.report.plots.strip import class_name
from radii.report.published import Published
from radii.report.runs import Run, by_name, ks_of
from radii.report.winners import Winners, find_winners
from radii.votes import Votes

OTHERS: dict[str, Any] = {"colour": "var(--soft)", "dash": "", "marker": -1}
"""The look of rows without a curve."""

NORM_WORDS = {
    "l0": "a few {unit}s change by any amount",
    "l1": "the sum of absolute changes is bounded",
    "l2": "the Euclidean norm of the change is bounded",
    "linf": "every value changes by a bounded amount",
}
OWN_LINES = ("run", "imported")
"""Kinds of rows that have a line of their own in the chart."""
KIND_WORDS = {
    "imported": "Imported: from the log of another code, not checked here; see its note.",
    "best": "Best σ: the best run of a noise at each radius, as in published tables; see its note.",
    "published": "Italics: published results, not measured here; networks, images and numbers of noise samples differ."
    " A dash: not published at this radius.",
}
LABEL_WORDS = {
    "true": "the true label of each image",
    "predicted": "the label that separate selection samples chose",
    "top-k-set": "the set of k labels that separate selection samples chose",
    "given": "labels given by the user",
}


def percent(share: float) -> str:
    """Return a share in percent, with one decimal."""
    return f"{100 * share:.1f}"


def styles(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Return how each run is drawn: a variable of the page for its colour, dashes and a marker."""
    return {
        run.name: {"colour": f"var(--run{number})", "dash": style.dash, "marker": style.marker}
        for number, (run, style) in enumerate(zip(runs, run_styles(runs), strict=True))
    }


def colours(runs: Sequence[Run]) -> dict[str, str]:
    """Return the variable of the page for the colour of each run."""
    return {name: style["colour"] for name, style in styles(runs).items()}


# tables


def main_tables(
    runs: Sequence[Run], norms: Sequence[str], published: Sequence[Published] = ()
) -> dict[str, AccuracyTable]:
    """Return a table of certified accuracy for each norm, for the smallest k there is."""
    return {norm: tabulate(by_name(runs, norm), published=published) for norm in norms}


def all_tables(
    runs: Sequence[Run], norms: Sequence[str] = NORMS, published: Sequence[Published] = ()
) -> list[AccuracyTable]:
    """Return a table of certified accuracy for each norm and k."""
    # by k within a norm: `top_k_tables` relies on the smallest k being the first
    pairs = sorted({(norm, certified.k) for norm in norms for run in runs for certified in run.by_k(norm)})
    return [tabulate(by_name(runs, norm, k), published=published) for norm, k in pairs]


def top_k_tables(runs: Sequence[Run], norm: str, published: Sequence[Published] = ()) -> list[dict[str, Any]]:
    """Return tables of certified top-k accuracy for each k above the smallest, for the page."""
    return [table_data(table, runs) for table in all_tables(runs, [norm], published)[1:]]


def table_data(table: AccuracyTable, runs: Sequence[Run]) -> dict[str, Any]:
    """Return a table for the page: its rows have a name, kind, look, and cells with text and a mark of the best.

    Beside published rows stand the conditions of every row, under the heads `settings`.
    """
    looks, names = styles(runs), marked_names(table)
    rows = [
        {
            "name": names[row],
            "kind": table.kinds[row],
            # rows of others, and of several runs, have no curve
            "style": looks.get(table.names[row], OTHERS) if table.kinds[row] in OWN_LINES else OTHERS,
            "cells": [
                {"text": "–" if math.isnan(share) else percent(share), "best": bool(best)}
                for share, best in zip(table.shares[row], table.best[row], strict=True)
            ],
            "setting": table.settings[row].cells if table.compared else (),
        }
        for row in range(len(names))
    ]
    return {
        "k": table.k,
        "headers": table.headers,
        "settings": HEADERS if table.compared else (),
        "rows": rows,
        "notes": footnotes(table),
    }


def legend(tables: Iterable[AccuracyTable]) -> list[dict[str, str]]:
    """Return the meaning of the marks beside rows that are not of a single run."""
    kinds = {kind for table in tables for kind in table.kinds}
    return [{"kind": kind, "words": words} for kind, words in KIND_WORDS.items() if kind in kinds]


def radius_rows(runs: Sequence[Run], norm: str) -> list[dict[str, Any]]:
    """Return for each run and k the shares of images by what is shown of them without perturbation, and radii."""
    rows, looks = [], styles(runs)
    statuses = status_names(certified for run in runs for certified in run.by_k(norm))
    for run in runs:
        for certified in run.by_k(norm):
            summary = summarize(certified)
            others = [
                percent(summary.statuses[status]) if status in summary.statuses else "–"
                for status in statuses
            ]
            shares = [percent(summary.plain_accuracy), percent(summary.certified), *others]
            radii = [radius_text(at, norm) for at in summary.quantiles.values()]
            cells = [str(certified.k), *shares, *radii]
            rows.append({"name": run.name, "style": looks[run.name], "cells": cells})
    return rows


# the summary


def winners_of(runs: Sequence[Run], norms: Sequence[str], k: int | None = None) -> dict[str, Winners]:
    """Return the best runs of each norm, for one k, by default the smallest there is in the norm."""
    return {
        norm: find_winners(by_name(runs, norm, k)) for norm in norms if k is None or by_name(runs, norm, k)
    }


def about(runs: Sequence[Run]) -> str:
    """Return what the page is about: images, runs, noise samples and error probability."""
    data = _range(str(certified.data) for certified in _all(runs) if certified.data)
    images = _range(f"{len(certified):,}" for certified in _all(runs))
    parts = [
        f"{images} image{'s' * (images != '1')}" + f" ({data})" * bool(data),
        f"{len(runs)} run{'s' * (len(runs) != 1)}",
        f"{draws_text(_all(runs))} noise samples per image",
        f"α = {_range(f'{certified.alpha:g}' for certified in _all(runs))}",
    ]
    return " · ".join(parts)


def promise(runs: Sequence[Run]) -> str:
    """Return the guarantee of every radius on the page: what it excludes, and with which probability."""
    ks = ks_of(runs)
    effects = []
    if 1 in ks:
        effects.append("changes the prediction" + " (k = 1)" * (len(ks) > 1))
    if ks[-1] > 1:
        effects.append("removes the label from the top k")
    sampled = [certified for certified in _all(runs) if certified.alpha]
    clauses = []
    if sampled:
        # brackets, because the numbers of a plan that stops early have parentheses of their own
        samples = draws_text(sampled).translate(str.maketrans("()", "[]"))
        clauses.append(f"with probability {_probabilities(sampled)} ({samples} samples)")
    if exact := _without_sampling_error(runs):
        clauses.append(exact if sampled else "without sampling error")
    return (
        f"No perturbation within a certified radius {' or '.join(effects)}. "
        f"This holds for each image {'; '.join(clauses)}."
        + " Of imported runs, it holds if their logs are what they were stated to be."
        * any(certified.unchecked for certified in _all(runs))
    )


def _probabilities(certificates: Iterable[Certificates]) -> str:
    """Return the probabilities with which certificates hold."""
    return _range(probability_text(certified.alpha) for certified in certificates)


def _without_sampling_error(runs: Sequence[Run]) -> str:
    """Return which runs counted all outcomes of their noise, by its name unless other runs sampled it."""
    # a noise that some runs sample and others enumerate would be told wrongly by its name
    sampled = {run.noise.name for run in runs if run.all[0].alpha}
    # certificates that count all outcomes of the noise have alpha = 0
    exact = [run for run in runs if not run.all[0].alpha]
    names = list(
        dict.fromkeys(
            run.name if run.noise.name in sampled else f"{run.noise.title.lower()} noise" for run in exact
        )
    )
    return f"{_listed(names)} {'has' if len(names) == 1 else 'have'} no sampling error" if names else ""


# the method

_TESTS = [
    (
        "comparison of runs",
        f"exact McNemar tests, Holm over all pairs and tested radii of a norm and k, confidence {CONFIDENCE:g}",
    )
]


def facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return what was measured, as pairs of name and value."""
    # runs may differ in any of these: each value is listed once
    every = _all(runs)
    shapes = _range(" × ".join(map(str, certified.shape)) for certified in every)
    alphas = _range(f"{certified.alpha:g}" for certified in every)
    kinds = _range(LABEL_WORDS.get(certified.labels, certified.labels) for certified in every)
    return [
        ("images", _range(f"{len(certified):,}" for certified in every)),
        ("data", _range(str(certified.data or "unnamed") for certified in every)),
        ("inputs", f"{shapes}, values in [0, 1]"),
        ("noise samples per image, n", draws_text(every)),
        ("error probability, α", f"{alphas} per image, one-sided"),
        ("sampling plan", _range(certified.plan for certified in every)),
        ("certified label", kinds),
        ("probability bounds", _range(certified.method for certified in every)),
        *(_TESTS if len(runs) > 1 else []),
        *_sampling_facts([run.votes for run in runs if run.votes is not None and not run.votes.unchecked]),
    ]


def _sampling_facts(votes: Sequence[Votes]) -> list[tuple[str, str]]:
    """Return how the votes were sampled; nothing without votes."""
    if not votes:
        return []
    # votes of older versions record no devices
    devices = [device for record in votes for device in record.devices]
    return [
        ("model precision", _range(record.precision for record in votes)),
        ("rounding of the noise", _range(map(_rounding, votes))),
        ("seed", _range(str(record.seed) for record in votes)),
        *([("processors", _range(devices))] if devices else []),
        ("software", _range(_versions(record) for record in votes)),
        # 48 bits tell the models of a page apart; results need the whole digest, which the votes hold
        ("model digests", ", ".join(dict.fromkeys(_short_digest(record.model) for record in votes))),
    ]


def _short_digest(model: str) -> str:
    """Return the digest of a model, or of each member of an ensemble, cut to 12 digits."""
    return re.sub("[0-9a-f]{64}", lambda found: found[0][:12], model)


def _rounding(votes: Votes) -> str:
    """Return whether float32 rounds when noise is applied."""
    # no theorem covers the rounding of float32, so the page says where it happens
    if votes.noise.of_bytes:
        return "none (a function of 8-bit images)"
    if not isinstance(votes.noise, Additive):
        return "none (values are kept or replaced)"
    return "none (exact arithmetic on a lattice)" if votes.exact_arithmetic else "float32, when it is added"


def _versions(votes: Votes) -> str:
    return ", ".join(f"{package} {version}" for package, version in votes.software.items())


def noises(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return each run's noise in words, its parameters, and the style of the run."""
    looks = styles(runs)
    return [
        {
            "name": run.name,
            "style": looks[run.name],
            # under `python -OO`, an installation without sources has no docstrings
            "words": (docstring(type(run.noise)) or run.noise.name).splitlines()[0],
            "parameters": f"{run.noise.level_text}, scale {run.noise.scale:.4g}",
        }
        for run in runs
    ]


def rules(runs: Sequence[Run], norms: Sequence[str]) -> list[dict[str, str]]:
    """Return how tight the rule of each noise and norm is, and where it comes from."""
    # runs at several levels share the rules of their noise
    kinds = dict.fromkeys(type(run.noise) for run in runs)
    return [
        {"noise": kind.name, "norm": NORM_NAMES[norm], "tightness": rule.tightness, "source": rule.source}
        for kind in kinds
        for norm, rule in kind.rules.items()
        if norm in norms
    ]


def promises(runs: Sequence[Run], norms: Sequence[str]) -> list[str]:
    """Return the guarantee of all radii on the page; report.json has that of each set of certificates."""
    sampled = [certified for certified in _all(runs) if certified.alpha]
    odds = f", with probability at least {_probabilities(sampled)} over its noise samples" if sampled else ""
    ks = _listed([str(k) for k in ks_of(runs)])
    units: dict[str, list[str]] = {}
    for norm in norms:
        unit = next(certified.unit for certified in _all(runs) if certified.norm == norm)
        units.setdefault(unit_text(norm, unit), []).append(NORM_NAMES[norm])
    exact = _without_sampling_error(runs)
    return [
        f"For each image{odds}, no perturbation whose norm is at most the radius removes the certified label from the k"
        f" most probable labels of the smoothed classifier (k = {ks}).",
        # not capitalize(), which would put names of runs in lower case
        *([f"{exact[0].upper()}{exact[1:]}: all outcomes are counted."] if exact else []),
        *_confined(runs),
        *(f"{run.name}: {' '.join(run.all[0].unchecked)}" for run in runs if run.all[0].unchecked),
        f"Units: {'; '.join(f'{unit} ({_listed(names)})' for unit, names in units.items())}.",
        *(
            ["The probability holds for each image and each k separately, not for all at once."]
            if sampled
            else []
        ),
    ]


def _confined(runs: Sequence[Run]) -> list[str]:
    """Return which perturbed images the radii cover, where these are not all."""
    grid = [run.name for run in runs if run.all[0].confined == "grid"]
    boxed = dict.fromkeys(
        NORM_NAMES[certified.norm] for certified in _all(runs) if certified.confined == "box"
    )
    limits = []
    if grid:
        whose = "The" if len(grid) == len(runs) else f"{_listed(grid)}: the"
        limits.append(f"{whose} radii cover perturbed images with 8 bits per value, like the original.")
    if boxed:
        limits.append(f"{_listed(list(boxed))}: the radii cover perturbed images with all values in [0, 1].")
    return limits


def labels(runs: Sequence[Run], classes: Sequence[str]) -> list[tuple[int, str]]:
    """Return the labels that occur, with their names."""
    known = {label for run in runs for label in np.unique(run.labels).tolist()}
    return [(label, class_name(label, classes)) for label in sorted(known)]


def _all(runs: Sequence[Run]) -> list[Certificates]:
    return [certified for run in runs for certified in run.all]


def _listed(parts: Sequence[str]) -> str:
    """Return `a, b and c`."""
    # the first part is empty for a single item
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _range(values: Iterable[str]) -> str:
    """Return the values that occur, each once: `a or b`."""
    return " or ".join(dict.fromkeys(values))
