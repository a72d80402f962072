"""The file of what attacks found, a row an image: written by `radii attack`, read beside the certificates again."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.export import slug

FOLDER = "attacks"
"""Beside a votes file: what `radii attack --out` wrote about it."""
HEADER = ["index", "label", "certified", "found"]
DIGITS = 1e-7
"""Another processor may differ by so much in a certified radius."""


def file_name(votes: Path, norm: str, k: int) -> str:
    """Of what attacks in one norm and k found about a votes file."""
    return f"{slug(votes.stem)}-{norm}-top{k}.csv"


def attacked_text(certificates: Certificates, rows: np.ndarray, found: np.ndarray) -> str:
    """The images attacked, with certified radius and the shortest move found, with all their digits."""
    one, lines = certificates, [",".join(HEADER)]
    for row, certified, length in zip(rows, one.radius[rows].tolist(), found.tolist(), strict=True):
        lines.append(f"{one.index[row]},{one.label[row]},{certified},{length}")
    return "\n".join(lines) + "\n"


def found_beside(
    votes: Path, certificates: Mapping[tuple[str, int], Certificates]
) -> dict[tuple[str, int], np.ndarray]:
    """For each norm and k that were attacked, the lengths of the moves that pushed labels out, `(images,)`.

    Infinite where none did; empty where nothing was attacked. Files of other certificates, as under another alpha, are
    an error.
    """
    folder, found = votes.parent / FOLDER, {}
    for (norm, k), one in certificates.items():
        path = folder / file_name(votes, norm, k)
        if path.is_file():
            found[norm, k] = read_found(path, one)
    return found


def read_found(path: Path, certificates: Certificates) -> np.ndarray:
    """The lengths in one file, `(images,)`, which must be about these very certificates."""
    try:
        header, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
        numbers = np.array(
            [
                (int(index), int(label), float(certified), float(length))
                for index, label, certified, length in rows
            ]
        ).reshape(-1, 4)
        fits = header == HEADER and not np.isnan(numbers).any() and (numbers[:, 3] > 0).all()
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"{path} is not what radii attack writes: index, label, certified, found")
    place = {int(index): row for row, index in enumerate(certificates.index)}
    at = np.array([place.get(int(index), -1) for index in numbers[:, 0]], dtype=np.int64)
    same = (at >= 0).all() and len(np.unique(at)) == len(at)
    if not (
        same
        and np.array_equal(certificates.label[at], numbers[:, 1])
        and np.allclose(certificates.radius[at], numbers[:, 2], rtol=DIGITS, atol=0)
    ):
        raise InputError(
            f"{path} is about other certificates than these votes give at alpha = {certificates.alpha:g}: attack again"
        )
    lengths = np.full(len(certificates), np.inf)
    lengths[at] = numbers[:, 3]
    return lengths
