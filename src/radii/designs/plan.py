"""What every sampling plan answers: how much it samples, what its samples prove, and how it is followed."""

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar, Protocol

import numpy as np

from radii.designs.stopping import Stopping, clear_draws
from radii.errors import InputError, check_name
from radii.intervals import METHODS, bounds


class Rules(Protocol):
    """How bounds on probabilities become radii, under one noise and for one shape of images.

    `exact`: the noise is drawn on a lattice, which `holds` pays for. `words`: noise and shape, for messages.
    """

    @property
    def exact(self) -> bool: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def words(self) -> str: ...

    def radius(
        self, norm: str, unit: str, k: int, lower: np.ndarray, rivals: np.ndarray | None = None
    ) -> np.ndarray:
        """The radius that bounds give, `(n,)`."""
        ...

    def holds(
        self, norm: str, unit: str, k: int, lower: np.ndarray, rivals: np.ndarray | None, radius: np.ndarray
    ) -> np.ndarray:
        """Where bounds certify `radius`, `(n,)`."""
        ...


class Counts(Protocol):
    """Votes, as far as plans look at them: `counts` and `selection`, `(images, classes)`, and `certified`."""

    @property
    def counts(self) -> np.ndarray: ...
    @property
    def selection(self) -> np.ndarray: ...
    @property
    def index(self) -> np.ndarray: ...
    @property
    def certified(self) -> np.ndarray | None: ...


class Plan(ABC):
    """How many noise samples each image gets, and what they prove.

    `selection`: separate samples that choose the label, 0 for none. `name`: in files and on the command line.
    """

    name: ClassVar[str]
    usual_method: ClassVar[str] = METHODS[0]
    open_ended: ClassVar[bool] = False
    """Whether it may be stopped at any moment."""
    decides: ClassVar[bool] = False
    """Whether it decides given radii, so that no image is certified to any other."""
    selection: int

    # how much -----------------------------------------------------------------------------------

    @property
    @abstractmethod
    def most(self) -> int:
        """The most samples of one image in `counts`."""

    @property
    def per_image(self) -> int | None:
        """Samples of every image, selection included, where their number is fixed; such a plan has parts."""
        return None

    @property
    def outcomes(self) -> int | None:
        """How many outcomes of the noise it lists, each once; None where it samples."""
        return None

    @property
    @abstractmethod
    def draws(self) -> np.ndarray:
        """The numbers of samples in `counts` that an image can end with, rising."""

    @property
    def selection_draws(self) -> np.ndarray:
        """The numbers of samples in `selection` that an image can end with, rising."""
        return np.array([self.selection])

    @property
    def steps(self) -> int:
        """How many levels or radii its looks can certify, 0 for a plan that does not look."""
        return 0

    @abstractmethod
    def at_work(self, rules: Rules, part: tuple[int, int] | None = None) -> Stopping:
        """The plan as it is followed; `part`: the range of samples to take, of a plan that has parts."""

    # which labels -------------------------------------------------------------------------------

    @property
    def watched(self) -> str | None:
        """The labels that its looks are about, which alone may be certified: "true", "predicted" or None for any."""
        return None

    def labels_from(self, labels: np.ndarray | None) -> np.ndarray | None:
        """The labels that are looked at: true ones, or None for those that selection samples will show."""
        if labels is None and self.watched == "true":
            raise InputError(
                "a sequential plan watches one label of each image: give labels, or a plan with selection draws"
            )
        return None if self.selection else labels

    def cannot_end(self, counts: np.ndarray, watched: np.ndarray | None, certified: np.ndarray) -> np.ndarray:
        """Where its looks cannot have ended with such counts, `(images,)`."""
        return np.zeros(len(counts), dtype=bool)

    # what samples prove -------------------------------------------------------------------------

    def settle(self, labels: str | np.ndarray, k: int, alpha: float, method: str | None) -> str:
        """The method by which votes are certified; refuses what the looks of a plan have settled otherwise."""
        return self.usual_method if method is None else check_name("method", method, METHODS)

    def last_test(self, alpha: float, method: str) -> tuple[str, float] | None:
        """Method and error of the bound that all samples get, if they agree; None where nothing is left to chance."""
        return method, alpha

    def bounds_from(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, method: str, rules: Rules
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Bounds on the label, `(images,)`, and on its rivals, `(images, k)`, or None for what the label leaves."""
        return sampled_bounds(votes.counts, label, k, alpha, method)

    def decided(
        self, votes: Counts, norm: str, unit: str, k: int, reach: np.ndarray, rules: Rules, box: bool
    ) -> np.ndarray:
        """The certified radius, `(images,)`, from `reach`, which the bounds give, and from what looks decided.

        What was decided is read from what was stored, and never searched for again. `box`: `reach` knows the room that
        each image has in [0, 1].
        """
        return reach

    # as plain values ----------------------------------------------------------------------------

    @property
    def file_format(self) -> int:
        """The oldest format of votes files that can hold it."""
        return 1

    def document(self) -> dict[str, Any]:
        """Its name and fields, as plain values."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]


class Looking(Plan):
    """A plan that looks at one label of each image now and then, and decides given levels or radii at its looks."""

    decides = True
    alpha: float
    n_max: int

    @property
    def most(self) -> int:
        return self.n_max

    @property
    def selection_draws(self) -> np.ndarray:
        return clear_draws(self.selection)

    @property
    def watched(self) -> str:
        return "predicted" if self.selection else "true"

    @property
    def settled(self) -> dict[str, Any]:
        """What its looks have settled: certificates must ask for the same."""
        return {"labels": self.watched, "alpha": self.alpha, "method": self.usual_method}

    def settle(self, labels: str | np.ndarray, k: int, alpha: float, method: str | None) -> str:
        method = self.usual_method if method is None else method
        asked = {"labels": labels, "alpha": alpha, "method": method, "k": k}
        for name, value in self.settled.items():
            # labels may be an array, which no plan has watched
            if isinstance(asked[name], np.ndarray) or asked[name] != value:
                raise InputError(
                    f"the looks at these votes settled {name} = {value!r}, not {asked[name]!r}: "
                    "certify so, or draw votes by another plan"
                )
        return self.usual_method


def sampled_bounds(
    counts: np.ndarray, label: np.ndarray, k: int, alpha: float, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """`radii.bounds`; nothing is known of an image without samples."""
    drawn = counts.any(axis=1)
    if drawn.all():
        return bounds(counts, label, k=k, alpha=alpha, method=method)
    lower, rivals = np.zeros(len(counts)), np.ones((len(counts), k))
    lower[drawn], rivals[drawn] = bounds(counts[drawn], label[drawn], k=k, alpha=alpha, method=method)
    return lower, rivals


def check_plan(plan: object) -> None:
    """Refuse what no model can be sampled by."""
    if not isinstance(plan, Plan):
        raise InputError(f"plan must be a sampling plan, for example radii.fixed(1000); got {plan!r}")
