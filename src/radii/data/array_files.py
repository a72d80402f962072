"""Arrays in files: `.npz`; `.npy` with its labels in a file beside it; folders of idx files, the form of MNIST."""

import gzip
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from radii.data.dataset import ALL, SPLITS
from radii.data.local_format import WORDS, Decoded, Form, are_words, name_classes, number_labels
from radii.errors import InputError
from radii.storage import atomic
from radii.storage.parquet_pages import most_unpacked

PREFIX = {"train": "train", "test": "t10k"}
BYTES = 8
"""The code of unsigned bytes in an idx file."""


def _file(path: Path, split: str, what: str, dimensions: int) -> Path | None:
    """The file of the `images` or `labels` of a split, by its usual names."""
    stem = f"{PREFIX[split]}-{what}"
    names = [f"{stem}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    return next((path / name for name in names if (path / name).is_file()), None)


def idx_splits(path: Path) -> tuple[str, ...]:
    """Those of which the images are there."""
    return tuple(split for split in SPLITS if _file(path, split, "images", 3))


def read_idx_split(path: Path, split: str) -> Decoded:
    """Images and labels of one split; classes are numbered by the labels of all idx_splits."""
    where = f"{path} {split}"
    labels = {one: _labels(path, one) for one in idx_splits(path)}
    images = _file(path, split, "images", 3)
    assert images is not None
    classes = name_classes(labels.values(), where)
    return Decoded(read_idx(images, 3), number_labels(labels[split], classes, where), classes, named=False)


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


IDX = Form(
    "a folder of idx files", lambda path: path.is_dir() and bool(idx_splits(path)), idx_splits, read_idx_split
)

PAIRS = {"images": "labels", "x": "y"}
"""What images are called, and labels beside them; capital letters or not."""
CLASSES = "classes"
PACKED_BY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy packs with; others unpack to more."""
EXPECTED = "images and labels, or x and y, or x_train, y_train, x_test and y_test"


def find_pairs(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The names of images and labels, by split, or of "all" where there are no splits."""
    there = {name.lower(): name for name in names}
    found = {}
    for images, labels in PAIRS.items():
        if images in there and labels in there:
            found[ALL] = there[images], there[labels]
        for split in SPLITS:
            for form in (f"{{}}_{split}", f"{split}_{{}}"):
                if (pair := (form.format(images), form.format(labels)))[0] in there and pair[1] in there:
                    found[split] = there[pair[0]], there[pair[1]]
    return found


def npz_splits(path: Path) -> tuple[str, ...]:
    """The splits that its names tell apart."""
    with _opened(path) as archive:
        names = _names(archive)
    found = find_pairs(names)
    if not found or (ALL in found and len(found) > 1):
        raise InputError(f"{path} must hold the arrays {EXPECTED}; it holds {', '.join(names) or 'none'}")
    return tuple(split for split in SPLITS if split in found)


def read_npz(path: Path, split: str) -> Decoded:
    """Images and labels of a split; an array `classes` of words names classes, else labels number them."""
    with _opened(path) as archive:
        names = _names(archive)
        pairs = find_pairs(names)
        labels = {one: _read(archive, pair[1]) for one, pair in pairs.items()}
        named = _read(archive, CLASSES) if CLASSES in names else None
        return _found(path, split, _read(archive, pairs[split][0]), labels, named)


def _found(
    path: Path,
    split: str,
    images: np.ndarray,
    labels: Mapping[str, np.ndarray],
    named: np.ndarray | None = None,
) -> Decoded:
    if named is None:
        classes = name_classes(labels.values(), str(path))
    elif named.dtype.kind == WORDS and named.ndim == 1:
        classes = tuple(named.tolist())
    else:
        raise InputError(f"{CLASSES} in {path} must be words, one a class; got {named.dtype}")
    has_names = named is not None or are_words(labels.values())
    return Decoded(images, number_labels(labels[split], classes, str(path)), classes, has_names)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive that a `.npz` is; whatever is wrong with it, or with arrays read from it, is said."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    # of zip files, of zlib, and of Python's own parser, by which numpy reads headers
    except Exception as error:
        raise _damaged(path, error) from error


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array, if it is no bomb; nothing is unpickled."""
    path, info = Path(str(archive.filename)), archive.getinfo(f"{name}.npy")
    if info.compress_type not in PACKED_BY or info.file_size > most_unpacked(path.stat().st_size):
        raise InputError(
            f"{name} in {path} would unpack to {info.file_size} bytes, far more than images do: remove it"
        )
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def read_npy(path: Path, split: str) -> Decoded:
    """Images in the file, labels in the one beside it that `labels_beside` finds."""
    return _found(path, split, open_npy(path), {split: open_npy(labels_beside(path))})


def labels_beside(path: Path) -> Path:
    """`photos_labels.npy` beside `photos.npy`; `labels.npy` beside `images.npy`, `y.npy` beside `x.npy`."""
    stems = [f"{path.stem}_labels"]
    for images, labels in PAIRS.items():
        parts = [labels if part.lower() == images else part for part in path.stem.split("_")]
        stems += ["_".join(parts)] if "_".join(parts) != path.stem else []
    found = [path.with_stem(stem) for stem in stems if path.with_stem(stem).is_file()]
    if len(found) != 1:
        names = " or ".join(f"{stem}.npy" for stem in stems)
        raise InputError(
            f"{path} holds images; their labels must lie beside it in {names}, one file: found {len(found)}"
        )
    return found[0]


def open_npy(path: Path) -> np.ndarray:
    """The array in a `.npy` file, read where it is used."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} holds no arrays that can be read ({error}): store them again, with numbers alone"
    )


def _is(suffix: str, path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == suffix


NPZ = Form("a .npz file", lambda path: _is(".npz", path), npz_splits, read_npz)
NPY = Form("a .npy file", lambda path: _is(".npy", path), lambda path: (), read_npy)


def read_positions(path: Path) -> np.ndarray:
    r"""Read positions of images from a file: one per line, or an array in `.npy`.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    `(n,)`
        Positions in the order of the file, at least one, none below 0, none twice.

    Raises
    ------
    InputError
        If there is no such file, or it holds anything else.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from radii.data import read_positions
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "positions.txt"
    ...     _ = path.write_text("4\n17\n")
    ...     read_positions(path)
    array([ 4, 17])
    """
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
    lines = atomic.read(path).decode("utf-8", errors="replace").split("\n")
    given = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, line in given:
        if not (line.isascii() and line.isdigit() and len(line) <= 18):  # what int64 holds
            raise InputError(
                f"line {number} of {path} must be a position, a whole number from 0; got {line[:40]!r}"
            )
    return np.array([int(line) for _, line in given], dtype=np.int64)
