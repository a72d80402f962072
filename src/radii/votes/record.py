"""The record of votes: class counts over noise samples of images, with all that identifies them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import ceil
from operator import index
from pathlib import Path
from typing import Any, Literal

import numpy as np

from radii.errors import InputError, check_name, without_keys
from radii.noises import Noise, ProductNoise, full_name
from radii.noises.base import check_noise
from radii.noises.norms import check_shape
from radii.noises.streams import check_seed
from radii.storage import parquet
from radii.storage.documents import software_versions
from radii.storage.folders import bare, write_file
from radii.votes.canary import Canary, check_canary
from radii.votes.image_identity import ImageIdentity, fingerprints
from radii.votes.plans import Plan, check_plan

Precision = Literal["float32", "bfloat16"] | str
PRECISIONS = ("float32", "bfloat16")

ABSTAIN = -1
"""Label of an image on which the smoothed classifier abstains."""

OTHER_ENDINGS = (
    ".csv",
    ".json",
    ".npy",
    ".npz",
    ".onnx",
    ".pkl",
    ".png",
    ".pt",
    ".pt2",
    ".pth",
    ".txt",
    ".zip",
)
"""Ends of names of files of other kinds. Any other end is accepted."""

Ranges = tuple[tuple[int, int], ...]
"""Ranges `[first, stop)` of numbers of noise samples, rising and apart."""


# no `==`: that of tuples of fields has no truth value where fields are arrays
@dataclass(frozen=True, eq=False, repr=False)
class Votes:
    """Class counts of a base classifier over noise samples of images, with all that identifies them.

    Parameters
    ----------
    counts : `(images, classes)`
        How often each class had the largest logit. Only these may bound probabilities.
    selection : `(images, classes)`
        Counts of separate noise samples. Only these may choose the label that `counts` bound.
    labels : `(images,)` or None
        True labels, if known.
    index : `(images,)`
        Position in the data set, which is also the number of the image in the random streams.
    noise
        Noise that was added.
    shape : channels, height, width
        Shape of one image.
    plan
        The whole sampling plan.
    draws : ranges `[first, stop)`
        Numbers of the samples that `counts` holds so far, under a fixed plan. Any other plan is followed
        to its end, with as many samples of each image as it took, from 0, and has no ranges.
    seed
        Seed of the random streams.
    model
        Digest of the weights, as `radii.models.digest` computes it.
    precision : "float32" or "bfloat16"
        Arithmetic of the model.
    exact_arithmetic
        Whether noise was drawn on a lattice, where adding it is exact (docs/math/exact.md).
    data : ImageIdentity or None
        Data set and part of it, if known.
    classes
        Names of the classes; numbers by default.
    software : versions by name
        Packages that drew the votes.
    certified : `(images,)` or None
        How many levels or radii of a sequential plan its looks certified; None for plans without looks.
    devices
        Kinds of processors that ran the model, if known; each image was run on one of them.
    fingerprints : `(images,)` or None
        Numbers that identify the very pixels of each image.
    canary : rows of numbers
        Answers of the model to a few fixed inputs, by which votes tell it from others with the same digest; empty
        if unknown.

    Raises
    ------
    InputError
        If the fields contradict one another, for example counts that the plan cannot end with.

    Notes
    -----
    Guarantee: given the model, noise samples are independent, and those of `counts` independent of
    `selection`. Under a fixed plan, and given `selection` under a two-stage plan, rows of `counts` are
    multinomial.

    Examples
    --------
    >>> import numpy as np, radii
    >>> votes = radii.Votes(
    ...     counts=np.array([[990, 10], [520, 480]]), selection=np.array([[98, 2], [55, 45]]),
    ...     labels=np.array([0, 1]), index=np.array([0, 1]), noise=radii.Gaussian(sigma=0.25),
    ...     shape=(3, 32, 32), plan=radii.fixed(1000), draws=((0, 1000),), seed=0, model="none")
    >>> votes.samples, votes.complete, len(votes[:1])
    (array([1100, 1100]), True, 1)
    >>> votes
    Votes on 2 images, 2 classes
    noise gaussian:sigma=0.25, seed 0
    plan fixed, 1,100 noise samples per image
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
    precision: Precision = "float32"
    exact_arithmetic: bool = False
    data: ImageIdentity | None = None
    classes: tuple[str, ...] = ()
    software: dict[str, str] = field(default_factory=software_versions)
    certified: np.ndarray | None = None
    devices: tuple[str, ...] = ()
    fingerprints: np.ndarray | None = None
    canary: Canary = ()

    def __post_init__(self) -> None:
        optional = [
            name for name in ("labels", "certified", "fingerprints") if getattr(self, name) is not None
        ]
        # Fields are put into one form before they are checked, compared or written: equal votes then have equal bytes,
        # and every check below may rely on int64 arrays. Votes are frozen, so this is the only place that sets them.
        for name in ("counts", "selection", "index", *optional):
            object.__setattr__(self, name, _integers(name, getattr(self, name)))
        object.__setattr__(self, "shape", check_shape(self.shape))
        object.__setattr__(self, "draws", join_ranges(self.draws))
        object.__setattr__(self, "seed", check_seed(self.seed))
        # the address of an endpoint may hold a key, and votes files are passed on
        object.__setattr__(self, "model", without_keys(self.model))
        if not (self.data is None or isinstance(self.data, ImageIdentity)):
            raise InputError(
                f"data must be a radii.ImageIdentity, or None where it is not known; got {self.data!r}"
            )
        object.__setattr__(self, "classes", tuple(self.classes) or _numbered(self.counts))
        # sorted, since merging makes them of a set
        object.__setattr__(self, "devices", tuple(sorted(self.devices)))
        object.__setattr__(self, "canary", check_canary(self.canary))
        # each check relies on those before: counts need a plan and images, certified levels need counts
        _check_identity(self)
        _check_images(self)
        for name in ("counts", "selection"):
            _check_counts(self, name)
        _check_certified(self)

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        of = "" if self.data is None else f" of {self.data.whole}"
        mean = "" if self.plan.per_image else " on average"
        return (
            f"Votes on {len(self)} images{of}, {len(self.classes)} classes\n"
            f"noise {full_name(self.noise)}, seed {self.seed}\n"
            f"plan {self.plan.name}, {ceil(self.samples.mean()):,} noise samples per image{mean}"
        )

    @property
    def n(self) -> int:
        """Noise samples per image in `counts`: their number under a fixed plan, else the most of an image."""
        return sum(stop - first for first, stop in self.draws) or self.plan.n_max

    @property
    def samples(self) -> np.ndarray:
        """Noise samples of each image, `(images,)`, selection included."""
        return self.counts.sum(axis=1) + self.selection.sum(axis=1)

    @property
    def complete(self) -> bool:
        """Whether all noise samples of the plan are here."""
        return not self.draws or self.draws == ((0, self.plan.n_max),)

    def majority(self) -> np.ndarray:
        """Return the label with the most votes in `counts`, `(images,)`, the first of equals; ABSTAIN without votes."""
        return np.where(self.counts.any(axis=1), self.counts.argmax(axis=1), ABSTAIN)

    def rank(self, label: np.ndarray) -> np.ndarray:
        """Return how many classes have more votes in `counts` than the label, `(images,)`; all without votes.

        Of classes with equal votes, the first counts as more.
        """
        own = np.take_along_axis(self.counts, label[:, None], axis=1)
        first = np.arange(self.counts.shape[1]) < label[:, None]
        ahead = np.sum((self.counts > own) | ((self.counts == own) & first), axis=1)
        return np.where(self.counts.any(axis=1), ahead, len(self.classes))

    @property
    def tested_labels(self) -> str | None:
        """Labels that a sequential plan looked at, the only ones to certify: "true", "predicted" or None."""
        return self.plan.tested_labels

    def __getitem__(self, images: slice | np.ndarray | list[int]) -> "Votes":
        """Return the votes on some of the images: a slice, a boolean mask, or positions."""
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
        """Add more samples of the same images, or the same samples of other images, in order of index.

        Guarantee: anything else is an error, so that no sample is ever counted twice and no two
        classifiers mix.
        """
        if not isinstance(other, Votes):
            return NotImplemented
        # here, as that module imports this one
        from radii.votes.merging import merge

        return merge([self, other])

    def save(self, path: str | Path) -> None:
        """Write one Parquet file, whole or not at all; equal votes give equal bytes.

        Parameters
        ----------
        path
            A local file, whose folder is made if it does not exist, or the address of an object in a store, as
            `s3://bucket/votes.parquet`.

        Raises
        ------
        InputError
            If the name ends as files of another kind do, for example in `.npz`.
        """
        check_ending(path)
        write_file(path, self.encode())

    def encode(self) -> bytes:
        """Return the bytes that `save` writes."""
        # here, as the file format imports this module
        from radii.votes.file_format import FORMAT, columns_of, header_of

        return parquet.encode(columns_of(self), header_of(self), FORMAT)


def check_ending(path: str | Path) -> None:
    """Raise `InputError` for the name of a file of another kind: votes are Parquet."""
    name = bare(path)
    if name.suffix.lower() in OTHER_ENDINGS:
        raise InputError(f"votes are written as Parquet; got {name}: call it {name.with_suffix('.parquet')}")


def join_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges `[first, stop)` in order, touching ones joined; raise `InputError` if any overlap or are empty."""
    joined: list[tuple[int, int]] = []
    try:
        # `index` accepts whole numbers of numpy, but neither 2.5 nor "2", which `int` would cut or parse
        spans = sorted((index(first), index(stop)) for first, stop in ranges)
    except (TypeError, ValueError) as error:
        raise InputError(f"draws must be ranges [first, stop) of whole numbers; got {ranges!r}") from error
    for first, stop in spans:
        if not 0 <= first < stop:
            raise InputError(
                f"draws must be ranges [first, stop) with 0 <= first < stop; got [{first}, {stop})"
            )
        if joined and first < joined[-1][1]:
            raise InputError(
                f"draws [{first}, {min(stop, joined[-1][1])}) are counted twice: take ranges that do not overlap"
            )
        if joined and first == joined[-1][1]:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((first, stop))
    return tuple(joined)


def check_fingerprints(votes: "Votes", images: np.ndarray) -> None:
    """Raise `InputError` unless `images`, `(images, *shape)` in [0, 1], are those of the votes.

    Votes without fingerprints accept all.
    """
    if votes.fingerprints is None:
        return
    changed = np.flatnonzero(fingerprints(images) != votes.fingerprints)
    if len(changed):
        image = f"image {votes.index[changed[0]]} of {votes.data.whole if votes.data else 'the votes'}"
        raise InputError(
            f"{image} is not the one that was voted on, to the last bit of float32: give the very images of the votes"
        )


def check_outcomes(plan: Plan, noise: Noise) -> None:
    """Raise `InputError` unless the plan lists the outcomes of noise that can be listed, and samples other noise."""
    # Draw j of such noise is its outcome j. Shares of votes are probabilities only if each outcome occurs once.
    if plan.outcomes != noise.outcomes:
        how = (
            "sampled" if noise.outcomes is None else f"listed, all {noise.outcomes}: radii.exhaustive(noise)"
        )
        raise InputError(f"outcomes of {noise.name} noise are {how}; got the plan {plan}")


def _check_identity(votes: "Votes") -> None:
    """Raise `InputError` unless noise, plan, precision and ranges of samples are possible together."""
    check_noise(votes.noise)
    check_plan(votes.plan)
    check_outcomes(votes.plan, votes.noise)
    check_name("precision", votes.precision, PRECISIONS)
    if votes.exact_arithmetic and not isinstance(votes.noise, ProductNoise):
        raise InputError(f"there is no exact arithmetic of {votes.noise.name} noise: leave it out")
    if votes.plan.per_image is None:
        if votes.draws:
            raise InputError(f"a plan that is followed to its end has no ranges of draws; got {votes.draws}")
    elif not votes.draws or votes.draws[-1][1] > votes.plan.n_max:
        raise InputError(
            f"draws must lie in the plan's {votes.plan.n_max} and not be empty; got {votes.draws}"
        )


def _check_images(votes: "Votes") -> None:
    """Raise `InputError` for images that occur twice, or labels that are not classes."""
    index, labels = votes.index, votes.labels
    if index.ndim != 1 or not len(index) or index.min() < 0:
        raise InputError(
            f"index must be positions (images,), none below 0, at least one; got shape {index.shape}"
        )
    # an image in two rows would count twice in every accuracy; its noise samples are the same
    positions, times = np.unique(index, return_counts=True)
    if len(positions) < len(index):
        raise InputError(f"image {positions[times > 1][0]} occurs more than once in index")
    if votes.fingerprints is not None and votes.fingerprints.shape != index.shape:
        raise InputError(
            f"fingerprints must have the shape {index.shape} of index; got {votes.fingerprints.shape}"
        )
    if labels is None:
        return
    if labels.shape != index.shape:
        raise InputError(f"labels must have the shape {index.shape} of index; got {labels.shape}")
    if labels.min() < 0 or labels.max() >= len(votes.classes):
        raise InputError(
            f"labels must lie in 0..{len(votes.classes) - 1}; found {labels.min()} to {labels.max()}"
        )


def _check_counts(votes: "Votes", name: str) -> None:
    """Raise `InputError` for `counts` or `selection` with numbers of samples that the plan does not take."""
    counts, possible = getattr(votes, name), _sample_sizes(votes, name)
    expected = (len(votes), len(votes.classes))
    if counts.shape != expected:
        raise InputError(f"{name} must have the shape (images, classes) = {expected}; got {counts.shape}")
    if counts.min() < 0:
        raise InputError(f"{name} must not be negative")
    # sums of huge counts wrap around in int64, but not in floats
    if counts.sum(axis=1, dtype=float).max() > 2**62:
        raise InputError(f"{name} add up to more samples than any plan takes")
    # the guarantee of a plan holds for counts at its ends alone: others were edited, or stopped where it does not stop
    wrong = np.flatnonzero(~np.isin(counts.sum(axis=1), possible))
    if len(wrong):
        row = wrong[0]
        ends = f"there were {possible[0]} samples" if len(possible) == 1 else "the plan never ends there"
        raise InputError(f"{name} of image {votes.index[row]} add up to {counts[row].sum()}, but {ends}")


def _sample_sizes(votes: "Votes", name: str) -> np.ndarray:
    """Return the numbers of samples that an image can have in `counts` or `selection`, rising."""
    if name == "selection":
        return votes.plan.selection_sizes
    return np.array([votes.n]) if votes.draws else votes.plan.sample_sizes


def _check_certified(votes: "Votes") -> None:
    """Raise `InputError` for what the looks of the plan cannot have certified."""
    plan, certified = votes.plan, votes.certified
    if not plan.hypotheses:
        if certified is not None:
            raise InputError("certified belongs to plans with looks: leave it out")
        return
    if certified is None or certified.shape != votes.index.shape:
        raise InputError(f"certified must be one number per image, shape {votes.index.shape}")
    if not 0 <= certified.min() <= certified.max() <= plan.hypotheses:
        raise InputError(
            f"certified must lie in 0..{plan.hypotheses}; found {certified.min()} to {certified.max()}"
        )
    # A certificate follows from `certified` without a look at the counts. Where one of them, or a label, was edited,
    # this is the only place that shows it.
    tested = votes.selection.argmax(axis=1) if plan.selection else votes.labels
    if (wrong := plan.impossible_outcomes(votes.counts, tested, certified)).any():
        assert tested is not None
        row = np.flatnonzero(wrong)[0]
        n = votes.counts[row].sum()
        raise InputError(
            f"image {votes.index[row]} cannot have ended with {certified[row]} levels certified: its plan does not "
            f"stop at {n - votes.counts[row, tested[row]]} votes of {n} against label {tested[row]}"
        )


def _integers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} must be whole numbers; got {array.dtype}")
    # a copy, so that freezing it does not freeze the caller's
    array = array.astype(np.int64)
    array.flags.writeable = False
    return array


def _numbered(counts: np.ndarray) -> tuple[str, ...]:
    return tuple(str(label) for label in range(counts.shape[-1]))
