"""What every form of images of one's own is asked: is it this one, which splits has it, and what is in them?"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radii.errors import InputError
from radii.storage.class_names import in_order


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a file or a folder holds, as it is there: `images` and `labels` `(n,)`, whole numbers; names of classes.

    `named`: whether the classes have names; if not, `classes` are the labels themselves, "0", "1", ...
    `turned`: `(n,)`, which of the images are turned as their EXIF orientation says; None if none has any.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    named: bool = True
    turned: np.ndarray | None = None


@dataclass(frozen=True)
class Form:
    """A way to keep images.

    `words`: what it is; `fits(path)`: whether this is it. `splits(path)`: those of "train" and "test" that it tells
    apart, none if it does not. `read(path, split)`: what is in one of them, or, if there are none, in all.
    `read_stored`: the same with pictures as they are stored, not turned upright, where that may differ.
    """

    words: str
    fits: Callable[[Path], bool]
    splits: Callable[[Path], tuple[str, ...]]
    read: Callable[[Path, str], Decoded]
    read_stored: Callable[[Path, str], Decoded] | None = None


MOST_CLASSES = 100_000
WORDS = "U"
"""The kind of numpy's text."""


def name_classes(several: Iterable[np.ndarray], where: str) -> tuple[str, ...]:
    """The classes of labels without names: the words themselves, in order, or numbers from 0 to the largest."""
    labels = [_flat(one, where) for one in several]
    if all(one.dtype.kind == WORDS for one in labels):
        return in_order(word for one in labels for word in one.tolist())
    largest = max(int(_whole(one, where).max(initial=0)) for one in labels)
    return tuple(map(str, range(largest + 1)))


def are_words(several: Iterable[np.ndarray]) -> bool:
    """Whether labels are words, which name their classes; numbers only count them."""
    return all(one.dtype.kind == WORDS for one in several)


def number_labels(given: np.ndarray, classes: Sequence[str], where: str) -> np.ndarray:
    """Labels `(n,)` as int64 positions in `classes`."""
    labels = _flat(given, where)
    if labels.dtype.kind == WORDS:
        return _places(labels, classes, where)
    whole = _whole(labels, where)
    if whole.max(initial=0) >= len(classes):
        raise InputError(
            f"{where} has the label {whole.max()}, and names for {len(classes)} classes from 0 on"
        )
    return whole


def _places(words: np.ndarray, classes: Sequence[str], where: str) -> np.ndarray:
    place = {name: number for number, name in enumerate(classes)}
    unknown = set(words.tolist()) - place.keys()
    if unknown:
        raise InputError(
            f"{where} has the label {min(unknown)!r}, which is none of the classes {', '.join(classes)}"
        )
    return np.array([place[word] for word in words.tolist()], dtype=np.int64)


def _flat(labels: np.ndarray, where: str) -> np.ndarray:
    """Labels `(n,)`, also those that are stored as `(n, 1)`."""
    if labels.dtype.kind not in f"iu{WORDS}" or labels.ndim < 1 or labels.shape[1:] not in ((), (1,)):
        raise InputError(
            f"the labels in {where} must be whole numbers or words, one an image; "
            f"got {labels.dtype} of the shape {labels.shape}"
        )
    return labels.reshape(-1)


def _whole(labels: np.ndarray, where: str) -> np.ndarray:
    if labels.dtype.kind == WORDS:
        raise InputError(f"the labels in {where} must be numbers in all splits, or words in all")
    if len(labels) and not 0 <= labels.min() <= labels.max() < MOST_CLASSES:
        raise InputError(
            f"the labels in {where} must lie in 0..{MOST_CLASSES - 1}; found {labels.min()} to {labels.max()}"
        )
    return labels.astype(np.int64)
