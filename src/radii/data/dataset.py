"""What every data set is: pixels, labels, class names, and words for which images these are."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from radii.errors import InputError, check_name, missing_extra
from radii.votes.image_identity import describe

SPLITS = ("train", "test")
ALL = "all"
"""The split of images of one's own that holds all of them."""


def in_unit(pixels: Tensor) -> Tensor:
    """Pixels of a data set as float32 in [0, 1]: bytes are divided by 255, others are so already."""
    return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels


@dataclass(frozen=True, eq=False)
class DataSet:
    """Labelled images of one split of a data set, or of a part of it.

    Parameters
    ----------
    name
        Name of the data set, or path of your own images.
    split : "train", "test" or "all"
        Split that the images are from.
    pixels : `(n, channels, height, width)`
        Uint8, or float32 in [0, 1] where bytes cannot hold them.
    labels : `(n,)` int64
        True labels.
    classes
        Names of the labels.
    index : `(n,)`
        Position of each image in the whole split. Parts keep it, so that votes on a part are votes on those
        very images.
    part
        Which images of the split these are, in words.
    digest
        Digest of pixels and labels of the whole split, for your own images, which may change under their
        name.
    named
        Whether `classes` are names; if not, they only count labels, "0", "1", ...
    turned
        Whether any picture of the split was turned upright as its EXIF orientation demands.

    Examples
    --------
    >>> from radii.data import load_data
    >>> data = load_data("digits").every(2).first(100)
    >>> data.images().shape, data.description
    (torch.Size([100, 1, 8, 8]), 'digits test, first 100 of every 2nd of 355')
    """

    name: str
    split: str
    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    index: Tensor
    part: str = "all"
    digest: str = ""
    named: bool = True
    turned: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image: channels, height, width."""
        return tuple(self.pixels.shape[1:])

    @property
    def description(self) -> str:
        """The words by which votes identify the images, for example `mnist5k test, every 2nd of 1000`."""
        return describe(self.name, self.split, self.digest, self.part, self.turned)

    def images(self, rows: slice | Tensor | np.ndarray | list[int] = slice(None)) -> Tensor:
        """Return some images as float32 in [0, 1], `(rows, channels, height, width)`."""
        return in_unit(self.pixels[rows])

    def pictures(self) -> np.ndarray:
        """Return the images to look at, uint8 `(n, channels, height, width)`, rounded where necessary."""
        bytes_ = self.pixels if self.pixels.dtype == torch.uint8 else (255 * self.pixels).round().byte()
        return bytes_.numpy()

    def every(self, step: int) -> "DataSet":
        """Return the first image, and then every `step`-th."""
        if step < 1:
            raise InputError(f"images are taken every 1st, 2nd, 3rd, ...; got {step}")
        ending = {1: "st", 2: "nd", 3: "rd"}.get(step % 10 if step % 100 not in (11, 12, 13) else 0, "th")
        return (
            self._take(slice(None, None, min(step, len(self))), f"every {step}{ending}") if step > 1 else self
        )

    def first(self, count: int) -> "DataSet":
        """Return the first `count` images, or all if there are fewer."""
        if count < 1:
            raise InputError(f"at least one image must be taken; got {count}")
        return self._take(slice(count), f"first {count}") if count < len(self) else self

    def at(self, positions: np.ndarray) -> "DataSet":
        """Return the images at these `positions`, `(m,)`, of the split, in that order."""
        rows = {int(position): row for row, position in enumerate(self.index)}
        missing = [int(position) for position in positions if int(position) not in rows]
        if missing:
            raise InputError(f"{self.name} {self.split} has no image {missing[0]}: is it the same data set?")
        return self._take([rows[int(position)] for position in positions], f"{len(positions)} chosen")

    def without(self, positions: Sequence[int]) -> "DataSet":
        """Return all images except those at these `positions` of the split, each of which must be here."""
        left_out, there = sorted(set(positions)), set(self.index.tolist())
        absent = [position for position in left_out if position not in there]
        if absent:
            raise InputError(f"image {absent[0]} cannot be left out: it is not among {self.description}")
        if len(left_out) == len(self):
            raise InputError(f"at least one image must be taken; all of {self.description} are left out")
        rows = [row for row, position in enumerate(self.index.tolist()) if position not in left_out]
        return self._take(rows, f"all but {', '.join(map(str, left_out))}") if left_out else self

    def _take(self, rows: slice | list[int], words: str) -> "DataSet":
        part = f"{words} of {len(self)}" if self.part == "all" else f"{words} of {self.part}"
        return replace(
            self, pixels=self.pixels[rows], labels=self.labels[rows], index=self.index[rows], part=part
        )


def make_data(
    name: str,
    split: str,
    pixels: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    digest: str = "",
    named: bool = True,
) -> DataSet:
    """A whole split, from arrays: `(n, channels, height, width)`, uint8 or float32 in [0, 1]; labels `(n,)`."""
    assert pixels.dtype in (np.uint8, np.float32) and pixels.ndim == 4 and len(pixels) == len(labels)
    return DataSet(
        name=name,
        split=check_name("split", split, (*SPLITS, ALL)),
        pixels=torch.from_numpy(np.ascontiguousarray(pixels)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        classes=classes,
        index=torch.arange(len(labels)),
        digest=digest,
        named=named,
    )


def split_evenly(labels: np.ndarray, split: str) -> np.ndarray:
    """Rows of a split of data that come without one: in each class, every fifth image is a test image."""
    is_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        is_test[np.flatnonzero(labels == label)[4::5]] = True
    rows = np.flatnonzero(is_test if split == "test" else ~is_test)
    return rows[take_turns(labels[rows])]


def take_turns(labels: np.ndarray) -> np.ndarray:
    """Rows in an order in which classes take turns, each round starting one class later.

    So the first images, or every k-th, are balanced.
    """
    classes, label = np.unique(labels, return_inverse=True)
    turn = np.zeros(len(labels), dtype=np.int64)
    for rows in (np.flatnonzero(label == number) for number in range(len(classes))):
        turn[rows] = np.arange(len(rows))
    # one more shift after each full circle, or every 20th image of 10 classes would see only five of them
    place = (label + turn + turn // len(classes)) % len(classes)
    return np.lexsort((place, turn))


def read_packaged(package: str, file: str, sha256: str, name: str) -> np.ndarray:
    """A table of small numbers, `.csv.gz`, that another package carries; the package is not imported."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise missing_extra(f"the data set {name}", "data", ImportError(package, name=package))
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise InputError(
            f"the data set {name} needs the file {path}, which is not there: reinstall {package}"
        )
    try:
        text = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error):
        text = b""
    if hashlib.sha256(text).hexdigest() != sha256:
        raise InputError(f"{path} is not the known file: pip install --force-reinstall {package}")
    return np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)
