"""Files for other programs: certificates as CSV rows, one per image, and summaries as JSON."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.accuracy import summarize
from radii.report.accuracy_table import AccuracyTable, footnotes, marked_names
from radii.report.formatting import BETA, dataset_guarantee, floor_text, identity
from radii.report.leaderboard import HEADERS
from radii.report.round_radii import DECIDING
from radii.storage import atomic

DECIMALS = 7
"""Decimals of radii in the CSV of a run: few enough that another processor's arithmetic gives the same text.

Processors differ by less than 1e-12 (`make test-portable`).
"""


def csv_text(certificates: Certificates) -> str:
    """Return a CSV row per image, floats with all their digits.

    Truth values are 1 or 0, unknown ones are empty, and the labels of a set are separated by spaces.
    """
    columns, unknown = certificates.columns(), [""] * len(certificates)
    return csv_rows(
        tuple(columns),
        zip(*(_cells(column) if column is not None else unknown for column in columns.values()), strict=True),
    )


def _cells(column: Any) -> list[Any]:
    values = np.asarray(column)
    if values.ndim == 2:
        return [" ".join(map(str, labels)) for labels in values.tolist()]
    return (values.astype(int) if values.dtype == bool else values).tolist()


def run_csv_text(certificates: Mapping[tuple[str, int], Certificates]) -> str:
    """Return a CSV row per image and a column of radii for each norm and k, of certificates of the same images.

    Radii are rounded down to `DECIMALS`, except where the plan decides given radii: rounded, these would no longer be
    reached. A cell is empty where the true label is not certified.
    """
    several = list(certificates.values())
    index, labels = several[0].index.tolist(), several[0].true_label
    if any(certified.index.tolist() != index for certified in several):
        raise InputError("certificates in one file must be about the same images, in the same order")
    columns = [_radius_column(certified) for certified in several]
    assert labels is not None, "the columns need true labels, too"
    header = ["index", "true_label", *(f"{norm}_top{k}" for norm, k in certificates)]
    return csv_rows(header, zip(index, labels.tolist(), *columns, strict=True))


def _radius_column(certificates: Certificates) -> list[str]:
    """Return the radius of each image whose true label is certified, rounded down; empty for the others."""
    held = certificates.correctly_certified
    known = zip(certificates.radius.tolist(), held, strict=True)
    if certificates.norm != "l0" and certificates.plan in DECIDING:
        # repr is the shortest text that reads back as the same number
        return [repr(radius) if sure else "" for radius, sure in known]
    # l0 radii are whole numbers
    digits = 0 if certificates.norm == "l0" else DECIMALS
    return [floor_text(radius, digits) if sure else "" for radius, sure in known]


def csv_rows(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a CSV file, floats with all their digits; cells are quoted where their text needs it."""
    text = io.StringIO()
    # csv ends lines with CR LF by itself, and all other files here end them with LF
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def summary(certificates: Certificates) -> dict[str, Any]:
    """Return the identity, the guarantee and the results of a set of certificates, ready for JSON."""
    results = asdict(summarize(certificates))
    # keys of JSON are text
    results["quantiles"] = {f"{share:g}": radius for share, radius in results["quantiles"].items()}
    all_images = {
        "beta": BETA,
        "most_false": certificates.most_false(BETA),
        "guarantee": dataset_guarantee(certificates),
    }
    return {**identity(certificates), "all_images": all_images, "results": results}


def table_json(table: AccuracyTable) -> dict[str, Any]:
    """Return a table of certified accuracy, ready for JSON; null at radii that were not published.

    `kinds` and `notes` describe the rows that are not of a single run, `settings` the conditions of all rows.
    """
    # JSON has no NaN
    shares = np.where(np.isnan(table.shares), None, table.shares).tolist()  # type: ignore[call-overload]
    noted = [row for row in zip(table.names, table.kinds, table.notes, strict=True) if row[2]]
    return {
        "norm": table.norm,
        "unit": table.unit,
        "k": table.k,
        "radii": list(table.radii),
        "accuracy": dict(zip(table.names, shares, strict=True)),
        "kinds": {name: kind for name, kind, _ in noted},
        "notes": {name: note for name, _, note in noted},
        "settings": {
            name: asdict(setting) for name, setting in zip(table.names, table.settings, strict=True)
        },
    }


def table_markdown(table: AccuracyTable) -> str:
    """Return a table of certified accuracy in Markdown: percent, notes below.

    In bold are the best run of each radius and those that paired tests do not separate from it. Beside published rows
    stand the conditions of every row.
    """
    headers, rows = list(table.headers), []
    for name, shares, best, setting in zip(
        marked_names(table), table.shares, table.best, table.settings, strict=True
    ):
        cells = [f"**{cell}**" if top else cell for cell, top in zip(share_cells(shares), best, strict=True)]
        rows.append([name, *cells, *(setting.cells if table.compared else ())])
    if table.compared:
        headers += HEADERS
    notes = "".join(f"\n{line}\n" for line in footnotes(table))
    return markdown_table(["", *headers], rows) + notes


def share_cells(shares: np.ndarray) -> list[str]:
    """Return shares in percent, a dash where none was published."""
    return ["–" if np.isnan(share) else f"{share:.1%}" for share in shares]


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return cells as a table in Markdown, the first column aligned left, the others right."""
    lines = [headers, ["---"] + ["---:"] * (len(headers) - 1), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    """Return text that stays in its cell: names come from files, and could add rows, columns or HTML."""
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")


def slug(name: str) -> str:
    """Return a name as part of a file name: lower-case letters, digits, dots and dashes."""
    # no letter may be left, for example of "σ"; a leading dot would hide the file
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "run"


def json_text(values: Mapping[str, Any]) -> str:
    """Return JSON that every reader accepts: no NaN or infinity, one value per line."""
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file atomically: readers find the old file or the whole new one. Return its path."""
    atomic.write(path, content.encode() if isinstance(content, str) else content)
    return path
