"""The first screen: a card for each norm with plain and certified accuracy, intervals, and the size of a radius."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from radii.report.accuracy import AccuracyTable
from radii.report.formatting import NORM_NAMES
from radii.report.html.runs import Run, by_name

PARTS = (0.25, 0.5, 1.0)
"""Radii on a card, beside 0: those nearest to these parts of the largest one."""

NORMAL = 1.959963984540054
"""Quantile .975 of the normal distribution."""


def wilson(count: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, by Wilson's score: for other images drawn as these were.

    Notes
    -----
    Of the usual intervals it is the one whose coverage stays closest to 95 % for shares near 0 and 1, also with few
    images (Brown, Cai, DasGupta 2001). The program of the page draws the same.
    """
    share, weight = count / of, NORMAL**2 / of
    middle = (share + weight / 2) / (1 + weight)
    half = NORMAL * math.sqrt(share * (1 - share) / of + weight / of / 4) / (1 + weight)
    # exactly 0 and 1 at the ends, which rounding would miss
    return (middle - half if count else 0.0), (middle + half if count < of else 1.0)


def norm_card(runs: Sequence[Run], norm: str, table: AccuracyTable) -> dict[str, Any]:
    """Return what the card of a norm shows; `table`: certified accuracy of the runs in this norm."""
    compared = by_name(runs, norm)
    columns = _columns(table)
    lines = [_line("plain accuracy", {name: one.correct for name, one in compared.items()})]
    for column in columns:
        radius = table.radii[column]
        held = {name: one.correctly_certified & (one.radius >= radius) for name, one in compared.items()}
        lines.append(_line(f"r = {table.headers[column]}", held))
    first = next(iter(compared.values()))
    middle = columns[len(columns) // 2] if columns else 0
    return {
        "norm": norm,
        "k": table.k,
        "lines": lines,
        "verdict": "",
        "scale": scale_sentence(norm, table.radii[middle], table.headers[middle], first.shape, table.unit),
    }


def _columns(table: AccuracyTable) -> list[int]:
    """Return a few columns above radius 0, spread to the last one in which at least 5 % are certified."""
    own = table.shares[[row for row, kind in enumerate(table.kinds) if kind == "run"]].max(axis=0)
    # at least the first radius, or a card of few certificates would show none
    reached = [column for column in range(1, len(table.radii)) if own[column] >= 0.05 or column == 1]
    picks = {
        min(reached, key=lambda column: abs(table.radii[column] - part * table.radii[reached[-1]]))
        for part in PARTS
        if reached
    }
    return sorted(picks)


def _line(name: str, held: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the largest share of any run and its interval."""
    # the first of equal ones
    run = max(held, key=lambda known: held[known].mean())
    low, high = wilson(int(held[run].sum()), len(held[run]))
    return {
        "name": name,
        "run": run,
        "share": f"{100 * held[run].mean():.1f}",
        # outwards: an interval must not look narrower than it is
        "low": f"{math.floor(1000 * low) / 10:.1f}",
        "high": f"{math.ceil(1000 * high) / 10:.1f}",
    }


def scale_sentence(norm: str, radius: float, text: str, shape: Sequence[int], unit: str) -> str:
    """Return in a sentence how large a perturbation of a radius is; `text`: the radius as it is written."""
    if not radius:
        return ""
    values = math.prod(shape)
    if norm == "l0":
        all_units = values if unit == "feature" else math.prod(shape[1:])
        whose = f"{text} {unit}{'s' * (radius != 1)} of {all_units:,}"
        return f"Radius {text}: any change of any {whose}."
    name = NORM_NAMES[norm]
    levels = 255 * radius / {"linf": 1.0, "l2": math.sqrt(values), "l1": values}[norm]
    grey = f"{levels:.2g} of 255 grey levels"
    if norm == "linf":
        return f"{name} radius {text}: every one of the {values:,} values changes by up to {grey}."
    if norm == "l2":
        one = "one value changes from 0 to 1" if radius == 1 else f"one value changes by {radius:.3g}"
        if radius > 1:
            one = f"{math.floor(radius**2):,} values change from 0 to 1"
        return f"{name} radius {text}: for example, {one}, or all {values:,} by {grey} each."
    one = f"one value changes by {radius:.3g}" if radius < 1 else "one value changes from 0 to 1"
    if radius >= 2:
        one = f"{math.floor(radius):,} values change from 0 to 1"
    return f"{name} radius {text}: for example, {one}, or all {values:,} by {grey} each."
