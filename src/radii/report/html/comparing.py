"""Data of the comparison section: differences of pairs of runs with their bands, tests, and images that flip."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.report.accuracy import certified_radii, certified_to
from radii.report.accuracy_table import runs_tested
from radii.report.comparison import p_text
from radii.report.formatting import radius_text, round_text
from radii.report.html.content import colours, percent
from radii.report.paired import CONFIDENCE, difference_interval
from radii.report.runs import Run, by_name
from radii.report.winners import Winners, find_winners, interval_sentence, radius_sentence

MOST_COMPARED = 4
"""Runs whose pairs are shown, those with the largest accuracy over all tested radii: six pairs."""

POINTS = 120
"""Radii of a curve, enough for 6 pixels each on a chart of 720; l0 has a point per whole number."""

MOST_FLIPS = 10
"""Images shown for each direction of a pair, those whose radii differ the most."""


def comparison_section(runs: Sequence[Run], norm: str, k: int | None = None) -> dict[str, Any] | None:
    """Return the paired comparisons of the runs in one norm, for one k, ready for JSON and for a template.

    `k` defaults to the smallest there is. None for fewer than two runs. The shape:

    - `norm`, `k`, `confidence`; `sentence`, `intervals_sentence`: what may be said about the best run.
    - `strip`: that of `winner_strip`.
    - `pairs`: a record for each pair of the first `MOST_COMPARED` runs, with `names` and `colours` (two each), `images`
      (number of common ones), and, if there are any:
      `curve`: lists `radius`, `difference`, `lower`, `upper`, in shares; the band holds at each radius by itself;
      `headers` and `rows`: texts of a table, a row per tested radius at which either run certifies an image;
      `flip_radius` (text), `flip_counts` (two) and `flips`, with lists `first` and `second` of images that only this
      run certifies to that radius, each with `index` and `radii` (two texts).
    - `left`: number of pairs that are not shown.
    """
    named = by_name(runs, norm, k) if k is not None or any(run.by_k(norm) for run in runs) else {}
    if len(named) < 2:
        return None
    winners = find_winners(named)
    shade = colours(runs)
    # in the order of `winners`, whose rows are looked up below
    adjusted = runs_tested({name: named[name] for name in winners.names}, winners.radii).adjusted
    # stable, so that equal runs stay in their order
    chosen = sorted(np.argsort(-winners.shares.sum(axis=1), kind="stable")[:MOST_COMPARED].tolist())
    pairs = []
    for first, second in combinations(chosen, 2):
        names = winners.names[first], winners.names[second]
        # of the observed direction: the other has a p-value of 1/2 or more
        p = np.minimum(adjusted[first, second], adjusted[second, first])
        pairs.append(
            {
                "names": list(names),
                "colours": [shade[name] for name in names],
                **_pair(winners, named[names[0]], named[names[1]], p),
            }
        )
    return {
        "norm": norm,
        "k": winners.k,
        "confidence": CONFIDENCE,
        "sentence": radius_sentence(winners),
        "intervals_sentence": interval_sentence(winners),
        "strip": winner_strip(winners, shade),
        "pairs": pairs,
        "left": len(named) * (len(named) - 1) // 2 - len(pairs),
    }


def winner_strip(winners: Winners, shade: dict[str, str]) -> list[dict[str, Any]]:
    """Return the intervals of radii with their best runs, ready for JSON; `shade`: the colour of each run."""
    strip = []
    for interval in winners.intervals:
        first, last = (round_text(radius, winners.norm) for radius in (interval.first, interval.end))
        strip.append(
            {
                "start": interval.start,
                "end": interval.end,
                "text": first if first == last else f"{first} to {last}",
                "winners": list(interval.winners),
                "colours": [shade[name] for name in interval.winners],
                "clear": interval.clear,
            }
        )
    return strip


def _pair(
    winners: Winners, first: Certificates, second: Certificates, adjusted: np.ndarray
) -> dict[str, Any]:
    """Return the curve, the tests and the flips of one pair; `adjusted`: p-values over all pairs, `(radii,)`."""
    index, rows, others = np.intersect1d(first.index, second.index, return_indices=True)
    if not len(index):
        return {"images": 0}

    def held(radii: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        return certified_to(first, radii)[:, rows], certified_to(second, radii)[:, others]

    radii = _curve_radii(winners.norm, max(certified_radii(one).max() for one in (first, second)))
    difference, band = _differences(*held(radii), len(index))
    one, other = held(winners.radii)
    tested, intervals = _differences(one, other, len(index))
    typical = winners.typical
    reached = certified_radii(first)[rows], certified_radii(second)[others]
    lengths = reached[0] - reached[1]

    def flipped(only: np.ndarray, gain: np.ndarray) -> list[dict[str, Any]]:
        places = np.flatnonzero(only)
        shown = places[np.argsort(-gain[places], kind="stable")][:MOST_FLIPS]
        return [
            {
                "index": int(index[place]),
                "radii": [radius_text(of_run[place], winners.norm) for of_run in reached],
            }
            for place in shown
        ]

    flips = (one[typical] & ~other[typical], other[typical] & ~one[typical])
    return {
        "images": len(index),
        "curve": {
            "radius": radii,
            "difference": difference.tolist(),
            "lower": band[:, 0].tolist(),
            "upper": band[:, 1].tolist(),
        },
        "headers": ["radius", "first, %", "second, %", "difference, points", "95 % interval", "adjusted p"],
        "rows": [
            [
                round_text(radius, winners.norm),
                percent(one[column].mean()),
                percent(other[column].mean()),
                f"{100 * tested[column]:+.1f}",
                "{:+.1f} to {:+.1f}".format(*(100 * intervals[column])),
                p_text(adjusted[column]),
            ]
            for column, radius in enumerate(winners.radii)
            if one[column].any() or other[column].any()
        ],
        "flip_radius": round_text(winners.radii[typical], winners.norm),
        "flip_counts": [int(only.sum()) for only in flips],
        "flips": {"first": flipped(flips[0], lengths), "second": flipped(flips[1], -lengths)},
    }


def _differences(one: np.ndarray, other: np.ndarray, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return differences of shares `(radii,)` and their intervals `(radii, 2)`."""
    more, less = (one & ~other).sum(axis=1), (other & ~one).sum(axis=1)
    return (more - less) / images, difference_interval(more, less, images)


def _curve_radii(norm: str, last: float) -> list[float]:
    """Return radii from 0 to the largest one."""
    radii = np.linspace(0, last, POINTS)
    # unique, since nothing may be certified beyond 0
    return np.unique(radii.round() if norm == "l0" else radii).tolist()
