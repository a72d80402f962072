"""What attacks found, beside the votes: lengths of perturbations as CSV rows."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.export import slug
from radii.storage import atomic

ATTACKS = "attacks"
"""The folder beside a votes file in which `radii report --attacks` looks for the files of `radii attack --out`."""

ATTACK_COLUMNS = ["index", "label", "certified", "found"]

TOLERANCE = 1e-7
"""Relative difference up to which a radius in a file is that of the certificates.

Other processors change radii by less than 1e-12 (`make test-portable`).
"""


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
    # of whole numbers beyond 64 bits, numpy makes an array that is no numbers
    except (ValueError, TypeError, csv.Error):
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
