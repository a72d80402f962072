"""Positions of images in a file: one a line, or stored by numpy."""

from pathlib import Path

import numpy as np

from radii import files
from radii.data.arrays import open_npy
from radii.errors import InputError


def read_positions(path: Path) -> np.ndarray:
    """Positions `(n,)` in the order of the file, at least one, none below 0, none twice."""
    if not path.is_file():
        raise InputError(f"there is no file {path} of positions")
    found = open_npy(path) if path.suffix == ".npy" else _lines(path)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not len(found) or found.min() < 0:
        raise InputError(f"{path} must hold positions of images, whole numbers from 0, at least one")
    values, times = np.unique(found, return_counts=True)
    if len(values) < len(found):
        raise InputError(f"{path} names the position {values[times > 1][0]} more than once")
    return np.array(found)


def _lines(path: Path) -> np.ndarray:
    lines = files.read(path).decode("utf-8", errors="replace").split("\n")
    given = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, line in given:
        if not (line.isascii() and line.isdigit() and len(line) <= 18):  # what int64 holds
            raise InputError(
                f"line {number} of {path} must be a position, a whole number from 0; got {line[:40]!r}"
            )
    return np.array([int(line) for _, line in given], dtype=np.int64)
