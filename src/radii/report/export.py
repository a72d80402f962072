"""Files for other programs: certificates and attacks as CSV rows, one per image, and summaries as JSON."""

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
from radii.report.accuracy import DECIDING, AccuracyTable, footnotes, marked_names, summarize
from radii.report.formatting import BETA, dataset_guarantee, floor_text, identity
from radii.storage import atomic

DECIMALS = 7
"""Decimals of radii in the CSV of a run: few enough that another processor's arithmetic gives the same text.

Processors differ by less than 1e-12 (`make test-portable`).
"""

ATTACKS = "attacks"
"""The folder beside a votes file in which `radii report --attacks` looks for the files of `radii attack --out`."""

ATTACK_COLUMNS = ["index", "label", "certified", "found"]

TOLERANCE = 1e-7
"""Relative difference up to which a radius in a file is that of the certificates.

Other processors change radii by less than 1e-12 (`make test-portable`).
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
    """Return a CSV file; cells are quoted where their text needs it."""
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

    `kinds` and `notes` describe the rows that are not of a single run.
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
    }


def table_markdown(table: AccuracyTable) -> str:
    """Return a table of certified accuracy in Markdown: percent, the best of each radius in bold, notes below."""
    rows = []
    for name, shares, best in zip(marked_names(table), table.shares, table.best, strict=True):
        cells = ["–" if np.isnan(share) else f"{share:.1%}" for share in shares]
        rows.append([name, *(f"**{cell}**" if top else cell for cell, top in zip(cells, best, strict=True))])
    notes = "".join(f"\n{line}\n" for line in footnotes(table))
    return markdown_table(["", *table.headers], rows) + notes


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return cells as a table in Markdown, the first column aligned left, the others right."""
    lines = [headers, ["---"] + ["---:"] * (len(headers) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


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


def attacks_name(votes: Path, norm: str, k: int) -> str:
    """Return the name of the file about attacks on a votes file in one norm and k."""
    return f"{slug(votes.stem)}-{norm}-top{k}.csv"


def attacks_text(certificates: Certificates, rows: np.ndarray, found: np.ndarray) -> str:
    """Return the file about the attacked `rows` of some certificates, numbers with all their digits.

    `found`: `(rows,)`, the lengths of the shortest perturbations that removed the label from the top k, or infinity.
    """
    lines = [",".join(ATTACK_COLUMNS)]
    radii = certificates.radius[rows].tolist()
    for row, radius, length in zip(rows, radii, found.tolist(), strict=True):
        lines.append(f"{certificates.index[row]},{certificates.label[row]},{radius},{length}")
    return "\n".join(lines) + "\n"


def found_beside(
    votes: Path, certificates: Mapping[tuple[str, int], Certificates]
) -> dict[tuple[str, int], np.ndarray]:
    """Return the results of attacks stored beside a votes file, for each norm and k that was attacked.

    Parameters
    ----------
    votes : path of the votes file
    certificates : from these votes, by norm and k

    Returns
    -------
    dict
        By norm and k: `(images,)`, the length of the shortest perturbation found that removes the label from the top
        k, infinite where none was found. Empty where nothing was attacked.

    Raises
    ------
    InputError
        If a file is about other certificates, for example under another alpha.
    """
    folder, results = votes.parent / ATTACKS, {}
    for (norm, k), certified in certificates.items():
        path = folder / attacks_name(votes, norm, k)
        # radii attack may have been run for some of the norms and k only
        if path.is_file():
            results[norm, k] = read_found(path, certified)
    return results


def read_found(path: Path, certificates: Certificates) -> np.ndarray:
    """Return the lengths in one file, `(images,)`; raise `InputError` if it is about other certificates."""
    try:
        header, *lines = csv.reader(atomic.openable(path).read_text(encoding="utf-8").splitlines())
        numbers = np.array(
            [(int(index), int(label), float(radius), float(length)) for index, label, radius, length in lines]
        ).reshape(-1, 4)
        # infinity stands for no perturbation; one of length 0 would be the certified image itself
        valid = header == ATTACK_COLUMNS and not np.isnan(numbers).any() and (numbers[:, 3] > 0).all()
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"{path} is not what radii attack writes: index, label, certified, found")
    # a file is bound to its certificates by their labels and radii, since it records neither alpha nor plan
    row_of = {int(index): row for row, index in enumerate(certificates.index)}
    # -1 where the certificates lack the image, which is rejected below
    rows = np.array([row_of.get(int(index), -1) for index in numbers[:, 0]], dtype=np.int64)
    if not (
        (rows >= 0).all()
        and len(np.unique(rows)) == len(rows)
        and np.array_equal(certificates.label[rows], numbers[:, 1])
        and np.allclose(certificates.radius[rows], numbers[:, 2], rtol=TOLERANCE, atol=0)
    ):
        raise InputError(
            f"{path} is about other certificates than these votes give at alpha = {certificates.alpha:g}: attack again"
        )
    lengths = np.full(len(certificates), np.inf)
    lengths[rows] = numbers[:, 3]
    return lengths
