"""Runs, which a report compares: a model under one noise, with certificates in several norms and for several k."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.certificates.imported import ImportedRun
from radii.errors import InputError
from radii.noises import Noise
from radii.noises.norms import NORMS
from radii.report.accuracy import certified_radii, check_one_data
from radii.report.export import slug
from radii.storage.class_names import meaning, number_of
from radii.votes import Votes


# compared by identity: == of arrays is an array, which has no truth value
@dataclass(frozen=True, eq=False)
class Run:
    """A model under one noise, and the certificates from its votes.

    Parameters
    ----------
    name : shown on the page
    certificates : by norm and k, all about the same images
    votes : those behind the certificates, for the facts of how they were sampled
    attacks : by norm and k, `(images,)`: the length of the shortest perturbation found that removes the label from the
        top k, infinite where none was found
    perturbed : by norm and k, then by position: pictures of the images that attacks perturbed, uint8
    training : the configuration that lies beside the votes, if any

    Raises
    ------
    InputError
        If the certificates do not belong together.
    """

    name: str
    certificates: Mapping[tuple[str, int], Certificates]
    votes: Votes | None = None
    attacks: Mapping[tuple[str, int], np.ndarray] = field(default_factory=dict)
    training: Mapping[str, Any] | None = None
    perturbed: Mapping[tuple[str, int], Mapping[int, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.certificates:
            raise InputError(f"the run {self.name!r} has no certificates; give at least one norm and k")
        for (norm, k), certified in self.certificates.items():
            if (certified.norm, certified.k) != (norm, k):
                raise InputError(
                    f"{self.name!r} lists top-{certified.k} {certified.norm} certificates under {(norm, k)}"
                )
        if len({certified.noise for certified in self.all}) > 1:
            raise InputError(
                f"the certificates of the run {self.name!r} are of several noises; make a run of each"
            )
        # tables and the CSV of a run put certificates side by side, row by row
        if any(not np.array_equal(certified.index, self.index) for certified in self.all):
            raise InputError(f"the certificates of the run {self.name!r} are about different images")
        if self.votes is not None and not np.array_equal(self.votes.index, self.index):
            raise InputError(f"the votes of the run {self.name!r} are not those of its certificates")

    @property
    def all(self) -> list[Certificates]:
        """All certificates, in the order given."""
        return list(self.certificates.values())

    @property
    def noise(self) -> Noise:
        """The noise of all certificates."""
        return self.all[0].noise

    @property
    def index(self) -> np.ndarray:
        """Positions of the images in the data set, `(images,)`."""
        return self.all[0].index

    @property
    def labels(self) -> np.ndarray:
        """The true labels of the images, `(images,)`; raises `InputError` if they are unknown."""
        labels = self.all[0].true_label
        if labels is None:
            raise InputError(
                f"the run {self.name!r} has no true labels, so its certified accuracy is unknown"
            )
        return labels

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        return slug(self.name)

    def by_k(self, norm: str) -> list[Certificates]:
        """Return the certificates of one norm, in order of k."""
        return sorted(
            (certified for certified in self.all if certified.norm == norm), key=lambda certified: certified.k
        )


def run_names(runs: Sequence[Votes | ImportedRun], files: Sequence[Path], given: Sequence[str]) -> list[str]:
    """Return a name for each run: the one given, or where that is empty, the shortest of a kind that all differ in.

    The kinds are, in this order: the noise; the noise with its level; the stem of the file, of a file `votes` its
    folder; the folder; the path below the common folder. If noises or levels differ, they precede the file. A run of
    another code is marked, and the name that it got at its import is used in place of its noise.
    """
    noises = [_title(run) for run in runs]
    levels = [f"{noise} {run.noise.level:g}" for noise, run in zip(noises, runs, strict=True)]
    # no links are followed: a file is found again under the name that it has in the command
    paths = [Path(os.path.abspath(file)) for file in files]
    common = os.path.commonpath(paths)
    lead = [f"{level} " for level in levels] if len(set(levels)) > 1 else [""] * len(levels)
    by_file = (
        # "votes" is what radii vote calls every file
        lambda path: path.parent.name if path.stem == "votes" else path.stem,
        lambda path: path.parent.name,
        lambda path: str(path.relative_to(common)),
    )
    of_files = ([first + part(path) for first, path in zip(lead, paths, strict=True)] for part in by_file)
    for kind in (noises, levels, *of_files):
        names = [
            _one_line(chosen or made) + " (imported)" * bool(run.unchecked)
            for chosen, made, run in zip(given, kind, runs, strict=True)
        ]
        if len(set(names)) == len(names):
            break
    return names


def _title(run: Votes | ImportedRun) -> str:
    """Return the noise of a run, with what was averaged, or the name of an imported run."""
    if isinstance(run, ImportedRun):
        return run.name or run.noise.title
    # as `radii.models.digest` names them; every text matches, perhaps with empty groups
    pattern = r"(?:unknown:)?(mirrored)?(?:-\w+\()?(?:unknown:)?(?:(probabilities|logits)\()?"
    mirrored, averaged = re.findall(pattern, run.model)[0]
    kind = " ".join(filter(None, (mirrored, averaged and "ensemble")))
    return ", ".join(filter(None, (run.noise.title, kind)))


def _one_line(name: str) -> str:
    """Return a name with escapes in place of line breaks and control characters, which would make other rows of it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


def check_runs(runs: Sequence[Run]) -> list[Run]:
    """Return the runs as a list.

    Raises `InputError` unless there is at least one, names differ even as file names, true labels are known, and all
    runs are on one data set with classes in one order.
    """
    several = list(runs)
    if not several:
        raise InputError("a report needs at least one run")
    # files are named by slugs: those of "a b" and "A-B" would be one file
    if len({run.slug for run in several}) < len(several):
        raise InputError(f"the names of runs must differ; got {', '.join(run.name for run in several)}")
    check_one_data({run.name: run.all[0].data for run in several})
    check_one_order(several)
    for run in several:
        # raises without true labels, from which accuracy is counted
        _ = run.labels
    check_one_truth(several)
    return several


def check_one_truth(runs: Sequence[Run]) -> None:
    """Raise `InputError` where an imported run, which identifies images by positions alone, gives one another label."""
    if not any(run.all[0].unchecked for run in runs):
        return
    first: dict[int, tuple[int, str]] = {}
    for run in runs:
        for index, label in zip(run.index.tolist(), run.labels.tolist(), strict=True):
            expected, name = first.setdefault(index, (label, run.name))
            if label != expected:
                raise InputError(
                    f"image {index} has the label {expected} in {name} and {label} in {run.name}: compare runs on the "
                    "same images, and state the stride of an imported one"
                )


def check_one_order(runs: Sequence[Run]) -> None:
    """Raise `InputError` for runs with classes in different orders: one label would mean two classes."""
    classes_of = [(run.name, run.votes.classes) for run in runs if run.votes is not None]
    for name, classes in classes_of[1:]:
        first, expected = classes_of[0]
        # models may have different numbers of classes; the labels that both have must mean the same
        for label, (expected_class, actual_class) in enumerate(zip(expected, classes, strict=False)):
            # a number beside a name is the label of a class without a name
            comparable = (number_of(expected_class) is None) == (number_of(actual_class) is None)
            if comparable and meaning(expected_class) != meaning(actual_class):
                raise InputError(
                    f"runs must count their classes in one order, but class {label} is {expected_class!r} in {first} "
                    f"and {actual_class!r} in {name}: vote again, with images of the same classes"
                )


def norms_of(runs: Sequence[Run]) -> list[str]:
    """Return the norms in which any run is certified, in their usual order."""
    return [norm for norm in NORMS if any(run.by_k(norm) for run in runs)]


def ks_of(runs: Sequence[Run]) -> list[int]:
    """Return every k for which any run is certified."""
    return sorted({certified.k for run in runs for certified in run.all})


def of_smallest_k(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with their certificates for the smallest k there is; runs without any are left out."""
    k = ks_of(runs)[0]
    kept = [{target: one for target, one in run.certificates.items() if one.k == k} for run in runs]
    return [replace(run, certificates=of_k) for run, of_k in zip(runs, kept, strict=True) if of_k]


def by_name(runs: Sequence[Run], norm: str, k: int | None = None) -> dict[str, Certificates]:
    """Return the certificates of one norm and k by the name of their run; `k` defaults to the smallest there is."""
    # runs may lack some k; the smallest of any run is compared, by the runs that have it
    if k is None:
        k = min(certified.k for run in runs for certified in run.by_k(norm))
    return {run.name: certified for run in runs for certified in run.by_k(norm) if certified.k == k}


def class_names(runs: Sequence[Run], known: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the classes: those `known`, else those in the votes, else none."""
    return next(
        filter(None, (tuple(known), *(run.votes.classes for run in runs if run.votes is not None))), ()
    )


MOST_SHOWN = 12
"""Runs that a figure or a wide table can show; of more, those with the largest radii."""


def most_robust(certificates: Mapping[str, Certificates]) -> dict[str, Certificates]:
    """Return the certificates of the runs with the largest mean radii, at most `MOST_SHOWN`, in their order."""
    means = {name: float(certified_radii(one).mean()) for name, one in certificates.items()}
    best = sorted(means, key=lambda name: -means[name])[:MOST_SHOWN]
    return {name: one for name, one in certificates.items() if name in best}
