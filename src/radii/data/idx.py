"""A folder of idx files, as MNIST and its kin come (LeCun et al. 1998): images and labels of each split, gz or not."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from radii.data.base import SPLITS
from radii.data.form import Form, Found
from radii.data.labels import name_classes, number_labels
from radii.errors import InputError
from radii.unpacked import most_unpacked

PREFIX = {"train": "train", "test": "t10k"}
BYTES = 8
"""The code of unsigned bytes in an idx file."""


def _file(path: Path, split: str, what: str, dimensions: int) -> Path | None:
    """The file of the `images` or `labels` of a split, by its usual names."""
    stem = f"{PREFIX[split]}-{what}"
    names = [f"{stem}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    return next((path / name for name in names if (path / name).is_file()), None)


def splits(path: Path) -> tuple[str, ...]:
    """Those of which the images are there."""
    return tuple(split for split in SPLITS if _file(path, split, "images", 3))


def read(path: Path, split: str) -> Found:
    """Images and labels of one split; classes are numbered by the labels of all splits."""
    where = f"{path} {split}"
    labels = {one: _labels(path, one) for one in splits(path)}
    images = _file(path, split, "images", 3)
    assert images is not None
    classes = name_classes(labels.values(), where)
    return Found(read_idx(images, 3), number_labels(labels[split], classes, where), classes, named=False)


def _labels(path: Path, split: str) -> np.ndarray:
    file = _file(path, split, "labels", 1)
    if file is None:
        raise InputError(f"{path} has {split} images but no {PREFIX[split]}-labels-idx1-ubyte: add it")
    return read_idx(file, 1)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An array of bytes: two zeros, the code of its type, its number of dimensions, its sizes, its values."""
    size, start = path.stat().st_size, 4 + 4 * dimensions
    header = _beginning(path, start)
    if len(header) < start or header[:4] != bytes([0, 0, BYTES, dimensions]):
        raise InputError(f"{path} is no idx file of bytes in {dimensions} dimensions: fetch another copy")
    shape = tuple(np.frombuffer(header[4:], dtype=">u4").tolist())
    count = math.prod(shape)
    if count > most_unpacked(size):
        raise InputError(
            f"{path} claims {count} values, far more than its {size} bytes can be: fetch another copy"
        )
    content = _beginning(path, start + count + 1)[start:]
    if len(content) != count:
        kind = "fewer" if len(content) < count else "more"
        raise InputError(f"{path} must hold {count} values and holds {kind}: fetch another copy")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _beginning(path: Path, count: int) -> bytes:
    """The first `count` bytes of a file, or all if there are fewer; unpacked if its name says that it is packed."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            return file.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be unpacked ({error}): fetch another copy") from error


FORM = Form("a folder of idx files", lambda path: path.is_dir() and bool(splits(path)), splits, read)
