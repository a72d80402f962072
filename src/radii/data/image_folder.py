"""Folders of image files with one subfolder per class, optionally below train and test."""

from functools import partial
from pathlib import Path

import numpy as np

from radii.data.dataset import ALL, SPLITS, take_turns
from radii.data.decoding import SUFFIXES, stack
from radii.data.local_format import Decoded, Format
from radii.errors import InputError
from radii.storage.atomic import read as read_file
from radii.storage.class_names import in_order
from radii.storage.parquet_pages import most_unpacked


def splits(path: Path) -> tuple[str, ...]:
    """Return those of "train" and "test" that are folders of folders."""
    return tuple(split for split in SPLITS if (path / split).is_dir() and subfolders(path / split))


def read(path: Path, split: str, upright: bool = True) -> Decoded:
    """Return the images of a split: classes take turns, and each class is ordered by file name."""
    root, classes = path if split == ALL else path / split, classes_of(path)
    # such an image would be left out without notice; other files, such as a README, do no harm
    for file in visible(root):
        if file.is_file() and file.suffix.lower() in SUFFIXES:
            raise InputError(f"{file} is an image outside the class folders: move it into one, or remove it")
    files = [(label, file) for label, name in enumerate(classes) for file in images_in(root / name)]
    if not files:
        raise InputError(f"the class folders of {root} hold no images: expected files {', '.join(SUFFIXES)}")
    labels = np.array([label for label, _ in files])
    order = take_turns(labels)
    # of all files together: a flat drawing may pack far better than the mean
    most = most_unpacked(sum(file.stat().st_size for _, file in files))
    # a generator, so that only one encoded file at a time is in memory beside the pixels
    contents = ((str(file), read_file(file)) for file in (files[row][1] for row in order))
    images, turned = stack(contents, len(files), most, upright)
    return Decoded(images, labels[order], classes, turned=turned)


def classes_of(path: Path) -> tuple[str, ...]:
    """Return the names of the class folders, those of train if there are splits; test may have no others."""
    by_split = {split: subfolders(path / split) for split in splits(path)}
    if not by_split:
        return tuple(subfolders(path))
    # a class that only test has could never be predicted, and would shift the numbers of those after it
    first, classes = next(iter(by_split.items()))
    for split, names in by_split.items():
        if more := sorted(set(names) - set(classes)):
            raise InputError(f"{path / split} has the class {more[0]}, but {path / first} does not have it")
    return tuple(classes)


def subfolders(path: Path) -> list[str]:
    """Return the names of visible folders in a folder, in the order of class names."""
    return list(in_order(folder.name for folder in visible(path) if folder.is_dir()))


def images_in(folder: Path) -> list[Path]:
    """Return the image files in a class folder by name, none if it does not exist; reject all other entries."""
    files = visible(folder) if folder.is_dir() else []
    for file in files:
        if not file.is_file() or file.suffix.lower() not in SUFFIXES:
            raise InputError(f"{file} is not an image file ({', '.join(SUFFIXES)}): convert it, or remove it")
    return files


def visible(path: Path) -> list[Path]:
    """Return the entries of a folder, sorted, without hidden ones, which file managers and tools create."""
    # file systems list entries in any order, but positions of images and their digest must not depend on it
    return sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))


FORMAT = Format(
    "a folder of class folders",
    lambda path: path.is_dir() and bool(subfolders(path)),
    splits,
    read,
    partial(read, upright=False),
)
