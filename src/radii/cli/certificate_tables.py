"""Tables of certificates: certified accuracy at radii, or radii where true labels are unknown."""

from collections.abc import Mapping, Sequence

import numpy as np

from radii.certificates.certify import Certificates
from radii.cli import console
from radii.cli.tables import Cell, Table
from radii.report.accuracy import same_question, status_names, summarize
from radii.report.accuracy_table import tabulate
from radii.report.formatting import NORM_NAMES, radius_text, unit_text
from radii.report.round_radii import round_radii

MOST = 5
"""Most radii in a table, without those that the user names."""


def radius_caption(norm: str, unit: str, box: bool = False) -> str:
    """Return the unit of the radii in a table, and what confines perturbations."""
    inside = "; perturbations keep images in [0, 1]" if box else ""
    return f"radii in {unit_text(norm, unit)}{inside}\n"


def accuracy_table(certificates: Mapping[str, Certificates], radii: Sequence[float] = ()) -> Table:
    """Return a table of certified accuracy at 0 and `radii`, with plain accuracy, other shares and the median radius.

    It has one row per name. Without `radii`, it shows round ones, at most five, as many as fit the terminal.
    """
    if radii:
        return _accuracy_table(certificates, [0.0, *radii])
    # a table that does not fit is measured as if there were room, since rich would cut it to the width
    unlimited = console.console.options.update(width=10 * console.console.width)
    several = certificates.values()
    # made one at a time, until one fits
    tables = (_accuracy_table(certificates, round_radii(several, most=most)) for most in range(MOST, 1, -1))
    return next(
        (
            table
            for table in tables
            if console.console.measure(table.laid_out(), options=unlimited).maximum <= console.console.width
        ),
        _accuracy_table(certificates, round_radii(several, most=1)),
    )


def _accuracy_table(certificates: Mapping[str, Certificates], radii: Sequence[float]) -> Table:
    rows = tabulate(certificates, radii)
    quantity = "certified accuracy" if rows.k == 1 else f"certified top-{rows.k} accuracy"
    statuses = status_names(certificates.values())
    caption = radius_caption(rows.norm, rows.unit, all(of_name.box for of_name in certificates.values()))
    if "best" in rows.kinds:
        caption = f"best σ: chosen at each radius after looking at the results\n{caption}"
    table = Table(
        headers=("", "plain", *rows.headers, *statuses, "median"),
        title=f"{NORM_NAMES[rows.norm]}: {quantity} at a radius of at least",
        caption=caption,
        about={"norm": rows.norm, "unit": rows.unit, "k": rows.k},
    )
    for name, shares, best in zip(rows.names, rows.shares, rows.best, strict=True):
        cells = [
            Cell(f"{share:.1%}", float(share), bool(top)) for share, top in zip(shares, best, strict=True)
        ]
        # the best of several sigma has no radii of its own
        if name not in certificates:
            table.add_row(name, "", *cells, *[""] * len(statuses), "")
            continue
        numbers = summarize(certificates[name])
        others = [share_cell(numbers.statuses.get(status)) for status in statuses]
        median = Cell(radius_text(numbers.median_radius, rows.norm), numbers.median_radius)
        table.add_row(name, share_cell(numbers.plain_accuracy), *cells, *others, median)
    return table


def unlabelled_table(certificates: Mapping[str, Certificates]) -> Table:
    """Return a table without true labels: the number of images, shares by status, and largest and median radius."""
    norm, unit, k = same_question(certificates.values())
    statuses = status_names(certificates.values())
    table = Table(
        headers=("", "images", *statuses, "largest", "median"),
        title=f"{NORM_NAMES[norm]}: certified top-{k} radii, true labels unknown",
        caption=radius_caption(norm, unit, all(of_name.box for of_name in certificates.values())),
        about={"norm": norm, "unit": unit, "k": k},
    )
    for name, of_name in certificates.items():
        radii = (float(of_name.radius.max()), float(np.median(of_name.radius)))
        shares = [
            share_cell(float((of_name.status == status).mean()) if status in of_name.statuses else None)
            for status in statuses
        ]
        table.add_row(
            name,
            Cell(str(len(of_name)), len(of_name)),
            *shares,
            *(Cell(radius_text(radius, norm), radius) for radius in radii),
        )
    return table


def share_cell(share: float | None) -> Cell:
    """Return a share in percent; a dash where there is none."""
    return Cell("–", None) if share is None else Cell(f"{share:.1%}", share)
