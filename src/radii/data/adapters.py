"""Data sets of torch, and of whatever gives images by position, as data sets here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from radii.data.base import DataSet
from radii.data.form import Found
from radii.data.labels import are_words, name_classes, number_labels
from radii.data.own import make_own
from radii.data.pictures import plain
from radii.errors import InputError


def from_dataset(
    dataset: Any, name: str, classes: Sequence[str] | None = None, split: str = "test"
) -> DataSet:
    """All that a map-style data set of torch holds: `dataset[i]` is an image and its label, for i from 0.

    An image is one of Pillow, or a tensor or array, `(channels, height, width)` or as `as_pixels` reads it: bytes, or
    floats in [0, 1], before any normalisation, which belongs into the model. Pictures of Pillow are taken as they are,
    whatever EXIF orientation they name. `classes`: the names of labels; by default those that the data set has as its
    own `classes`, else numbers.
    """
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise InputError(f"a data set must give images by position, dataset[i]; got {type(dataset).__name__}")
    if not len(dataset):
        raise InputError(f"the data set {name} is empty: at least one image expected")
    pairs = [_pair(dataset[place], f"image {place} of {name}") for place in range(len(dataset))]
    labels = np.array([label for _, label in pairs])
    own: Sequence[Any] = getattr(dataset, "classes", ())
    given = tuple(map(str, classes or own))
    names = given or name_classes([labels], name)
    images = _one_array([image for image, _ in pairs], name)
    has_names = bool(given) or are_words([labels])
    return make_own(name, split, Found(images, number_labels(labels, names, name), names, has_names), name)


def _pair(given: Any, where: str) -> tuple[np.ndarray, Any]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(f"{where} must be a pair of image and label; got {type(given).__name__}")
    image, label = given
    return _array(image, where), label.item() if isinstance(label, Tensor | np.generic) else label


def _array(image: Any, where: str) -> np.ndarray:
    if isinstance(image, Tensor):
        return image.detach().cpu().numpy()
    if isinstance(image, np.ndarray):
        return image
    if not hasattr(image, "getextrema"):
        raise InputError(
            f"{where} must be an image of Pillow, a tensor or an array; got {type(image).__name__}"
        )
    return plain(image, where)


def _one_array(images: list[np.ndarray], name: str) -> np.ndarray:
    kinds = {(image.shape, image.dtype): place for place, image in reversed(list(enumerate(images)))}
    if len(kinds) > 1:
        ((one, first), (other, second), *_) = sorted(kinds.items(), key=lambda kind: kind[1])
        raise InputError(
            f"all images must have one shape and type; in {name}, image {first} is {one[1]} {one[0]}, "
            f"image {second} {other[1]} {other[0]}: make them alike first"
        )
    return np.stack(images)
