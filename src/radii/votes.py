"""Votes: what a model answered about noisy copies of images, as integers, with all that identifies them.

Votes are stored once; every certificate (any norm, k, alpha) is a function of the file.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from radii import parquet
from radii.designs import PLANS, Anytime, Fixed, Plan, Sequential, TopK, TwoStage
from radii.errors import InputError, check_name
from radii.noises import Noise, make_noise
from radii.norms import check_shape
from radii.streams import check_seed

ABSTAIN = -1
"""The label of an image on which the smoothed classifier does not commit itself."""

PRECISIONS = ("float32", "bfloat16")

FORMAT = 1

Ranges = tuple[tuple[int, int], ...]


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
    on a lattice, where adding it rounds nothing (docs/math/exact.md).

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

    def __post_init__(self) -> None:
        optional = [name for name in ("labels", "certified") if getattr(self, name) is not None]
        for name in ("counts", "selection", "index", *optional):
            object.__setattr__(self, name, _integers(name, getattr(self, name)))
        object.__setattr__(self, "shape", check_shape(self.shape))
        object.__setattr__(self, "draws", join_ranges(self.draws))
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "classes", tuple(self.classes) or _numbered(self.counts))
        _check_identity(self)
        _check_images(self)
        for name in ("counts", "selection"):
            _check_counts(name, getattr(self, name), _possible(self, name), self)
        _check_certified(self)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def n(self) -> int:
        """Draws per image in `counts`: of every image under a fixed plan, else the most that one may have."""
        if isinstance(self.plan, Fixed):
            return sum(stop - first for first, stop in self.draws)
        return self.plan.n_max

    @property
    def passes(self) -> np.ndarray:
        """How often the model was asked about each image, `(images,)`."""
        return self.counts.sum(axis=1) + self.selection.sum(axis=1)

    @property
    def complete(self) -> bool:
        """Whether every draw of the plan is there."""
        return not isinstance(self.plan, Fixed) or self.draws == ((0, self.plan.n),)

    @property
    def watched(self) -> str | None:
        """The labels that a sequential plan looked at, and that alone may be certified: "true" or "predicted"."""
        if not isinstance(self.plan, Sequential | TopK):
            return None
        return "predicted" if self.plan.selection else "true"

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
        )

    def __add__(self, other: "Votes") -> "Votes":
        """More draws of the same images, or the same draws of other images; images come in order of index.

        Guarantee: anything else is an error, so that no draw is ever counted twice and no two classifiers
        mix.
        """
        if not isinstance(other, Votes):
            return NotImplemented
        for name, one, two in zip(IDENTITY, _identity(self), _identity(other), strict=True):
            if one != two:
                raise InputError(f"votes with different {name} cannot be added: {one} and {two}")
        if (self.labels is None) != (other.labels is None):
            raise InputError(
                "votes with true labels and votes without cannot be added: give labels to both or neither"
            )
        shared = np.intersect1d(self.index, other.index)
        if not len(shared):
            return _more_images(self, other)
        if not isinstance(self.plan, Fixed):
            raise InputError(
                f"image {shared[0]} is in both votes, but its plan is followed to the end in each"
            )
        if len(shared) < max(len(self), len(other)):
            raise InputError(
                f"votes on {len(self)} and {len(other)} images share {len(shared)} of them; "
                "add votes on the same images, or on wholly different ones"
            )
        return _more_draws(self[np.argsort(self.index)], other[np.argsort(other.index)])

    def save(self, path: str | Path) -> None:
        """Write one Parquet file, under a temporary name until it is whole; equal votes give equal bytes."""
        columns = {
            "index": self.index,
            "label": self.labels,
            "counts": self.counts,
            "selection": self.selection,
            **({"certified": self.certified} if self.certified is not None else {}),
        }
        parquet.write(path, columns, _header(self), FORMAT)


def load_votes(path: str | Path) -> Votes:
    """The votes that `Votes.save` wrote.

    Guarantee: the same votes, bit for bit; a damaged, edited or foreign file is an `InputError`.
    """
    columns, header = parquet.read(path, FORMAT)
    try:
        return _from_file(columns, header)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} lacks something that votes must have ({error}): vote again") from error
    except InputError as error:
        raise InputError(f"{path} holds no valid votes: {error}") from error


def join_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges `[first, stop)` in order, touching ones joined; overlapping or empty ones are an error."""
    joined: list[tuple[int, int]] = []
    for first, stop in sorted((int(first), int(stop)) for first, stop in ranges):
        if not 0 <= first < stop:
            raise InputError(
                f"draws must be ranges [first, stop) with 0 <= first < stop; got [{first}, {stop})"
            )
        if joined and first < joined[-1][1]:
            raise InputError(f"draws [{first}, {min(stop, joined[-1][1])}) are counted twice")
        if joined and first == joined[-1][1]:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((first, stop))
    return tuple(joined)


IDENTITY = ("noise", "shape", "plan", "seed", "model", "precision", "exact", "data", "classes", "software")


def _identity(votes: Votes) -> list[Any]:
    return [getattr(votes, name) for name in IDENTITY]


def _more_images(one: Votes, two: Votes) -> Votes:
    if one.draws != two.draws:
        raise InputError(f"votes on other images must have the same draws: {one.draws} and {two.draws}")
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(one, name), getattr(two, name)])
        for name in ("counts", "selection", "index", "labels", "certified")
        if getattr(one, name) is not None
    }
    whole = replace(one, **joined)
    return whole[np.argsort(whole.index)]


def _more_draws(one: Votes, two: Votes) -> Votes:
    if one.labels is not None and two.labels is not None and not np.array_equal(one.labels, two.labels):
        image = one.index[np.flatnonzero(one.labels != two.labels)[0]]
        raise InputError(f"votes disagree about the true label of image {image}: is it the same data set?")
    if not np.array_equal(one.selection, two.selection):
        image = one.index[np.flatnonzero((one.selection != two.selection).any(1))[0]]
        raise InputError(
            f"votes disagree about the selection draws of image {image}, which both must have seen alike: "
            "the model or the hardware differed"
        )
    return replace(one, counts=one.counts + two.counts, draws=one.draws + two.draws)


def _integers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise InputError(f"{name} must be whole numbers; got {array.dtype}")
    array = array.astype(np.int64)  # a copy, so that freezing it does not freeze the caller's
    array.flags.writeable = False
    return array


def _numbered(counts: np.ndarray) -> tuple[str, ...]:
    return tuple(str(label) for label in range(counts.shape[-1]))


def _check_identity(votes: Votes) -> None:
    if not isinstance(votes.noise, Noise):
        raise InputError(
            f"noise must be a noise of radii, for example radii.Laplace(sigma=0.5); got {votes.noise!r}"
        )
    check_plan(votes.plan)
    check_name("precision", votes.precision, PRECISIONS)
    if not isinstance(votes.plan, Fixed):
        if votes.draws:
            raise InputError(
                f"a plan that is followed to its end has no part of its draws; got {votes.draws}"
            )
    elif not votes.draws or votes.draws[-1][1] > votes.plan.n:
        raise InputError(f"draws must lie in the plan's {votes.plan.n} and not be empty; got {votes.draws}")


def check_plan(plan: object) -> None:
    """Refuse what no model can be polled by."""
    if not isinstance(plan, Plan):
        raise InputError(f"plan must be a sampling plan, for example radii.fixed(1000); got {plan!r}")


def _check_images(votes: Votes) -> None:
    index, labels = votes.index, votes.labels
    if index.ndim != 1 or not len(index) or index.min() < 0:
        raise InputError(
            f"index must be positions (images,), none below 0, at least one; got shape {index.shape}"
        )
    positions, times = np.unique(index, return_counts=True)
    if len(positions) < len(index):
        raise InputError(f"image {positions[times > 1][0]} comes more than once in index")
    if labels is None:
        return
    if labels.shape != index.shape:
        raise InputError(f"labels must have the shape {index.shape} of index; got {labels.shape}")
    if labels.min() < 0 or labels.max() >= len(votes.classes):
        raise InputError(
            f"labels must lie in 0..{len(votes.classes) - 1}; found {labels.min()} to {labels.max()}"
        )


def _possible(votes: Votes, name: str) -> np.ndarray:
    """The numbers of draws that an image can have in `counts` or `selection`, rising."""
    plan = votes.plan
    if isinstance(plan, Anytime):
        # stopped at any moment, perhaps before the label was chosen
        return np.arange((plan.n_max if name == "counts" else plan.selection) + 1)
    if name == "counts":
        return np.array([votes.n]) if isinstance(plan, Fixed) else plan.draws
    if isinstance(plan, Fixed | TwoStage) or not plan.selection:
        return np.array([plan.selection])
    return np.arange(1, plan.selection + 1)


def _check_counts(name: str, counts: np.ndarray, possible: np.ndarray, votes: Votes) -> None:
    expected = (len(votes), len(votes.classes))
    if counts.shape != expected:
        raise InputError(f"{name} must have the shape (images, classes) = {expected}; got {counts.shape}")
    if counts.min() < 0:
        raise InputError(f"{name} must not be negative")
    wrong = np.flatnonzero(~np.isin(counts.sum(axis=1), possible))
    if len(wrong):
        row = wrong[0]
        ends = f"there were {possible[0]} draws" if len(possible) == 1 else "the plan never ends there"
        raise InputError(f"{name} of image {votes.index[row]} add up to {counts[row].sum()}, but {ends}")


def _check_certified(votes: Votes) -> None:
    plan, certified = votes.plan, votes.certified
    if not isinstance(plan, Sequential | TopK):
        if certified is not None:
            raise InputError("certified belongs to plans that look; leave it out")
        return
    most = len(plan.levels if isinstance(plan, Sequential) else plan.radii)
    if certified is None or certified.shape != votes.index.shape:
        raise InputError(f"certified must be one number an image, shape {votes.index.shape}")
    if not 0 <= certified.min() <= certified.max() <= most:
        raise InputError(f"certified must lie in 0..{most}; found {certified.min()} to {certified.max()}")
    if isinstance(plan, Sequential):
        _check_ends(votes, plan, certified)


def _check_ends(votes: Votes, plan: Sequential, certified: np.ndarray) -> None:
    """Refuse counts at which the plan would not have ended so: labels or numbers were changed since."""
    watched = votes.selection.argmax(axis=1) if plan.selection else votes.labels
    if watched is None:
        raise InputError("these draws watched the true labels: votes without them prove nothing")
    n = votes.counts.sum(axis=1)
    failures = n - votes.counts[np.arange(len(votes)), watched]
    if (wrong := ~plan.ends_with(n, failures, certified)).any():
        row = np.flatnonzero(wrong)[0]
        raise InputError(
            f"image {votes.index[row]} cannot have ended with {certified[row]} levels certified: its plan does not "
            f"stop at {failures[row]} votes of {n[row]} against label {watched[row]}"
        )


def plan_name(plan: Plan) -> str:
    """The name of a plan in files."""
    return next(name for name, kind in PLANS.items() if isinstance(plan, kind))


def _header(votes: Votes) -> dict[str, Any]:
    return {
        "noise": {"name": votes.noise.name, "sigma": votes.noise.sigma},
        "shape": votes.shape,
        "plan": {"name": plan_name(votes.plan), **asdict(votes.plan)},
        "draws": votes.draws,
        **{
            name: getattr(votes, name)
            for name in ("seed", "model", "precision", "exact", "data", "classes", "software")
        },
    }


def _from_file(columns: parquet.Columns, header: dict[str, Any]) -> Votes:
    noise, plan = header.pop("noise"), header.pop("plan")
    kind = PLANS[check_name("sampling plan", plan.pop("name"), PLANS)]
    header["classes"] = tuple(header["classes"])
    return Votes(
        labels=columns.pop("label"),
        noise=make_noise(noise["name"], noise["sigma"]),
        plan=kind(**plan),
        **columns,  # type: ignore[arg-type]
        **header,
    )
