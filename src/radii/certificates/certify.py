"""Votes -> certificates: the radius within which the label provably stays in the top k."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from radii.certificates.evidence import RulesOf, ideal_bounds
from radii.certificates.radius import certified_radius, confirmed
from radii.errors import InputError, check_name, missing_extra
from radii.noises import Noise
from radii.noises.norms import NORMS, check_images, inner_radius, unit_of
from radii.noises.theory.bisection import bisect_whole
from radii.votes import Votes, check_seen
from radii.votes.bounds import bounds, check_alpha, check_k
from radii.votes.image_identity import ImageIdentity

LABELS = ("true", "predicted", "top-k-set")


@dataclass(frozen=True, eq=False)
class Certificates:
    """Certified radii of many images, and everything that a reader of them must know.

    `label`, `radius`, `abstained`, `lower`, `index`: arrays `(images,)`; `true_label` too, or None. With
    `labels="top-k-set"`, `label` is `(images, k)`: a whole set of labels that stays the top k. `radius` is in image
    units (l1, l2, linf) or in whole changed units (l0), 0.0 where nothing is certified. `abstained` marks the
    images whose label could not even be confirmed without any perturbation. `n`: draws of each image, or the most
    that one could have under a `plan` that is not "fixed";
    `mean_samples`: mean number of noise samples per image, those for selection included.
    `box`: whether rules were told the room that each image has in [0, 1]. `on_grid`: whether they are about
    8-bit images, as exact arithmetic and some noises are. `classes`: what labels stand for, as in the votes.

    Guarantee: for each image, with probability at least `1 - alpha` over the draws, no perturbation of norm at
    most `radius` pushes `label` out of the `k` most probable labels of the smoothed classifier. In l0, and with `box`,
    that is of perturbations that keep the image in [0, 1]; `on_grid`, of those that leave it an 8-bit image.
    """

    label: np.ndarray
    radius: np.ndarray
    abstained: np.ndarray
    lower: np.ndarray
    index: np.ndarray
    true_label: np.ndarray | None
    noise: Noise
    norm: str
    unit: str
    k: int
    alpha: float
    method: str
    labels: str
    shape: tuple[int, ...]
    n: int
    plan: str
    mean_samples: float
    data: ImageIdentity | None
    box: bool = False
    on_grid: bool = False
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.label)

    @property
    def confined(self) -> str:
        """Which perturbed images these are about: "grid", those of 8 bits; "box", those in [0, 1]; "", all."""
        return "grid" if self.on_grid else "box" if self.box or self.norm == "l0" else ""

    @property
    def correct(self) -> np.ndarray:
        """Where the certified label is the true one, or the set holds it, `(images,)`."""
        if self.true_label is None:
            raise InputError("these votes carry no true labels, so that no accuracy follows from them")
        return (self.label.reshape(len(self), -1) == self.true_label[:, None]).any(axis=1)

    def accuracy(self, radii: Iterable[float]) -> np.ndarray:
        """Certified accuracy, `(radii,)`: the share of all images that are correct, and certified to each radius."""
        held = self.correct & ~self.abstained
        return np.array([np.mean(held & (self.radius >= radius)) for radius in radii])

    def to_pandas(self) -> Any:
        """One row an image: index, true label if known, label, abstained, lower, radius."""
        try:
            import pandas
        except ImportError as error:
            raise missing_extra("to_pandas", "report", error) from error
        columns = {
            "index": self.index,
            "true_label": self.true_label,
            "label": list(self.label) if self.label.ndim == 2 else self.label,
            "abstained": self.abstained,
            "lower": self.lower,
            "radius": self.radius,
        }
        return pandas.DataFrame({name: column for name, column in columns.items() if column is not None})


def certify(
    votes: Votes,
    norm: str,
    *,
    k: int = 1,
    alpha: float = 1e-3,
    labels: str | np.ndarray = "true",
    method: str | None = None,
    unit: str = "feature",
    images: np.ndarray | None = None,
) -> Certificates:
    """Certify every image of `votes`: the radius within which its label stays in the top k.

    labels: "true", the labels in the votes (certified accuracy); "predicted", the label that the separate
    selection draws chose (deployment; certificates of an unknown truth); "top-k-set", the whole predicted top-k set at
    once; or an array `(images,)` of labels chosen without looking at these counts. `method` is one of
    `radii.bounds`, by default "two-event", or after a pilot the one that it promises more from; `unit`, for l0, and
    `images`, for l0 and l1, refine radii as in `radii.certified_radius`.

    Votes on all outcomes of a noise are exact: `alpha` is 0 then, whatever is given, and "predicted" labels are those
    of these very votes. The looks of a sequential plan have settled labels, `alpha` and method, and those of
    `radii.TopK` settle `k`: anything else is an error.

    Guarantee: that of `Certificates`, for each image by itself. Images outside the chosen label's reach come back
    abstained with radius 0.
    """
    if not isinstance(votes, Votes):
        raise InputError(f"certify takes votes, as radii.load_votes gives them from a file; got {votes!r}")
    check_k(k, len(votes.classes))
    check_alpha(alpha)
    plan = votes.plan
    method = plan.settle(labels, k, alpha, method)
    check_complete(votes)
    if images is not None and len(own := check_images(images, votes.shape)) == len(votes):
        check_seen(votes, own)
    chosen, source = choose_labels(votes, labels, k)
    members = chosen.reshape(len(votes), -1)
    # every member of a set must keep its place at once: their errors add
    each = alpha / members.shape[1]
    last = plan.last_test(each, method)
    if last is None:
        alpha = 0.0
    elif not plan.steps and not plan.open_ended:
        check_reach(votes.n, k, last[1], last[0], len(votes.classes))
    rules = RulesOf(votes.noise, votes.shape, votes.exact_arithmetic)
    radius, lower, abstained = [], [], []
    for member in members.T:
        low, rivals = ideal_bounds(votes, member, k=k, alpha=each, method=method)
        reach = certified_radius(
            votes.noise, norm, low, rivals, k=k, shape=votes.shape, unit=unit, images=images
        )
        reach = plan.decided(votes, norm, unit, k, reach, rules, images is not None)
        radius.append(reach)
        lower.append(low)
        abstained.append(~confirmed(low, rivals) & (reach == 0))
    return Certificates(
        label=chosen,
        radius=np.min(radius, axis=0),
        abstained=np.any(abstained, axis=0),
        lower=np.min(lower, axis=0),
        index=votes.index,
        true_label=votes.labels,
        noise=votes.noise,
        norm=norm,
        unit=unit,
        k=k,
        alpha=alpha,
        method=method,
        labels=source,
        shape=votes.shape,
        n=votes.n,
        plan=plan.name,
        mean_samples=float(votes.samples.mean()),
        data=votes.data,
        box=images is not None,
        on_grid=votes.exact_arithmetic or votes.noise.of_bytes,
        classes=votes.classes,
    )


def certifiable(votes: Iterable[Votes]) -> list[str]:
    """Return the norms for which the noise of any of the votes has a rule."""
    rules = {norm for one in votes for norm in one.noise.rules}
    return [norm for norm in NORMS if norm in rules]


def certify_all(
    votes: Mapping[str, Votes],
    norms: Sequence[str],
    ks: Sequence[int],
    *,
    alpha: float = 1e-3,
    labels: str | None = None,
    method: str | None = None,
    unit: str = "feature",
    images: Mapping[str, np.ndarray] = MappingProxyType({}),
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, dict[tuple[str, int], Certificates]]:
    """Certify several votes, by name, in every norm and for every k.

    `labels`: by default those that a plan watches, else the true ones. `unit` is what l0 counts. `images`: those of the
    votes, for their boxes in l0 and l1. Names of votes whose noise has no rule for any of the norms are left out.
    Raises `InputError` for a norm without a rule for any of the votes.
    """
    questions = list(dict.fromkeys((norm, k) for norm in norms for k in ks))
    found: dict[str, dict[tuple[str, int], Certificates]] = {name: {} for name in votes}
    for done, (norm, k) in enumerate(questions):
        if progress is not None:
            progress(done, len(questions))
        if check_name("norm", norm, NORMS) not in certifiable(votes.values()):
            noises = ", ".join(dict.fromkeys(one.noise.name for one in votes.values()))
            known = ", ".join(certifiable(votes.values()))
            raise InputError(f"no rule certifies {norm} under {noises} noise: ask for {known}")
        for name, one in votes.items():
            if norm in one.noise.rules:
                found[name][norm, k] = certify(
                    one,
                    norm,
                    k=k,
                    alpha=alpha,
                    labels=labels or one.watched or "true",
                    method=method,
                    unit=unit_of(norm, unit),
                    images=images.get(name) if norm in ("l0", "l1") else None,
                )
    if progress is not None:
        progress(len(questions), len(questions))
    return {name: certificates for name, certificates in found.items() if certificates}


def to_norm(certificates: Certificates, norm: str) -> Certificates:
    """The same certificates in another of the norms l1, l2 and linf: the largest ball of it within each certified one.

    What is left without a rule of its own; from l1 to l2 it costs a factor `sqrt(d)`.

    Guarantee: that of `Certificates`.
    """
    radius = inner_radius(certificates.radius, certificates.norm, norm, math.prod(certificates.shape))
    return replace(certificates, norm=norm, radius=radius)


def check_complete(votes: Votes) -> None:
    """Refuse a part of the draws: who certifies parts until one succeeds has looked too often."""
    if not votes.complete:
        raise InputError(
            f"these votes hold {votes.n} of the {votes.plan.most} draws that were planned: add the other parts first"
        )


def choose_labels(votes: Votes, labels: str | np.ndarray, k: int) -> tuple[np.ndarray, str]:
    """The labels to certify, fixed without the draws that bound them, and where they came from."""
    if not isinstance(labels, str):
        given = np.asarray(labels)
        if given.shape != (len(votes),):
            raise InputError(f"labels must be one an image, shape ({len(votes)},); got {given.shape}")
        return given, "given"
    check_name("labels", labels, LABELS)
    if labels == "true":
        if votes.labels is None:
            raise InputError(
                "these votes carry no true labels: certify the predicted ones (labels='predicted')"
            )
        return votes.labels, labels
    # exact votes leave no room for a lucky choice
    exact = votes.plan.outcomes is not None
    if not votes.plan.selection and not exact:
        raise InputError(
            "no selection draws were taken, so that no label can be predicted: vote with selection > 0"
        )
    order = np.argsort(-(votes.counts if exact else votes.selection), axis=1, kind="stable")
    return (order[:, 0] if labels == "predicted" else order[:, :k]), labels


def check_reach(n: int, k: int, alpha: float, method: str, classes: int) -> None:
    """Refuse a number of draws at which not even unanimous votes would certify anything."""
    if not unanimous(n, k, alpha, method, classes)[2]:
        raise InputError(
            f"n = {n} draws cannot certify anything at alpha = {alpha:g} and k = {k}: even unanimous votes leave the "
            f"label unconfirmed; take at least {least_draws(k, alpha, method, classes)} draws"
        )


def least_draws(k: int, alpha: float, method: str, classes: int) -> int:
    """The smallest number of draws at which unanimous votes confirm a label."""

    def too_few(n: np.ndarray) -> np.ndarray:
        return np.array(not unanimous(int(n), k, alpha, method, classes)[2])

    few, enough = 0, 1
    while too_few(np.array(enough)):
        few, enough = enough, 2 * enough
    return int(bisect_whole(too_few, few, enough)[1])


def unanimous(n: int, k: int, alpha: float, method: str, classes: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Bounds when all `n` draws show the label, `(1,)` and `(1, k)`, and whether they confirm it."""
    counts = np.zeros((1, classes), dtype=np.int64)
    counts[0, 0] = n
    lower, rivals = bounds(counts, np.array([0]), k=k, alpha=alpha, method=method)
    return lower, rivals, bool(confirmed(lower, rivals)[0])


def reachable_radius(
    noise: Noise,
    norm: str,
    n: int,
    *,
    k: int = 1,
    alpha: float = 1e-3,
    method: str = "two-event",
    classes: int,
    shape: tuple[int, ...],
    unit: str = "feature",
) -> float:
    """The largest radius that `n` draws can certify, when they are unanimous: ask before paying for them."""
    check_k(k, classes)
    check_alpha(alpha)
    lower, rivals, _ = unanimous(n, k, alpha, method, classes)
    return float(certified_radius(noise, norm, lower, rivals, k=k, shape=shape, unit=unit)[0])
