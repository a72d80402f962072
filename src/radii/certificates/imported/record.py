"""The record of a run that another code certified, its file, and the certificates that follow from it."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates, reachable_radius
from radii.certificates.radius import certified_radius
from radii.errors import InputError, check_name
from radii.noises import Noise, full_name
from radii.noises.norms import NORMS, ORDERS, Norm, Unit, check_shape, inner_radius, unit_of
from radii.storage.documents import read_document
from radii.storage.folders import read_file
from radii.storage.kinds import kind_of
from radii.votes import ABSTAIN, ImageIdentity, Votes, decode_votes, identity_of, noise_of
from radii.votes.bounds import check_alpha
from radii.votes.plans.fixed import check_whole

FORMAT = 1
KINDS: dict[str, Any] = {
    "imported_from": str,
    "digest": str,
    "name": str,
    "noise": dict[str, Any],
    "norm": str,
    "unit": str,
    "n": int,
    "alpha": float,
    "shape": list[int],
    "data": dict[str, Any] | None,
    "unchecked": list[str],
    "index": list[int],
    "labels": list[int] | None,
    "predicted": list[int],
    "value": list[float],
}
"""Fields of the file of an imported run, and their types."""
REMEDY = "it was damaged or edited: import the log again"
FLOAT32 = 1e-3
"""Part of a radius that float32 arithmetic may add at the largest probabilities; what exceeds the largest possible
radius by less is lowered to it. At 1 - 1e-6, half a step of float32 changes a Gaussian radius by 2e-4 of itself."""


@dataclass(frozen=True, eq=False, repr=False)
class ImportedRun:
    """A run of another code: for each image its labels, and a radius or a lower bound on a probability.

    Parameters
    ----------
    index : `(images,)`
        Positions in the data set.
    labels : `(images,)` or None
        True labels, if they are known.
    predicted : `(images,)`
        Certified labels; -1 where the classifier abstained and named none.
    value : `(images,)`
        Certified radii in `norm`; or, where `norm` is empty, lower bounds on the probability of `predicted`.
    noise, n, alpha, shape, data
        Settings of the run, as they were stated to `radii.import_log`.
    norm : "l0", "l1", "l2", "linf" or empty
        Norm of the radii.
    unit : "feature" or "pixel"
        Unit of l0 radii.
    imported_from
        Name of the log and SHA-256 of its content.
    name
        Name of the run in tables; empty for that of its noise.
    unchecked
        Sentences on what cannot be checked from the log.

    Raises
    ------
    InputError
        If fields contradict one another, or a value exceeds what `n` samples can show at `alpha`.
    """

    index: np.ndarray
    labels: np.ndarray | None
    predicted: np.ndarray
    value: np.ndarray
    noise: Noise
    norm: Norm
    unit: Unit
    n: int
    alpha: float
    shape: tuple[int, ...]
    data: ImageIdentity | None
    imported_from: str
    name: str
    unchecked: tuple[str, ...]

    def __post_init__(self) -> None:
        check_whole("n", self.n, 1)
        check_alpha(self.alpha)
        object.__setattr__(self, "shape", check_shape(self.shape))
        if self.noise.outcomes is not None:
            raise InputError(
                f"all outcomes of {self.noise.name} noise are counted: import a table of counts, or rs4a's folder"
            )
        if self.norm and self.norm not in self.noise.rules:
            raise InputError(
                f"no rule certifies {check_name('norm', self.norm, NORMS)} under {self.noise.name} noise, so that "
                f"nothing in this log can be checked; there are rules for {', '.join(self.noise.rules)}"
            )
        self._check_images()
        self._check_values()

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        return (
            f"Imported run on {len(self)} images\n"
            f"noise {full_name(self.noise)}, n = {self.n:,}, alpha = {self.alpha:g}\n"
            f"from {self.imported_from}"
        )

    @cached_property
    def norms(self) -> tuple[str, ...]:
        """Norms in which radii follow, in their usual order."""
        # a ball of l1, l2 or linf contains one of each other of them; one of l0 contains none of these
        known = self.noise.rules if not self.norm else ORDERS if self.norm in ORDERS else (self.norm,)
        return tuple(norm for norm in NORMS if norm in known)

    def certificates(self, norm: Norm, unit: Unit = "pixel") -> Certificates:
        """Return the certificates of the predicted labels in a norm, for k = 1.

        Guarantee: that of `Certificates`, if the log is what was stated, and none else.
        """
        if check_name("norm", norm, NORMS) not in self.norms:
            raise InputError(
                f"no {norm} radii follow from {self.imported_from}: choose {', '.join(self.norms)}"
            )
        unit = unit_of(norm, unit)
        radius, lower = self.value, np.full(len(self), np.nan)
        if not self.norm:
            lower = self.value
            radius = certified_radius(self.noise, norm, lower, shape=self.shape, unit=unit)
            # without a rival of its own, a label is confirmed only above one half
            abstained = (self.predicted == ABSTAIN) | (lower <= 0.5)
        else:
            abstained = self.predicted == ABSTAIN
            if norm == "l0" and unit != self.unit:
                raise InputError(
                    f"{self.imported_from} has l0 radii that count {self.unit}s: choose --l0-unit {self.unit}"
                )
            if norm != self.norm:
                radius = inner_radius(radius, self.norm, norm, math.prod(self.shape))
        return Certificates(
            label=self.predicted,
            predicted=self.predicted,
            status=np.where(abstained, "abstained", "certified"),
            radius=np.where(abstained, 0.0, radius),
            lower=lower,
            index=self.index,
            true_label=self.labels,
            true_rank=None,
            noise=self.noise,
            norm=norm,
            unit=unit,
            k=1,
            alpha=self.alpha,
            method="binary",
            labels="predicted",
            shape=self.shape,
            n=self.n,
            plan="fixed",
            mean_samples=float(self.n),
            seed=None,
            data=self.data,
            on_grid=self.noise.of_bytes,
            unchecked=self.unchecked,
        )

    def encode(self) -> bytes:
        """Return the JSON document of this run; equal runs give equal bytes."""
        document: dict[str, Any] = {"format": FORMAT}
        for name in KINDS:
            document[name] = getattr(self, name) if name != "digest" else ""
        document["noise"] = {"name": self.noise.name, **asdict(self.noise)}
        document["data"] = self.data and asdict(self.data)
        for name, value in document.items():
            document[name] = value.tolist() if isinstance(value, np.ndarray) else value
        document["digest"] = _digest(document)
        # a field per line: lists of numbers are too long for indents
        lines = (
            f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in document.items()
        )
        return ("{\n" + ",\n".join(lines) + "\n}\n").encode()

    def _check_images(self) -> None:
        """Raise `InputError` for images that occur twice, and for labels that are none."""
        if not len(self.index):
            raise InputError("the log is about no image")
        positions, times = np.unique(self.index, return_counts=True)
        if len(positions) < len(self.index):
            raise InputError(
                f"image {positions[times > 1][0]} occurs more than once: give the log of one run"
            )
        columns = [self.predicted, self.value, *([] if self.labels is None else [self.labels])]
        if any(column.shape != self.index.shape for column in columns):
            raise InputError(
                f"labels, predictions and values must be one for each of {len(self)} images; "
                f"got {[len(column) for column in columns]}"
            )
        if self.index.min() < 0 or self.predicted.min() < ABSTAIN:
            raise InputError("index must be at least 0, and predicted labels at least -1")
        if self.labels is not None and self.labels.min() < 0:
            raise InputError(f"true labels must be at least 0; found {self.labels.min()}")

    def _check_values(self) -> None:
        """Raise `InputError` for values that cannot be; lower those that float32 made larger than possible."""
        # written so that NaN fails, too
        if not np.all((self.value >= 0) & (self.value < np.inf)):
            raise InputError("radii and probabilities are finite numbers of at least 0")
        if np.any(self.value[self.predicted == ABSTAIN] > 0) and self.norm:
            raise InputError("an image on which the classifier abstains has no radius")
        most, most_text = self._largest()
        slack = most * (1 + FLOAT32) if self.norm else most + 2.0**-23
        if (self.value > slack).any():
            row = int(self.value.argmax())
            raise InputError(
                f"image {self.index[row]} has {self.value[row]:.10g}, but {self.n:,} samples that all agree give "
                f"{most_text} at alpha {self.alpha:g} under {full_name(self.noise)}: state the noise, n, alpha and "
                "norm that were used, or leave the log alone"
            )
        object.__setattr__(self, "value", np.minimum(self.value, most))

    def _largest(self) -> tuple[float, str]:
        """Return the largest value that unanimous samples give, and that in words."""
        if not self.norm:
            # the bound of Clopper and Pearson, for as many successes as samples
            bound = self.alpha ** (1 / self.n)
            return bound, f"a probability of at most {bound:.10g}"
        radius = reachable_radius(
            self.noise,
            self.norm,
            self.n,
            alpha=self.alpha,
            method="binary",
            classes=2,
            shape=self.shape,
            unit=self.unit,
        )
        return radius, f"an {self.norm} radius of at most {radius:.6g}"


def decode_run(content: bytes, path: object) -> ImportedRun:
    """Return the run that `ImportedRun.encode` wrote; raise `InputError`, which names `path`, for other content."""
    document = read_document(content, path, FORMAT, KINDS, remedy=REMEDY)
    stored, document["digest"] = document["digest"], ""
    if _digest({"format": FORMAT, **document}) != stored:
        raise InputError(f"{path} does not match its digest: {REMEDY}")
    del document["digest"]
    values = {
        **document,
        "noise": noise_of(document["noise"]),
        "data": identity_of(document["data"]),
        "shape": tuple(document["shape"]),
        "unchecked": tuple(document["unchecked"]),
        "value": np.array(document["value"], dtype=np.float64),
    }
    try:
        for name in ("index", "labels", "predicted"):
            values[name] = None if document[name] is None else np.array(document[name], dtype=np.int64)
        return ImportedRun(**values)
    except (InputError, OverflowError) as error:
        raise InputError(f"{path} holds no valid run: {error}") from error


def load_run(path: str | Path) -> Votes | ImportedRun:
    """Return the votes or the imported run in a file, which its content tells apart."""
    content = read_file(path)
    return decode_run(content, path) if kind_of(content) == "imported" else decode_votes(content, path)


def _digest(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
