"""Arrays that numpy stored: `.npz` with images and labels, `.npy` with images and its labels in a file beside it."""

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from radii.data.base import ALL, SPLITS
from radii.data.form import Form, Found
from radii.data.labels import WORDS, are_words, name_classes, number_labels
from radii.errors import InputError
from radii.unpacked import most_unpacked

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


def read_npz(path: Path, split: str) -> Found:
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
) -> Found:
    if named is None:
        classes = name_classes(labels.values(), str(path))
    elif named.dtype.kind == WORDS and named.ndim == 1:
        classes = tuple(named.tolist())
    else:
        raise InputError(f"{CLASSES} in {path} must be words, one a class; got {named.dtype}")
    has_names = named is not None or are_words(labels.values())
    return Found(images, number_labels(labels[split], classes, str(path)), classes, has_names)


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


def read_npy(path: Path, split: str) -> Found:
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
