"""Arrays in files: `.npz`, `.npy` with the labels in a second file, and folders of idx files, the format of MNIST."""

import gzip
import math
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from radii.data.dataset import ALL, SPLITS
from radii.data.local_format import TEXT, Decoded, Format, are_words, name_classes, number_labels
from radii.errors import InputError
from radii.storage import atomic
from radii.storage.parquet_pages import most_unpacked

# positions of images ------------------------------------------------------------------------------


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
    positions = open_npy(path) if path.suffix == ".npy" else _read_lines(path)
    if positions.ndim != 1 or positions.dtype.kind not in "iu" or not len(positions) or positions.min() < 0:
        raise InputError(f"{path} must hold positions of images, whole numbers from 0, at least one")
    # a position that comes twice would count its image twice in a certified accuracy
    unique, times = np.unique(positions, return_counts=True)
    if len(unique) < len(positions):
        raise InputError(f"{path} names the position {unique[times > 1][0]} more than once: keep one of them")
    return positions


def _read_lines(path: Path) -> np.ndarray:
    # splitlines() also splits at form feeds and Unicode separators, and editors would then number lines differently
    lines = atomic.read(path).decode("utf-8", errors="replace").split("\n")
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    for number, line in numbered:
        # isdigit alone accepts "²"; 18 digits fit into int64
        if not (line.isascii() and line.isdigit() and len(line) <= 18):
            raise InputError(
                f"line {number} of {path} must be a position, a whole number from 0; got {line[:40]!r}"
            )
    return np.array([int(line) for _, line in numbered], dtype=np.int64)


# .npz and .npy ------------------------------------------------------------------------------------

PAIRS = {"images": "labels", "x": "y"}
"""Names of arrays of images, and of their labels; in upper or lower case."""
CLASSES = "classes"
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The two that numpy writes, and the only ones of which Python's zipfile limits what a single read unpacks.

bzip2 packs 100 MB of zeros into 113 bytes, which zipfile would unpack in one piece, whatever size the archive names.
"""
EXPECTED = "images and labels, or x and y, or x_train, y_train, x_test and y_test"


def npz_splits(path: Path) -> tuple[str, ...]:
    """Return the splits that the names of the arrays define."""
    with _opened(path) as archive:
        names = _names(archive)
    pairs = find_pairs(names, path)
    # images without a split beside those of splits: they may be the same ones, or belong to none
    if not pairs or (ALL in pairs and len(pairs) > 1):
        raise InputError(f"{path} must hold the arrays {EXPECTED}; it holds {', '.join(names) or 'none'}")
    return tuple(split for split in SPLITS if split in pairs)


def read_npz(path: Path, split: str) -> Decoded:
    """Return images and labels of a split; class names come from an array `classes`, or from the labels."""
    with _opened(path) as archive:
        names = _names(archive)
        pairs = find_pairs(names, path)
        # labels of all splits, since they name the classes together; images only of one, since they are large
        labels = {name: _read(archive, pair[1]) for name, pair in pairs.items()}
        classes = _read(archive, CLASSES) if CLASSES in names else None
        return _decoded(path, split, _read(archive, pairs[split][0]), labels, classes)


def find_pairs(names: Iterable[str], path: Path) -> dict[str, tuple[str, str]]:
    """Return the names of images and labels for each split, or for "all" if the names define no splits.

    Raises `InputError` if several arrays could be those of one split, for example `images` and `x`, or `x` and `X`.
    """
    known: dict[str, list[str]] = {}
    for name in names:
        known.setdefault(name.lower(), []).append(name)
    forms = {ALL: ("{}",), **{split: (f"{{}}_{split}", f"{split}_{{}}") for split in SPLITS}}
    pairs = {}
    for split, of_split in forms.items():
        of_names = [
            (form.format(images), form.format(labels))
            for form in of_split
            for images, labels in PAIRS.items()
        ]
        found = [
            name for pair in of_names if known.keys() >= set(pair) for one in pair for name in known[one]
        ]
        if len(found) > 2:
            raise InputError(
                f"{path} must hold one array of images and one of labels per split; for {split} it holds "
                f"{', '.join(found)}: keep one of each"
            )
        if found:
            pairs[split] = found[0], found[1]
    return pairs


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the archive of a `.npz`; errors of opening it and of reading its arrays become `InputError`."""
    try:
        with zipfile.ZipFile(atomic.openable(path)) as archive:
            yield archive
    except (InputError, MemoryError):
        raise
    # of zipfile, of zlib, and of Python's parser, by which numpy reads the headers of arrays
    except Exception as error:
        raise _damaged(path, error) from error


def _names(archive: zipfile.ZipFile) -> list[str]:
    names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    # readers differ in which of equal names they take
    if len(set(names)) < len(names):
        raise ValueError("a name comes twice")
    return names


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Return one array, without unpickling; reject it if it would unpack to too much."""
    path, info = Path(str(archive.filename)), archive.getinfo(f"{name}.npy")
    if info.compress_type not in COMPRESSIONS or info.file_size > most_unpacked(path.stat().st_size):
        raise InputError(
            f"{name} in {path} would unpack to {info.file_size} bytes, far more than images need: remove it"
        )
    with archive.open(info) as file:
        return _with_bytes(np.lib.format.read_array(file, allow_pickle=False))


def _with_bytes(array: np.ndarray) -> np.ndarray:
    """Return the array; raise `ValueError` if its values take no bytes: a header could claim any number of them."""
    if not array.dtype.itemsize:
        raise ValueError(f"its values of the type {array.dtype} are empty")
    return array


def read_npy(path: Path, split: str) -> Decoded:
    """Return the images in the file, with the labels from the file beside it."""
    return _decoded(path, split, open_npy(path), {split: open_npy(labels_beside(path))})


def labels_beside(path: Path) -> Path:
    """Return `photos_labels.npy` for `photos.npy`, `labels.npy` for `images.npy`, `y.npy` for `x.npy`."""
    stems = [f"{path.stem}_labels"]
    for images, labels in PAIRS.items():
        stem = "_".join(labels if part.lower() == images else part for part in path.stem.split("_"))
        stems += [stem] if stem != path.stem else []
    # with two files, one of them has labels of other images, and both may have as many
    files = [path.with_stem(stem) for stem in stems if path.with_stem(stem).is_file()]
    if len(files) != 1:
        names = " or ".join(f"{stem}.npy" for stem in stems)
        raise InputError(
            f"{path} holds images; their labels must lie beside it in {names}, one file: found {len(files)}"
        )
    return files[0]


def open_npy(path: Path) -> np.ndarray:
    """Return the array in a `.npy` file."""
    # not mapped into memory: if a mapped file shrinks, the next access to it ends the process (SIGBUS)
    try:
        # open_memmap fails where a header claims more values than the file holds; np.load would allocate them first
        _with_bytes(np.lib.format.open_memmap(atomic.openable(path), mode="r"))
        return np.load(atomic.openable(path), allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # as for archives
        raise _damaged(path, error) from error


def _decoded(
    path: Path,
    split: str,
    images: np.ndarray,
    labels: Mapping[str, np.ndarray],
    names: np.ndarray | None = None,
) -> Decoded:
    if names is None:
        classes = name_classes(labels.values(), str(path))
    elif names.dtype.kind == TEXT and names.ndim == 1:
        classes = tuple(names.tolist())
    else:
        raise InputError(f"{CLASSES} in {path} must be words, one per class; got {names.dtype}")
    named = names is not None or are_words(labels.values())
    return Decoded(images, number_labels(labels[split], classes, str(path)), classes, named)


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} holds no arrays that can be read ({error}): store them again, with numbers alone"
    )


def _is_file(path: Path, suffix: str) -> bool:
    return path.is_file() and path.suffix.lower() == suffix


NPZ = Format("a .npz file", lambda path: _is_file(path, ".npz"), npz_splits, read_npz)
NPY = Format("a .npy file", lambda path: _is_file(path, ".npy"), lambda path: (), read_npy)


# folders of idx files -----------------------------------------------------------------------------

PREFIX = {"train": "train", "test": "t10k"}
UNSIGNED_BYTES = 8
"""The code of this type in an idx file."""


def idx_splits(path: Path) -> tuple[str, ...]:
    """Return the splits whose images exist."""
    return tuple(split for split in SPLITS if _idx_file(path, split, "images", 3))


def read_idx_split(path: Path, split: str) -> Decoded:
    """Return images and labels of a split; the labels of all splits together give the classes."""
    where = f"{path} {split}"
    labels = {name: _idx_labels(path, name) for name in idx_splits(path)}
    images = _idx_file(path, split, "images", 3)
    assert images is not None
    classes = name_classes(labels.values(), where)
    return Decoded(read_idx(images, 3), number_labels(labels[split], classes, where), classes, named=False)


def _idx_labels(path: Path, split: str) -> np.ndarray:
    file = _idx_file(path, split, "labels", 1)
    if file is None:
        raise InputError(f"{path} has {split} images but no {PREFIX[split]}-labels-idx1-ubyte: add it")
    return read_idx(file, 1)


def _idx_file(path: Path, split: str, content: str, dimensions: int) -> Path | None:
    """Return the file of the `images` or `labels` of a split under any of its usual names; None if there is none."""
    stem = f"{PREFIX[split]}-{content}"
    # copies with a dot in place of the second dash are common
    names = [f"{stem}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    return next((path / name for name in names if (path / name).is_file()), None)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return an array of bytes from a file of two zeros, codes of type and dimensions, the sizes, and the values."""
    size, start = path.stat().st_size, 4 + 4 * dimensions
    header = _first_bytes(path, start)
    if len(header) < start or header[:4] != bytes([0, 0, UNSIGNED_BYTES, dimensions]):
        raise InputError(f"{path} is not an idx file of bytes in {dimensions} dimensions: fetch another copy")
    shape = tuple(np.frombuffer(header[4:], dtype=">u4").tolist())
    count = math.prod(shape)
    # before anything is unpacked: the header alone can claim 2^96 values
    if count > most_unpacked(size):
        raise InputError(
            f"{path} claims {count} values, far more than its {size} bytes can be: fetch another copy"
        )
    # one byte more tells whether the file goes on
    content = _first_bytes(path, start + count + 1)[start:]
    if len(content) != count:
        kind = "fewer" if len(content) < count else "more"
        raise InputError(f"{path} must hold {count} values and holds {kind}: fetch another copy")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _first_bytes(path: Path, count: int) -> bytes:
    """Return the first `count` bytes of a file, or all if there are fewer; of `.gz`, those of the content."""
    try:
        with (
            gzip.open(atomic.openable(path))
            if path.suffix == ".gz"
            else open(atomic.openable(path), "rb") as file
        ):
            return file.read(count)
    # gzip raises EOFError for a file that ends early, and zlib's own error for damaged content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be unpacked ({error}): fetch another copy") from error


IDX = Format(
    "a folder of idx files", lambda path: path.is_dir() and bool(idx_splits(path)), idx_splits, read_idx_split
)
