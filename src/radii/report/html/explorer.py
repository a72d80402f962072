"""What the page's own program draws: the certified radius of every image, by run, norm and k."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.report.formatting import NORM_NAMES, unit_text
from radii.report.html.content import colours
from radii.report.html.runs import Run


def explorer_data(runs: Sequence[Run], norms: Sequence[str], classes: Sequence[str] = ()) -> dict[str, Any]:
    """Radii of all images in image units, null where the true label is not certified, ready for JSON.

    `images`: all that any run is about, by position; `rows` of a run: which of these it is about. `found`: lengths
    of the shortest moves by which attacks pushed labels out, null where none did. All with all their digits, so that a
    radius that was asked for is reached.
    """
    labels = _labels(runs)
    index = sorted(labels)
    place = {position: row for row, position in enumerate(index)}
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
                "rows": [place[position] for position in run.index.tolist()],
            }
            for run in runs
        ],
        "series": [_series(number, run, one) for number, run in enumerate(runs) for one in run.all],
    }


def ks_of(runs: Sequence[Run]) -> list[int]:
    """Every k that any run is certified for."""
    return sorted({one.k for run in runs for one in run.all})


def script_json(values: dict[str, Any]) -> str:
    """JSON that can stand inside a page: nothing in it ends the element."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _labels(runs: Sequence[Run]) -> dict[int, int]:
    """The true label of each image, by its position."""
    known: dict[int, int] = {}
    for run in runs:
        known |= dict(zip(run.index.tolist(), run.labels.tolist(), strict=True))
    return known


def _norm(runs: Sequence[Run], norm: str) -> dict[str, Any]:
    unit = next(one.unit for run in runs for one in run.ranks(norm))
    return {"key": norm, "name": NORM_NAMES[norm], "unit": unit_text(norm, unit)}


def _series(number: int, run: Run, one: Certificates) -> dict[str, Any]:
    held = one.correct & ~one.abstained
    radii = [
        radius if sure else None for radius, sure in zip(one.radius.tolist(), held.tolist(), strict=True)
    ]
    series: dict[str, Any] = {"run": number, "norm": one.norm, "k": one.k, "radii": radii}
    if (one.norm, one.k) in run.attacks:
        lengths = run.attacks[one.norm, one.k].tolist()
        series["found"] = [None if math.isinf(length) else length for length in lengths]
    return series


def attack_sentences(run: Run, norm: str) -> list[str]:
    """What attacks on a run did in one norm, for each k that was attacked."""
    return [
        _attack_words(one, run.attacks[norm, one.k])
        for one in run.ranks(norm)
        if (norm, one.k) in run.attacks
    ]


def _attack_words(one: Certificates, found: np.ndarray) -> str:
    held = one.correct & ~one.abstained & (one.radius > 0)
    pushed = held & np.isfinite(found)
    inside = pushed & (found <= one.radius)
    rank = "" if one.k == 1 else f" of the top {one.k}"
    if not pushed.any():
        return f"attacks pushed none of {held.sum()} labels out{rank}"
    ratio = np.median(found[pushed] / one.radius[pushed])
    where = "none within its radius" if not inside.any() else f"{inside.sum()} within their radius"
    return (
        f"attacks pushed {pushed.sum()} of {held.sum()} certified labels out{rank}, {where}, the median of them at"
        f" {ratio:.2f} certified radii"
    )
