"""A folder of image files, one subfolder a class, perhaps below train and test."""

from functools import partial
from pathlib import Path

import numpy as np

from radii.data.dataset import ALL, SPLITS, take_turns
from radii.data.decoding import SUFFIXES, stack
from radii.data.local_format import Decoded, Form
from radii.errors import InputError
from radii.storage.atomic import read as read_file
from radii.storage.class_names import in_order
from radii.storage.parquet_pages import most_unpacked


def visible(path: Path) -> list[Path]:
    """What is in a folder, sorted, without hidden files and folders."""
    return sorted(one for one in path.iterdir() if not one.name.startswith("."))


def subfolders(path: Path) -> list[str]:
    """The names of the folders in a folder, in the order of class names, without hidden ones."""
    return list(in_order(one.name for one in visible(path) if one.is_dir()))


def splits(path: Path) -> tuple[str, ...]:
    """Those of "train" and "test" that are folders of folders."""
    return tuple(split for split in SPLITS if (path / split).is_dir() and subfolders(path / split))


def classes_of(path: Path) -> tuple[str, ...]:
    """The names of the class folders: those of train, if there are splits; test may have no others."""
    several = {split: subfolders(path / split) for split in splits(path)}
    if not several:
        return tuple(subfolders(path))
    classes = next(iter(several.values()))
    for split, names in several.items():
        if more := sorted(set(names) - set(classes)):
            raise InputError(
                f"{path / split} has the class {more[0]}, which {path / splits(path)[0]} has not"
            )
    return tuple(classes)


def read(path: Path, split: str, upright: bool = True) -> Decoded:
    """All images of a split, in an order in which classes take turns, and by name within a class."""
    root, classes = path if split == ALL else path / split, classes_of(path)
    for one in visible(root):
        if one.is_file() and one.suffix.lower() in SUFFIXES:
            raise InputError(f"{one} is an image of no class: move it into a class folder, or take it away")
    files = [(label, file) for label, name in enumerate(classes) for file in images_in(root / name)]
    if not files:
        raise InputError(f"the class folders of {root} hold no images: expected files {', '.join(SUFFIXES)}")
    labels = np.array([label for label, _ in files])
    order = take_turns(labels)
    most = most_unpacked(sum(file.stat().st_size for _, file in files))
    contents = ((str(file), read_file(file)) for file in (files[row][1] for row in order))
    images, turned = stack(contents, len(files), most, upright)
    return Decoded(images, labels[order], classes, turned=turned)


def images_in(folder: Path) -> list[Path]:
    """The image files in a class folder, if it is there, by name; anything else in it is refused."""
    files = visible(folder) if folder.is_dir() else []
    for file in files:
        if not file.is_file() or file.suffix.lower() not in SUFFIXES:
            raise InputError(f"{file} is no image file ({', '.join(SUFFIXES)}): convert it, or take it away")
    return files


FORM = Form(
    "a folder of class folders",
    lambda path: path.is_dir() and bool(subfolders(path)),
    splits,
    read,
    partial(read, upright=False),
)
