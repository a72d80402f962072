"""Data for the program of the page: the certified radius of every image, by run, norm and k; results of attacks."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.report.formatting import NORM_NAMES, unit_text
from radii.report.html.content import colours
from radii.report.html.runs import Run, ks_of


def explorer_data(runs: Sequence[Run], norms: Sequence[str], classes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the radii of all images, ready for JSON.

    Radii are in image units, null where the true label is not certified. They keep all their digits, so that a radius
    that the plan decided is reached. `images`: those of any run, by position in the data set; `rows` of a run: its
    images among these. `found`: lengths of the shortest perturbations by which attacks removed labels, null where none
    did.
    """
    labels = _labels(runs)
    index = sorted(labels)
    row_of = {position: row for row, position in enumerate(index)}
    shades = colours(runs)
    return {
        "images": {"index": index, "label": [labels[position] for position in index]},
        "classes": list(classes),
        "norms": [_norm(runs, norm) for norm in norms],
        "ks": ks_of(runs),
        "runs": [
            {
                "name": run.name,
                "colour": shades[run.name],
                "rows": [row_of[position] for position in run.index.tolist()],
            }
            for run in runs
        ],
        "series": [
            _series(number, run, certified) for number, run in enumerate(runs) for certified in run.all
        ],
    }


def _labels(runs: Sequence[Run]) -> dict[int, int]:
    """Return the true label of each image, by its position in the data set."""
    # `check_runs` found one data set, so runs agree on the labels that they share
    labels: dict[int, int] = {}
    for run in runs:
        labels |= dict(zip(run.index.tolist(), run.labels.tolist(), strict=True))
    return labels


def _norm(runs: Sequence[Run], norm: str) -> dict[str, Any]:
    unit = next(certified.unit for run in runs for certified in run.by_k(norm))
    return {"key": norm, "name": NORM_NAMES[norm], "unit": unit_text(norm, unit)}


def _series(number: int, run: Run, certificates: Certificates) -> dict[str, Any]:
    """Return the radii of one set of certificates, and lengths of perturbations where it was attacked."""
    norm, k = certificates.norm, certificates.k
    held = certificates.correctly_certified.tolist()
    radii = [
        radius if sure else None for radius, sure in zip(certificates.radius.tolist(), held, strict=True)
    ]
    series: dict[str, Any] = {"run": number, "norm": norm, "k": k, "radii": radii}
    if (norm, k) in run.attacks:
        lengths = run.attacks[norm, k].tolist()
        series["found"] = [None if math.isinf(length) else length for length in lengths]
    return series


def script_json(values: dict[str, Any]) -> str:
    """Return JSON that can stand inside a page: without "<" nothing in it ends the element."""
    # NaN is no JSON, and one would stop the whole program; letters stay as they are, since the page is UTF-8
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def attack_sentences(run: Run, norm: str) -> list[str]:
    """Return the results of attacks on a run in one norm, a sentence for each k that was attacked."""
    return [
        _attack_sentence(certified, run.attacks[norm, certified.k])
        for certified in run.by_k(norm)
        if (norm, certified.k) in run.attacks
    ]


def _attack_sentence(certificates: Certificates, lengths: np.ndarray) -> str:
    # images of radius 0 are not attacked, and have no ratio
    held = certificates.correctly_certified & (certificates.radius > 0)
    removed = held & np.isfinite(lengths)
    inside = removed & (lengths <= certificates.radius)
    changed = "changed {} of {} certified predictions"
    if certificates.k > 1:
        changed = "removed {} of {} certified labels from the top {}"
    if not removed.any():
        return "attacks " + changed.format("none", held.sum(), certificates.k)
    # the median, since a few long perturbations would move the mean
    ratio = np.median(lengths[removed] / certificates.radius[removed])
    where = f"{inside.sum()} within their radius" if inside.any() else "none within its radius"
    return (
        f"attacks {changed.format(removed.sum(), held.sum(), certificates.k)}, {where}; "
        f"the median length is {ratio:.2f} certified radii"
    )
