"""Certificates -> files for other programs: one CSV row an image, one JSON summary a set of certificates."""

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
from radii.report.accuracy import SETTLING, AccuracyTable, footnotes, marked_names, summarize
from radii.report.formatting import floor_text, identity
from radii.storage import atomic

COLUMNS = ("index", "true_label", "label", "correct", "abstained", "lower", "radius")
DECIMALS = 7
"""Of the radii of a whole run: few enough that another machine's arithmetic gives the same text."""


def csv_text(certificates: Certificates) -> str:
    """One row an image, floats with all their digits.

    Truth is written 1 or 0, what is unknown is empty, and a whole set of labels has spaces between them.
    """
    one = certificates
    known = one.true_label is not None
    columns = (
        one.index.tolist(),
        one.true_label.tolist() if one.true_label is not None else [""] * len(one),
        [" ".join(map(str, labels)) for labels in one.label.reshape(len(one), -1).tolist()],
        one.correct.astype(int).tolist() if known else [""] * len(one),
        one.abstained.astype(int).tolist(),
        one.lower.tolist(),
        one.radius.tolist(),
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def run_csv_text(certificates: Mapping[tuple[str, int], Certificates]) -> str:
    """One row an image and one column of radii for each norm and k, of certificates about the same images.

    Radii are rounded down to `DECIMALS`, but for plans that settle given radii, which are then reached; empty where the
    true label is not certified at all.
    """
    several = list(certificates.values())
    if any(one.index.tolist() != several[0].index.tolist() for one in several):
        raise InputError("certificates in one file must be about the same images, in the same order")
    columns = [_held_texts(one) for one in several]
    labels = several[0].true_label
    assert labels is not None, "else it would be unknown what is held"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "true_label", *(f"{norm}_top{k}" for norm, k in certificates)])
    writer.writerows(zip(several[0].index.tolist(), labels.tolist(), *columns, strict=True))
    return text.getvalue()


def _held_texts(certificates: Certificates) -> list[str]:
    """The radius of each image whose true label is certified, rounded down; nothing for the others."""
    held = certificates.correct & ~certificates.abstained
    known = zip(certificates.radius.tolist(), held, strict=True)
    if certificates.norm != "l0" and certificates.plan in SETTLING:
        return [repr(radius) if sure else "" for radius, sure in known]
    digits = 0 if certificates.norm == "l0" else DECIMALS
    return [floor_text(radius, digits) if sure else "" for radius, sure in known]


def summary(certificates: Certificates) -> dict[str, Any]:
    """What the certificates are, what they promise and what they reach, ready for JSON."""
    reached = asdict(summarize(certificates))
    reached["quantiles"] = {f"{share:g}": radius for share, radius in reached["quantiles"].items()}
    return {**identity(certificates), "results": reached}


def table_json(table: AccuracyTable) -> dict[str, Any]:
    """A table of certified accuracies, ready for JSON; what was not published is null.

    `kinds` and `notes` say what the rows are that are not of one run.
    """
    known = np.where(np.isnan(table.shares), None, table.shares).tolist()  # type: ignore[call-overload]
    rows = dict(zip(table.names, known, strict=True))
    other = [
        (name, kind, note)
        for name, kind, note in zip(table.names, table.kinds, table.notes, strict=True)
        if note
    ]
    return {
        "norm": table.norm,
        "unit": table.unit,
        "k": table.k,
        "radii": list(table.radii),
        "accuracy": rows,
        "kinds": {name: kind for name, kind, _ in other},
        "notes": {name: note for name, _, note in other},
    }


def table_markdown(table: AccuracyTable) -> str:
    """A table of certified accuracies in Markdown, percent, the best of each radius in bold, notes below."""
    rows = []
    for name, shares, best in zip(marked_names(table), table.shares, table.best, strict=True):
        cells = ["–" if np.isnan(share) else f"{share:.1%}" for share in shares]
        rows.append([name, *(f"**{cell}**" if top else cell for cell, top in zip(cells, best, strict=True))])
    notes = "".join(f"\n{line}\n" for line in footnotes(table))
    return markdown_table(["", *table.headers], rows) + notes


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells as a table in Markdown, the first column to the left and numbers to the right."""
    lines = [headers, ["---"] + ["---:"] * (len(headers) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def slug(name: str) -> str:
    """A name as part of a file name: small letters, digits, points and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "run"


def json_text(values: Mapping[str, Any]) -> str:
    """JSON that any reader takes: no NaN or infinity, one value a line."""
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file so that at any moment it is either the old one or the whole new one."""
    atomic.write(path, content.encode() if isinstance(content, str) else content)
    return path
