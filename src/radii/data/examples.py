"""Images to poll, and what is known about them: from arrays, tensors or a data set."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from radii.data.dataset import DataSet
from radii.errors import InputError
from radii.votes.image_identity import fingerprints


@dataclass(frozen=True, eq=False)
class Examples:
    """Images to poll: float32 in [0, 1] or uint8 pixels `(images, *shape)`, and what is known about them.

    `classes`: their names, or "0", "1", ... where they are not `named`; empty where their number is not known either.
    """

    images: np.ndarray
    labels: np.ndarray | None
    index: np.ndarray
    data: str = ""
    classes: tuple[str, ...] = ()
    named: bool = True

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> "Examples":
        """Some of them."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, images=self.images[rows], labels=labels, index=self.index[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.images.shape[1:]

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """By which the images are known again, int64 `(images,)`."""
        rows = (slice(row, row + 1) for row in range(len(self)))
        return np.concatenate([fingerprints(self.clean(one)) for one in rows])

    def check_classes(self, classes: int) -> None:
        """Refuse a model whose number of logits does not fit what is known."""
        if self.classes and len(self.classes) != classes:
            raise InputError(
                f"the model gives {classes} logits, but {self.data} has {len(self.classes)} classes: take images of "
                "the classes that it knows, or say which of its outputs each class is, class_map= or --class-map FILE"
            )
        if self.labels is not None and not 0 <= self.labels.min() <= self.labels.max() < classes:
            raise InputError(
                f"labels must lie in 0..{classes - 1}, as the model gives {classes} logits; "
                f"found {self.labels.min()} to {self.labels.max()}"
            )

    def clean(self, rows: np.ndarray | slice) -> np.ndarray:
        """Images without noise, float32 in [0, 1]."""
        images = self.images[rows]
        return images / np.float32(255) if images.dtype == np.uint8 else images


def examples_of(data: DataSet) -> Examples:
    """A data set, with its true labels, positions and names."""
    arrays = data.pixels.numpy(), data.labels.numpy(), data.index.numpy()
    return Examples(*arrays, data.description, data.classes, data.named)


def examples_from(
    images: Tensor | np.ndarray, labels: Tensor | np.ndarray | None, index: Tensor | np.ndarray | None
) -> Examples:
    """Arrays or tensors, checked; positions are 0, 1, 2, ... unless given."""
    array = _plain(images)
    if array.ndim < 2 or not array.size:
        raise InputError(f"images must have the shape (images, *shape), at least one; got {array.shape}")
    if array.dtype.kind != "f":
        raise InputError(f"images must be real numbers in [0, 1], not {array.dtype}: divide bytes by 255")
    if not (array.min() >= 0 and array.max() <= 1):  # said this way round, NaN fails too
        raise InputError(
            f"images must lie in [0, 1]; found {array.min():g} to {array.max():g}: rescale them, and "
            "declare what the model takes, as input_range, mean and std of radii.load_model"
        )
    numbers = np.arange(len(array)) if index is None else _plain(index)
    truth = None if labels is None else _plain(labels)
    for name, values in (("index", numbers), ("labels", truth)):
        if values is not None and values.shape != (len(array),):
            raise InputError(
                f"{name} must be one number for each of the {len(array)} images; got {values.shape}"
            )
        if values is not None and values.dtype.kind not in "iu":
            raise InputError(f"{name} must be whole numbers; got {values.dtype}")
    if numbers.min() < 0 or len(np.unique(numbers)) < len(numbers):
        raise InputError("index must be positions, none below 0, none twice")
    return Examples(array.astype(np.float32, copy=False), truth, numbers)


def examples_in(
    images: Tensor | np.ndarray | DataSet,
    labels: Tensor | np.ndarray | None,
    index: Tensor | np.ndarray | None,
) -> Examples:
    """Arrays, tensors or a data set as what is polled."""
    if not isinstance(images, DataSet):
        return examples_from(images, labels, index)
    if labels is not None or index is not None:
        raise InputError("a data set brings its own labels and positions: leave out labels and index")
    return examples_of(images)


def _plain(values: Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
