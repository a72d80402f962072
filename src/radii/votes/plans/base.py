"""What every sampling plan answers: how much it samples, what its samples prove, and how it is followed."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import numpy as np

from radii.errors import InputError, check_name
from radii.noises.norms import NORMS, UNITS
from radii.votes.bounds import METHODS, bounds, check_k
from radii.votes.plans.boundaries import check_radii

SELECTION_LEAD = 6
"""Votes by which a label must lead to be chosen before all selection draws are taken."""
SELECTION_STEP = 4


class StoppingRule(ABC):
    """A plan at work. Images come by the row; `wanted` draws are all that an image shall have before the next look.

    An image is done when it has what is wanted. A plan that does not say how to judge takes what it began with.
    """

    @property
    def first_sample(self) -> int:
        """The number of the first draw that bounds."""
        return 0

    @property
    def per_image(self) -> int | None:
        """How often the model will be asked about each image, if that is settled and nobody stops the plan."""
        return None

    @property
    def in_rounds(self) -> bool:
        """Whether all images are asked about before any is asked about again."""
        return False

    @abstractmethod
    def next_selection(self, selection: np.ndarray) -> np.ndarray:
        """Selection draws wanted `(images,)`, from those so far, `(images, classes)`; all 0 at first."""

    @abstractmethod
    def first_look(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Draws wanted before the first look, `(images,)`, once the label is chosen."""

    def look(
        self, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A look at `counts`, `(images, classes)`: how many levels or radii are certified now, and draws wanted."""
        return certified, counts.sum(axis=1)


def until_clear(selection: np.ndarray, most: int) -> np.ndarray:
    """Selection draws wanted, at most `most`: more, as long as no label leads by `SELECTION_LEAD` votes."""
    taken = selection.sum(axis=1)
    best = np.sort(selection, axis=1)[:, -2:]
    clear = best[:, -1] - (best[:, 0] if best.shape[1] > 1 else 0) >= SELECTION_LEAD
    return np.where(
        clear, taken, np.minimum(np.where(taken == 0, SELECTION_LEAD, taken + SELECTION_STEP), most)
    )


def clear_sizes(most: int) -> np.ndarray:
    """The numbers of selection draws that `until_clear` can end with, rising."""
    return np.arange(1, most + 1) if most else np.array([0])


def next_look(looks: np.ndarray, n: np.ndarray, done: np.ndarray) -> np.ndarray:
    """The draws at the look after `n`, or `n` itself for who is done."""
    following = np.minimum(np.searchsorted(looks, n, side="right"), len(looks) - 1)
    return np.where(done, n, looks[following])


class Rules(Protocol):
    """How bounds on probabilities become radii, under one noise and for one shape of images.

    `exact`: the noise is drawn on a lattice, which `holds` pays for. `description`: noise and shape, for messages.
    """

    @property
    def exact(self) -> bool: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def description(self) -> str: ...

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
    def n_max(self) -> int:
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
    def sample_sizes(self) -> np.ndarray:
        """The numbers of samples in `counts` that an image can end with, rising."""

    @property
    def selection_sizes(self) -> np.ndarray:
        """The numbers of samples in `selection` that an image can end with, rising."""
        return np.array([self.selection])

    @property
    def hypotheses(self) -> int:
        """How many levels or radii its looks can certify, 0 for a plan that does not look."""
        return 0

    @abstractmethod
    def stopping_rule(self, rules: Rules, part: tuple[int, int] | None = None) -> StoppingRule:
        """The plan as it is followed; `part`: the range of samples to take, of a plan that has parts."""

    # which labels -------------------------------------------------------------------------------

    @property
    def tested_labels(self) -> str | None:
        """The labels that its looks are about, which alone may be certified: "true", "predicted" or None for any."""
        return None

    def labels_from(self, labels: np.ndarray | None) -> np.ndarray | None:
        """The labels that are looked at: true ones, or None for those that selection samples will show."""
        if labels is None and self.tested_labels == "true":
            raise InputError(
                "a sequential plan watches one label of each image: give labels, or a plan with selection draws"
            )
        return None if self.selection else labels

    def impossible_outcomes(
        self, counts: np.ndarray, tested: np.ndarray | None, certified: np.ndarray
    ) -> np.ndarray:
        """Where its looks cannot have ended with such counts, `(images,)`."""
        return np.zeros(len(counts), dtype=bool)

    # what samples prove -------------------------------------------------------------------------

    def resolve_method(self, labels: str | np.ndarray, k: int, alpha: float, method: str | None) -> str:
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

    def document(self) -> dict[str, Any]:
        """Its name and fields, as plain values."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]


class SequentialPlan(Plan):
    """A plan that looks at one label of each image now and then, and decides given levels or radii at its looks."""

    decides = True
    alpha: float
    n_max: int

    @property
    def selection_sizes(self) -> np.ndarray:
        return clear_sizes(self.selection)

    @property
    def tested_labels(self) -> str:
        return "predicted" if self.selection else "true"

    @property
    def fixed_settings(self) -> dict[str, Any]:
        """What its looks have settled: certificates must ask for the same."""
        return {"labels": self.tested_labels, "alpha": self.alpha, "method": self.usual_method}

    def resolve_method(self, labels: str | np.ndarray, k: int, alpha: float, method: str | None) -> str:
        method = self.usual_method if method is None else method
        asked = {"labels": labels, "alpha": alpha, "method": method, "k": k}
        for name, value in self.fixed_settings.items():
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


@dataclass(frozen=True)
class Decision:
    """The label stays in the top `k` within `radii[i]` where at least `levels[i]` levels of the plan are certified.

    `radii`, `(radii,)`, rise; `norm` and `unit` (what l0 counts) are theirs. `exact`: the levels were chosen for noise
    on a lattice, which asks for a little more (docs/math/exact.md), so that they also serve noise drawn in floats.
    """

    norm: str
    radii: tuple[float, ...]
    levels: tuple[int, ...]
    k: int = 1
    unit: str = "feature"
    exact: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "radii", check_radii(self.radii))
        object.__setattr__(self, "levels", tuple(map(int, self.levels)))
        check_name("norm", self.norm, NORMS)
        check_name("unit", self.unit, UNITS)
        check_k(self.k)
        if len(self.levels) != len(self.radii) or not all(a <= b for a, b in pairwise((1, *self.levels))):
            raise InputError(
                f"each radius needs a number of levels, from 1 on and not falling; got {self.levels} for {self.radii}"
            )

    def radius(self, certified: np.ndarray) -> np.ndarray:
        """The largest radius that so many certified levels decide, `(images,)` to `(images,)`; 0 for none."""
        return np.array([0.0, *self.radii])[np.searchsorted(self.levels, certified, side="right")]

    def answers(self, norm: str, unit: str, k: int, exact: bool) -> bool:
        """Whether it is about this norm and unit, and holds for this `k` and this arithmetic of the votes."""
        return (self.norm, self.unit) == (norm, unit) and self.k <= k and (self.exact or not exact)
