"""Arrays of numbers in files of others: `.npy`, `.npz` and CSV, read without running code or filling the memory.

Two layouts are made of them. A table of class counts has a row per image. The folder of rs4a (Yang et al. 2020), and of
its fork for splitting noise (Levine & Feizi 2021), has one `.npy` file per quantity.
"""

import csv
import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from radii.errors import InputError
from radii.storage import atomic

MOST_BYTES = 2**30
"""Bytes of a file, and of the arrays in it: 10^6 images with 100 classes have 0.8 GB."""
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
SELECTION = "selection_"
"""Beginning of the names of columns of selection counts in a CSV table."""


def read_content(path: Path) -> bytes:
    """Return the content of a file of at most `MOST_BYTES`."""
    if not path.exists():
        raise InputError(f"there is no file {path}")
    size = atomic.openable(path).stat().st_size
    if size > MOST_BYTES:
        raise InputError(
            f"{path} has {size:,} bytes, more than the {MOST_BYTES:,} of any log: give a smaller part"
        )
    return atomic.read(path)


def read_text(content: bytes, path: object) -> str:
    """Return content as text; raise `InputError` for any other."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InputError(f"{path} is neither text, as logs and tables of counts are, nor arrays of numpy")
    return text


def read_npy(content: bytes, path: object) -> np.ndarray:
    """Return the numbers that `numpy.save` wrote; raise `InputError` for other content, such as Python objects."""
    file = io.BytesIO(content)
    try:
        shape, _, dtype = HEADERS[np.lib.format.read_magic(file)](file)
    # numpy raises whatever a damaged header leads to; format 3.0 is that of structured arrays
    except (
        ValueError,
        KeyError,
        EOFError,
        SyntaxError,
        TypeError,
        OverflowError,
        RecursionError,
        tokenize.TokenError,
    ) as error:
        raise InputError(f"{path} is not an array that numpy.save wrote: save it again") from error
    if dtype.hasobject:
        raise InputError(f"{path} holds Python objects, which may run code when they are read: save numbers")
    if dtype.kind not in "biuf":
        raise InputError(f"{path} must hold real numbers; got {dtype}")
    # before numpy makes room for what the header claims
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise InputError(f"{path} is damaged: it does not hold the {shape} numbers of {dtype} that it claims")
    file.seek(0)
    return np.load(file, allow_pickle=False)


def read_npz(content: bytes, path: object) -> dict[str, np.ndarray]:
    """Return the arrays that `numpy.savez` wrote, by name."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            # `read` unpacks no more than the size that the archive states, and then fails
            if sum(member.file_size for member in members) > MOST_BYTES:
                raise InputError(f"{path} would unpack to more than {MOST_BYTES:,} bytes")
            named = [member for member in members if member.filename.endswith(".npy")]
            if len({member.filename for member in named}) < len(named):
                raise InputError(f"{path} holds two arrays of one name")
            return {
                member.filename.removesuffix(".npy"): read_npy(
                    archive.read(member), f"{member.filename} in {path}"
                )
                for member in named
            }
    except InputError:
        raise
    # zlib and zipfile raise these for damaged archives, encrypted ones and unknown compressions
    except (zipfile.error, zlib.error, struct.error, RuntimeError, ValueError, EOFError, OSError) as error:
        raise InputError(f"{path} is not a whole archive of numpy.savez: save it again") from error


def read_table(text: str, path: object) -> dict[str, np.ndarray]:
    """Return the arrays of a CSV table of counts: `counts`, and what it has of `index`, `labels` and `selection`.

    The first line has names. `index` and `label` are such columns, `selection_` begins those of selection counts, and
    all others are classes, in the order of their columns.
    """
    delimiter = "\t" if "\t" in text.split("\n", 1)[0] else ","
    try:
        lines = [line for line in csv.reader(text.splitlines(), delimiter=delimiter) if any(line)]
    except csv.Error as error:
        raise InputError(f"{path} is no table in CSV ({error})") from error
    names, rows = [name.strip() for name in lines[0]] if lines else [], lines[1:]
    if (
        not rows
        or len(set(names)) < len(names)
        or {"", "idx", "predict", "radius", "correct"} & {*names}
        # the first row of a table without names
        or (names[0].isdigit() and "label" not in names)
    ):
        raise InputError(
            f"{path} is neither a log with the columns idx, label, predict, radius and correct nor a table of counts, "
            f"whose first line names columns: label, optionally index, and one for each class"
        )
    columns: dict[str, list[int]] = {name: [] for name in names}
    for number, row in enumerate(rows, 2):
        if len(row) != len(names):
            raise InputError(f"row {number} of {path} has {len(row)} columns of {len(names)}")
        for name, cell in zip(names, row, strict=True):
            columns[name].append(_count(cell.strip(), f"row {number} of {path}"))
    chosen = [name for name in names if name.startswith(SELECTION)]
    classes = [name for name in names if name not in ("index", "label", *chosen)]
    if chosen and [name.removeprefix(SELECTION) for name in chosen] != classes:
        raise InputError(
            f"{path} must have selection counts of the same classes, in the same order, as counts: "
            f"{', '.join(classes)[:80]}"
        )
    arrays = {"counts": _stacked(columns, classes, len(rows))}
    if chosen:
        arrays["selection"] = _stacked(columns, chosen, len(rows))
    for name, array in (("index", "index"), ("label", "labels")):
        if name in columns:
            arrays[array] = np.array(columns[name], dtype=np.int64)
    # numbers alone are no names
    return arrays | ({} if all(name.isdigit() for name in classes) else {"classes": np.array(classes)})


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays `preds`, `prob_lb` and `labels` of a folder of rs4a, as far as they are there."""
    arrays = {
        name: read_npy(read_content(folder / f"{name}.npy"), folder / f"{name}.npy")
        for name in ("preds", "prob_lb", "labels")
        if (folder / f"{name}.npy").is_file()
    }
    if "preds" not in arrays:
        raise InputError(
            f"{folder} must hold preds.npy, and prob_lb.npy or all outcomes of splitting noise, as rs4a saves them"
        )
    return arrays


def whole_numbers(array: np.ndarray, what: str) -> np.ndarray:
    """Return numbers of any type as int64; raise `InputError` unless they are whole, at least 0, and fit."""
    if array.dtype.kind not in "biuf" or not np.all(np.isfinite(array)):
        raise InputError(f"{what} must be finite numbers")
    if array.size and (array.min() < 0 or array.max() >= 2**53 or np.any(array != np.floor(array))):
        raise InputError(f"{what} must be whole numbers from 0; found {array.min():g} to {array.max():g}")
    return array.astype(np.int64)


def _stacked(columns: Mapping[str, list[int]], names: Sequence[str], rows: int) -> np.ndarray:
    """Return columns as a table of whole numbers, `(rows, names)`."""
    return np.array([columns[name] for name in names], dtype=np.int64).reshape(len(names), rows).T


def _count(cell: str, where: str) -> int:
    text = cell.removesuffix(".0")
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InputError(f"counts, labels and index are whole numbers from 0; {where} has {cell[:40]!r}")
    return int(text)


def only(arrays: Mapping[str, np.ndarray], known: tuple[str, ...], path: object) -> None:
    """Raise `InputError` for an array that would be passed over."""
    if unknown := sorted(arrays.keys() - {*known}):
        raise InputError(
            f"{path} holds {unknown[0]!r}, which no table of counts has; known: {', '.join(known)}"
        )
