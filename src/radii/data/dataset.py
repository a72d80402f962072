"""Data sets: images with their labels, class names, positions and identity."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from radii.errors import InputError, check_name
from radii.votes.image_identity import ImageIdentity, fingerprints

SPLITS = ("train", "test")
ALL = "all"
"""Split of your own images that contains all of them."""

WHOLE = "all"
"""Part of an identity that is the whole split."""

MOST_INDEX = 2**63 - 1
"""Largest position of an image, which votes store as int64."""

UNNAMED = "the data set"
"""Images without an identity in messages: singular, as the name of a data set is."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images of a split of a data set, or of a part of it, with labels, class names and identity.

    Parameters
    ----------
    pixels : `(n, *shape)`
        Uint8, or float32 in [0, 1] where bytes cannot hold them.
    labels : `(n,)` int64 or None
        True labels, if known.
    index : `(n,)` int64
        Position of each image in the whole split. Parts keep it; with the seed it determines the noise, so that
        votes on a part are those of the same images in the whole.
    identity : ImageIdentity or None
        Data set, split and part of it, if known.
    classes
        Names of the labels; empty if not even their number is known.
    named
        Whether `classes` are names; if not, they only count labels, "0", "1", ...

    Examples
    --------
    >>> from radii.data import load_data
    >>> data = load_data("digits").every(2).first(100)
    >>> data.images().shape, data.description
    ((100, 1, 8, 8), 'digits test, first 100 of every 2nd of 355')
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    index: np.ndarray
    identity: ImageIdentity | None = None
    classes: tuple[str, ...] = ()
    named: bool = True

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice) -> "DataSet":
        """Return some of the images with the identity of all: a share of the work."""
        # the identity stays whole: parts of a run are joined later, and must then name the same images
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, pixels=self.pixels[rows], labels=labels, index=self.index[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image, `(channels, height, width)` for pictures."""
        return self.pixels.shape[1:]

    @property
    def name(self) -> str:
        """Name of the data set, or path of your own images."""
        return self.identity.name if self.identity else UNNAMED

    @property
    def description(self) -> str:
        """The identity as text, for example `mnist5k test, every 2nd of 1000`; "the data set" without one."""
        return str(self.identity or UNNAMED)

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """A number for each image that distinguishes it from others, int64 `(n,)`."""
        # one at a time, because float32 takes four times the memory of bytes
        rows = (slice(row, row + 1) for row in range(len(self)))
        return np.concatenate([fingerprints(self.images(row)) for row in rows])

    def images(self, rows: slice | np.ndarray | list[int] = slice(None)) -> np.ndarray:
        """Return some images as float32 in [0, 1], `(rows, *shape)`."""
        pixels = self.pixels[rows]
        # by a float32: numpy would divide bytes by a Python number in float64, which takes twice the memory
        return pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels

    def pictures(self) -> np.ndarray:
        """Return the images for display, uint8 `(n, *shape)`; floats are rounded."""
        return self.pixels if self.pixels.dtype == np.uint8 else np.rint(255 * self.pixels).astype(np.uint8)

    def check_classes(self, classes: int) -> None:
        """Raise `InputError` unless a model of `classes` logits fits the labels and class names."""
        # outputs of a model with other classes need not be in the order of these labels: each could stand for any
        if self.classes and len(self.classes) != classes:
            raise InputError(
                f"the model gives {classes} logits, but {self.description} has "
                f"{len(self.classes)} classes: take images of the classes of the model, or say which of its outputs "
                "each class is, class_map= or --class-map FILE"
            )
        if self.labels is not None and not 0 <= self.labels.min() <= self.labels.max() < classes:
            raise InputError(
                f"labels must lie in 0..{classes - 1}, as the model gives {classes} logits; "
                f"found {self.labels.min()} to {self.labels.max()}"
            )

    def every(self, step: int) -> "DataSet":
        """Return the first image, and then every `step`-th."""
        if step < 1:
            raise InputError(f"images are taken every 1st, 2nd, 3rd, ...; got {step}")
        ending = {1: "st", 2: "nd", 3: "rd"}.get(step % 10 if step % 100 not in (11, 12, 13) else 0, "th")
        if step == 1:
            return self
        return self._select(slice(None, None, step), f"every {step}{ending} of {self._part}")

    def first(self, count: int) -> "DataSet":
        """Return the first `count` images, or all if there are fewer."""
        if count < 1:
            raise InputError(f"at least one image must be taken; got {count}")
        return self._select(slice(count), f"first {count} of {self._part}") if count < len(self) else self

    def at(self, positions: np.ndarray) -> "DataSet":
        """Return the images at these `positions`, `(m,)`, of the split, in that order."""
        # of the split, not of this part: votes name their images so, whichever part is loaded
        rows = {int(position): row for row, position in enumerate(self.index)}
        missing = [int(position) for position in positions if int(position) not in rows]
        if missing:
            raise InputError(
                f"{self.identity.whole if self.identity else UNNAMED} has no image {missing[0]}: "
                "is it the same data set?"
            )
        chosen = [rows[int(position)] for position in positions]
        return self._select(chosen, f"{len(positions)} chosen of {self._part}")

    def without(self, positions: Sequence[int]) -> "DataSet":
        """Return all images except those at these `positions` of the split, each of which must be among them."""
        # an absent position is rejected: it is likely a slip, by which the image that was meant would stay
        excluded, known = sorted(set(positions)), set(self.index.tolist())
        absent = [position for position in excluded if position not in known]
        if absent:
            raise InputError(f"image {absent[0]} cannot be left out: it is not in {self.description}")
        if len(excluded) == len(self):
            raise InputError(
                f"at least one image must be taken; all images of {self.description} are left out"
            )
        if not excluded:
            return self
        rows = [row for row, position in enumerate(self.index.tolist()) if position not in excluded]
        return self._select(rows, f"{self._part} without {', '.join(map(str, excluded))}")

    @property
    def _part(self) -> str:
        """Part of the split as text; the number of images for the whole split."""
        return self.identity.part if self.identity and self.identity.part != WHOLE else str(len(self))

    def _select(self, rows: slice | list[int], part: str) -> "DataSet":
        selected = self[rows]  # type: ignore[index]
        return replace(selected, identity=self.identity and replace(self.identity, part=part))


def from_arrays(
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray | None = None,
    index: Tensor | np.ndarray | None = None,
) -> DataSet:
    """Return arrays or tensors, checked, as a data set.

    Parameters
    ----------
    images : `(n, *shape)`
        Floats in [0, 1].
    labels : `(n,)` whole numbers, or None
        True labels, if known.
    index : `(n,)` whole numbers, or None
        Number of each image in the random streams, which chooses its noise; 0, 1, 2, ... by default.

    Returns
    -------
    DataSet
        The images, without an identity.

    Raises
    ------
    InputError
        If shapes or types do not fit, or images do not lie in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> from radii.data import from_arrays
    >>> data = from_arrays(np.full((2, 1, 8, 8), 0.5), labels=np.array([3, 1]), index=np.array([40, 20]))
    >>> data.index, data.shape
    (array([40, 20]), (1, 8, 8))
    """
    array = _array(images)
    if array.ndim < 2 or not array.size:
        raise InputError(f"images must have the shape (images, *shape), at least one; got {array.shape}")
    if array.dtype.kind != "f":
        raise InputError(f"images must be real numbers in [0, 1], not {array.dtype}: divide bytes by 255")
    if not (array.min() >= 0 and array.max() <= 1):  # written so that NaN fails too
        raise InputError(
            f"images must lie in [0, 1]; found {array.min():g} to {array.max():g}: rescale them, and "
            "declare what the model takes, as input_range, mean and std of radii.load_model"
        )
    numbers = np.arange(len(array)) if index is None else _array(index)
    truth = None if labels is None else _array(labels)
    for name, values in (("index", numbers), ("labels", truth)):
        if values is not None and values.shape != (len(array),):
            raise InputError(
                f"{name} must be one number for each of the {len(array)} images; got {values.shape}"
            )
        if values is not None and values.dtype.kind not in "iu":
            raise InputError(f"{name} must be whole numbers; got {values.dtype}")
    # two images with one number would get the same noise; keys of random streams are unsigned, and votes store int64
    if numbers.min() < 0 or numbers.max() > MOST_INDEX or len(np.unique(numbers)) < len(numbers):
        raise InputError("index must be positions from 0 to 2**63 - 1, none twice")
    return DataSet(array.astype(np.float32, copy=False), truth, numbers)


def as_data_set(
    images: Tensor | np.ndarray | DataSet,
    labels: Tensor | np.ndarray | None = None,
    index: Tensor | np.ndarray | None = None,
) -> DataSet:
    """Return arrays or tensors, checked, as a data set; return a data set unchanged."""
    if not isinstance(images, DataSet):
        return from_arrays(images, labels, index)
    if labels is not None or index is not None:
        raise InputError("a data set brings its own labels and positions: leave out labels and index")
    return images


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def make_data(
    name: str,
    split: str,
    pixels: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    digest: str = "",
    named: bool = True,
    turned: bool = False,
) -> DataSet:
    """Return a whole split of pixels `(n, channels, height, width)`, uint8 or float32 in [0, 1], and labels `(n,)`."""
    assert pixels.dtype in (np.uint8, np.float32) and pixels.ndim == 4 and len(pixels) == len(labels)
    identity = ImageIdentity(name, check_name("split", split, (*SPLITS, ALL)), digest, WHOLE, turned)
    # torch's losses take int64 labels; the pixels of CIFAR are a view of its records, with labels between the images
    labels = labels.astype(np.int64)
    return DataSet(np.ascontiguousarray(pixels), labels, np.arange(len(labels)), identity, classes, named)


def split_evenly(labels: np.ndarray, split: str) -> np.ndarray:
    """Return the rows of a split of data that define none: every fifth image of each class is a test image."""
    # by position and not at random, so that the split needs no seed; the fifth and not the first, so that a class of
    # fewer than five images is trained on
    is_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        is_test[np.flatnonzero(labels == label)[4::5]] = True
    rows = np.flatnonzero(is_test if split == "test" else ~is_test)
    # files are often sorted by class, and then the first images would all be of one
    return rows[take_turns(labels[rows])]


def take_turns(labels: np.ndarray) -> np.ndarray:
    """Return the rows in an order in which classes take turns, each round starting one class later.

    So the first images, and every k-th, are balanced over the classes.
    """
    classes, label = np.unique(labels, return_inverse=True)
    turn = np.zeros(len(labels), dtype=np.int64)
    for rows in (np.flatnonzero(label == number) for number in range(len(classes))):
        turn[rows] = np.arange(len(rows))
    # one more shift after each full circle: otherwise every 20th image of 10 classes would be of only five classes
    position = (label + turn + turn // len(classes)) % len(classes)
    # lexsort sorts by its last key first
    return np.lexsort((position, turn))
