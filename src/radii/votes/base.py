"""The votes themselves."""

from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from radii import parquet
from radii.addresses import without_keys
from radii.designs import Plan
from radii.errors import InputError
from radii.noises import Noise
from radii.norms import check_shape
from radii.stores import read_file, write_file
from radii.streams import check_seed
from radii.votes.checks import check_certified, check_counts, check_identity, check_images
from radii.votes.format import FORMAT, columns_of, fields_of, format_of, header_of
from radii.votes.merging import merge
from radii.votes.ranges import Ranges, join_ranges

ABSTAIN = -1
"""The label of an image on which the smoothed classifier does not commit itself."""


def software_versions() -> dict[str, str]:
    """Versions of the packages that decide what is drawn and what the model answers."""
    versions = {}
    for package in ("radii", "numpy", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return versions


@dataclass(frozen=True, eq=False)
class Votes:
    """Class counts of a model over noisy copies of images.

    `counts`, `selection`: `(images, classes)`, how often each class had the largest logit; only `counts` may
    bound probabilities, only `selection` may choose the label that they bound. `labels`: `(images,)`, the
    true ones if known. `index`: `(images,)`, position in the data set, which is also the image's number in
    the random streams. `plan` is what was asked for as a whole; `draws` are the ranges `[first, stop)` of
    draw numbers that `counts` holds so far, of a fixed plan; any other is followed to its end, with as many draws of
    each image as it took, from 0. `certified`: `(images,)`, how many of the levels or radii of a sequential plan its
    looks certified, None for plans that do not look. `model` is the digest of the weights. `exact`: noise was drawn
    on a lattice, where adding it rounds nothing (docs/math/exact.md). `devices`: the kinds of processors that ran the
    model, if known; each image was voted on by one of them. `fingerprints`: `(images,)`, by which the very images are
    known again (`radii.fingerprints`), or None.

    Guarantee: given the model, draws are independent, and those of `counts` independent of `selection`. Under a
    fixed plan, and given `selection` under one of two stages, rows of `counts` are multinomial.
    """

    counts: np.ndarray
    selection: np.ndarray
    labels: np.ndarray | None
    index: np.ndarray
    noise: Noise
    shape: tuple[int, ...]
    plan: Plan
    draws: Ranges
    seed: int
    model: str
    precision: str = "float32"
    exact: bool = False
    data: str = ""
    classes: tuple[str, ...] = ()
    software: dict[str, str] = field(default_factory=software_versions)
    certified: np.ndarray | None = None
    devices: tuple[str, ...] = ()
    fingerprints: np.ndarray | None = None

    def __post_init__(self) -> None:
        optional = [
            name for name in ("labels", "certified", "fingerprints") if getattr(self, name) is not None
        ]
        for name in ("counts", "selection", "index", *optional):
            object.__setattr__(self, name, _integers(name, getattr(self, name)))
        object.__setattr__(self, "shape", check_shape(self.shape))
        object.__setattr__(self, "draws", join_ranges(self.draws))
        object.__setattr__(self, "seed", check_seed(self.seed))
        for name in ("model", "data"):  # of an endpoint, or as a caller called it
            object.__setattr__(self, name, without_keys(getattr(self, name)))
        object.__setattr__(self, "classes", tuple(self.classes) or _numbered(self.counts))
        object.__setattr__(self, "devices", tuple(sorted(self.devices)))
        check_identity(self)
        check_images(self)
        for name in ("counts", "selection"):
            check_counts(self, name)
        check_certified(self)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def n(self) -> int:
        """Draws per image in `counts`: of every image under a fixed plan, else the most that one may have."""
        return sum(stop - first for first, stop in self.draws) or self.plan.most

    @property
    def passes(self) -> np.ndarray:
        """How often the model was asked about each image, `(images,)`."""
        return self.counts.sum(axis=1) + self.selection.sum(axis=1)

    @property
    def complete(self) -> bool:
        """Whether every draw of the plan is there."""
        return not self.draws or self.draws == ((0, self.plan.most),)

    @property
    def watched(self) -> str | None:
        """The labels that a sequential plan looked at, and that alone may be certified: "true" or "predicted"."""
        return self.plan.watched

    def __getitem__(self, images: slice | np.ndarray | list[int]) -> "Votes":
        """The votes on some of the images: a slice, a boolean mask, or positions."""
        rows = np.arange(len(self))[images]
        if rows.ndim != 1:
            raise InputError(f"take images by a slice, a mask or a list of positions; got {images!r}")
        return replace(
            self,
            counts=self.counts[rows],
            selection=self.selection[rows],
            labels=None if self.labels is None else self.labels[rows],
            index=self.index[rows],
            certified=None if self.certified is None else self.certified[rows],
            fingerprints=None if self.fingerprints is None else self.fingerprints[rows],
        )

    def __add__(self, other: "Votes") -> "Votes":
        """More draws of the same images, or the same draws of other images; images come in order of index.

        Guarantee: anything else is an error, so that no draw is ever counted twice and no two classifiers
        mix.
        """
        if not isinstance(other, Votes):
            return NotImplemented
        return merge([self, other])

    def save(self, path: str | Path) -> None:
        """Write one Parquet file, whole or not at all; equal votes give equal bytes.

        `path`: local, or the address of an object in a store, as `s3://bucket/votes.parquet`.
        """
        write_file(path, self.encode())

    def encode(self) -> bytes:
        """What `save` writes."""
        return parquet.encode(columns_of(self), header_of(self), format_of(self))


def load_votes(path: str | Path) -> Votes:
    """The votes that `Votes.save` wrote, from a local file or an object store.

    Guarantee: the same votes, bit for bit; a damaged, edited or foreign file is an `InputError`.
    """
    return decode_votes(read_file(path), path)


def decode_votes(content: bytes, path: object) -> Votes:
    """The votes that `Votes.encode` wrote; errors name `path`."""
    columns, header = parquet.decode(content, path, FORMAT)
    try:
        return Votes(**fields_of(columns, header, len(content)))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} lacks something that votes must have ({error}): vote again") from error
    except InputError as error:
        raise InputError(f"{path} holds no valid votes: {error}") from error


def _integers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} must be whole numbers; got {array.dtype}")
    array = array.astype(np.int64)  # a copy, so that freezing it does not freeze the caller's
    array.flags.writeable = False
    return array


def _numbered(counts: np.ndarray) -> tuple[str, ...]:
    return tuple(str(label) for label in range(counts.shape[-1]))
