"""Interface of the formats of your own images, and the numbering of their labels."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radii.errors import InputError
from radii.storage.class_names import in_order

MOST_CLASSES = 100_000
"""A label in the billions would make as many class names."""
TEXT = "U"
"""Numpy's kind of text arrays."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Images and labels of a file or folder, as stored.

    `images`: in any layout that `as_pixels` accepts. `labels`: `(n,)`, positions in `classes`. `named`: whether the
    classes have names; if not, `classes` are "0", "1", ... `turned`: `(n,)`, which images were turned upright by their
    EXIF orientation; None if the format has none.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    named: bool = True
    turned: np.ndarray | None = None


@dataclass(frozen=True)
class Format:
    """A format of images.

    `name`: for messages. `fits(path)`: whether `path` is in this format. `splits(path)`: those of "train" and "test"
    that it contains, none if it defines no splits. `read(path, split)`: the images of a split, "all" if there are none.
    `read_stored`: the same without turning images upright, in formats where that makes a difference.
    """

    name: str
    fits: Callable[[Path], bool]
    splits: Callable[[Path], tuple[str, ...]]
    read: Callable[[Path, str], Decoded]
    read_stored: Callable[[Path, str], Decoded] | None = None


def name_classes(labels_of_splits: Iterable[np.ndarray], where: str) -> tuple[str, ...]:
    """Return class names for labels: the words, in order, or the numbers from 0 to the largest.

    The labels of all splits together, so that each split numbers them alike.
    """
    arrays = [_flat(labels, where) for labels in labels_of_splits]
    if are_words(arrays):
        return in_order(word for labels in arrays for word in labels.tolist())
    # up to the largest, though some may never occur: a label is the position of its class
    largest = max(int(_whole(labels, where).max(initial=0)) for labels in arrays)
    return tuple(map(str, range(largest + 1)))


def are_words(arrays: Iterable[np.ndarray]) -> bool:
    """Return whether all labels are words, which name their classes, and not numbers."""
    return all(labels.dtype.kind == TEXT for labels in arrays)


def number_labels(labels: np.ndarray, classes: Sequence[str], where: str) -> np.ndarray:
    """Return labels as positions in `classes`, int64 `(n,)`."""
    labels = _flat(labels, where)
    # words may be missing from `classes` if a file lists the names of its classes itself
    if labels.dtype.kind == TEXT:
        positions = {name: position for position, name in enumerate(classes)}
        if unknown := set(labels.tolist()) - positions.keys():
            raise InputError(
                f"{where} has the label {min(unknown)!r}, which is none of the classes {', '.join(classes)}"
            )
        return np.array([positions[word] for word in labels.tolist()], dtype=np.int64)
    numbers = _whole(labels, where)
    if numbers.max(initial=0) >= len(classes):
        raise InputError(
            f"{where} has the label {numbers.max()}, but names for {len(classes)} classes, which count from 0"
        )
    return numbers


def _flat(labels: np.ndarray, where: str) -> np.ndarray:
    """Return labels `(n,)`, also those that are stored as `(n, 1)`."""
    if labels.dtype.kind not in f"iu{TEXT}" or labels.ndim < 1 or labels.shape[1:] not in ((), (1,)):
        raise InputError(
            f"the labels in {where} must be whole numbers or words, one per image; "
            f"got {labels.dtype} of the shape {labels.shape}"
        )
    return labels.reshape(-1)


def _whole(labels: np.ndarray, where: str) -> np.ndarray:
    if labels.dtype.kind == TEXT:
        raise InputError(f"the labels in {where} must be numbers in all splits, or words in all")
    # before the conversion, so that the message does not show large uint64 numbers as negative ones
    if len(labels) and not 0 <= labels.min() <= labels.max() < MOST_CLASSES:
        raise InputError(
            f"the labels in {where} must lie in 0..{MOST_CLASSES - 1}; found {labels.min()} to {labels.max()}"
        )
    return labels.astype(np.int64)
