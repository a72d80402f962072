"""What a report compares: runs, each one noise with its certificates in several norms and for several k."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.noises import Noise
from radii.noises.norms import NORMS
from radii.report.export import slug
from radii.storage.class_names import meaning, number_of
from radii.votes import Votes
from radii.votes.image_identity import ImageIdentity


@dataclass(frozen=True, eq=False)
class Run:
    """One model under one noise: `certificates[norm, k]`, all from the same votes. `name` is shown.

    `votes`: those behind the certificates, for what the page says of how they were drawn. `attacks[norm, k]`,
    `(images,)`: the lengths of the shortest moves that were seen to push labels out, infinite where none was.
    """

    name: str
    certificates: Mapping[tuple[str, int], Certificates]
    votes: Votes | None = None
    attacks: Mapping[tuple[str, int], np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.certificates:
            raise InputError(f"the run {self.name!r} has no certificates; give at least one norm and k")
        for (norm, k), one in self.certificates.items():
            if (one.norm, one.k) != (norm, k):
                raise InputError(f"{self.name!r} lists top-{one.k} {one.norm} certificates under {(norm, k)}")
        if len({one.noise for one in self.certificates.values()}) > 1:
            raise InputError(
                f"the certificates of the run {self.name!r} are of several noises; make a run of each"
            )
        if any(not np.array_equal(one.index, self.index) for one in self.all):
            raise InputError(f"the certificates of the run {self.name!r} are about different images")
        if self.votes is not None and not np.array_equal(self.votes.index, self.index):
            raise InputError(f"the votes of the run {self.name!r} are not those of its certificates")

    @property
    def all(self) -> list[Certificates]:
        """Its certificates, in their order."""
        return list(self.certificates.values())

    @property
    def noise(self) -> Noise:
        return self.all[0].noise

    @property
    def index(self) -> np.ndarray:
        """Positions of its images in the data set, `(images,)`."""
        return self.all[0].index

    @property
    def labels(self) -> np.ndarray:
        """The true labels of its images, `(images,)`."""
        true = self.all[0].true_label
        if true is None:
            raise InputError(
                f"the run {self.name!r} has no true labels, so its certified accuracy is unknown"
            )
        return true

    @property
    def slug(self) -> str:
        """The name as part of a file name."""
        return slug(self.name)

    def ranks(self, norm: str) -> list[Certificates]:
        """Certificates of one norm, by k."""
        return sorted(
            (one for (of, _), one in self.certificates.items() if of == norm), key=lambda one: one.k
        )


def check_runs(runs: Sequence[Run]) -> list[Run]:
    """Runs that can stand on one page: at least one, with names that differ, as file names too."""
    several = list(runs)
    if not several:
        raise InputError("a report needs at least one run")
    if len({run.slug for run in several}) < len(several):
        raise InputError(f"the names of runs must differ; got {', '.join(run.name for run in several)}")
    check_one_data({run.name: run.all[0].data for run in several})
    check_one_order(several)
    return several


def check_one_data(data: Mapping[str, ImageIdentity | None]) -> None:
    """Raise `InputError` for runs on different data sets; `data`: which images, by the name of the run."""
    first: dict[ImageIdentity, str] = {}
    for name, identity in data.items():
        if identity is not None:
            first.setdefault(identity.whole, name)
    if len(first) > 1:
        said = " and ".join(f"{name} is about {known}" for known, name in first.items())
        raise InputError(f"{said}: compare runs on one data set at a time")


def check_one_order(runs: Sequence[Run]) -> None:
    """Refuse runs that count their classes in different orders: one label would mean two classes."""
    known = [(run.name, run.votes.classes) for run in runs if run.votes is not None]
    for name, classes in known[1:]:
        first, expected = known[0]
        for label, (one, other) in enumerate(zip(expected, classes, strict=False)):
            # numbers beside names are labels of votes whose classes have no names
            alike = (number_of(one) is None) == (number_of(other) is None)
            if alike and meaning(one) != meaning(other):
                raise InputError(
                    f"runs must count their classes in one order, but class {label} is {one!r} in {first} and "
                    f"{other!r} in {name}: vote again, with images of the same classes"
                )


def norms_of(runs: Sequence[Run]) -> list[str]:
    """The norms in which any run is certified, in their usual order."""
    return [norm for norm in NORMS if any(run.ranks(norm) for run in runs)]


def by_name(runs: Sequence[Run], norm: str, k: int | None = None) -> dict[str, Certificates]:
    """The certificates of one norm and k by the name of their run; k defaults to the smallest at hand."""
    ranks = {run.name: run.ranks(norm) for run in runs}
    wanted = min(one.k for several in ranks.values() for one in several) if k is None else k
    return {name: one for name, several in ranks.items() for one in several if one.k == wanted}


def class_names(runs: Sequence[Run], known: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the classes, from whoever knows them."""
    return next(
        filter(None, (tuple(known), *(run.votes.classes for run in runs if run.votes is not None))), ()
    )
