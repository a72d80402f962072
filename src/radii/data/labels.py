"""Labels as whole numbers from 0, and the names of what they stand for."""

from collections.abc import Iterable, Sequence

import numpy as np

from radii.class_names import in_order
from radii.errors import InputError

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
