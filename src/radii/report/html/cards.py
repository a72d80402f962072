"""The first screen: a card for each norm with plain and certified accuracy, intervals, and the size of a radius."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.report.accuracy import certified_to
from radii.report.formatting import NORM_NAMES, round_text
from radii.report.paired import paired_tests, share_interval
from radii.report.runs import Run, by_name
from radii.report.winners import Winners, as_sentence, radius_sentence

LEAST = 0.05
"""Share of the images that is certified to the last radius on a card, at least."""

NO_DIFFERENCE = "no clear difference"


def norm_card(runs: Sequence[Run], winners: Winners) -> dict[str, Any]:
    """Return what the card of a norm shows; `winners`: of the runs in this norm."""
    compared = by_name(runs, winners.norm, winners.k)
    columns = _columns(winners)
    lines = [
        _line(
            "plain accuracy", {name: one.correct for name, one in compared.items()}, _plain_leaders(compared)
        )
    ]
    for column in columns:
        radius = winners.radii[column]
        held = {name: certified_to(one, [radius])[0] for name, one in compared.items()}
        leading = [
            name for name, leads in zip(winners.names, winners.leaders[:, column], strict=True) if leads
        ]
        lines.append(_line(f"r = {round_text(radius, winners.norm)}", held, leading))
    first, typical = next(iter(compared.values())), winners.radii[winners.typical]
    verdict = radius_sentence(winners)
    return {
        "norm": winners.norm,
        "k": winners.k,
        "lines": lines,
        "verdict": as_sentence(verdict) if len(compared) > 1 or not winners.shares.any() else "",
        "scale": scale_sentence(
            winners.norm, typical, round_text(typical, winners.norm), first.shape, winners.unit
        ),
    }


def _columns(winners: Winners) -> list[int]:
    """Return columns of the tested radii: the typical one, the last with 5 % of the images, and the middle of both."""
    best, radii = winners.shares.max(axis=0), np.array(winners.radii)
    # the first radius, where nothing is certified that far
    last = max([column for column in range(len(best)) if best[column] >= LEAST] or [0])
    typical = min(winners.typical, last)
    middle = int(np.abs(radii - (radii[typical] + radii[last]) / 2).argmin())
    return sorted({typical, middle, last})


def _plain_leaders(compared: Mapping[str, Certificates]) -> list[str]:
    """Return the runs with the highest plain accuracy, as far as paired tests can tell; the images may differ."""
    index = np.unique(np.concatenate([one.index for one in compared.values()]))
    known = np.array([np.isin(index, one.index) for one in compared.values()])
    right = np.array([np.isin(index, one.index[one.correct]) for one in compared.values()])
    leaders = paired_tests(right[:, None], known).leaders()[:, 0]
    return [name for name, leads in zip(compared, leaders, strict=True) if leads]


def _line(name: str, held: Mapping[str, np.ndarray], leading: Sequence[str]) -> dict[str, Any]:
    """Return the largest share of any run with its interval, and the run where it clearly is the best."""
    run = max(held, key=lambda known: held[known].mean())
    low, high = share_interval(held[run].sum(), len(held[run])).tolist()
    return {
        "name": name,
        "share": f"{100 * held[run].mean():.1f}",
        # outwards: an interval must not look narrower than it is
        "low": f"{math.floor(1000 * low) / 10:.1f}",
        "high": f"{math.ceil(1000 * high) / 10:.1f}",
        "best": leading[0] if len(leading) == 1 else NO_DIFFERENCE if leading else "",
        "separated": len(leading) == 1,
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
