"""The contract of a sampling plan: how many noise samples each image gets, and what their votes prove.

A plan is used twice, in between its votes are stored.

*Sampling.* `radii.sampling.sampler` asks `labels_from` which labels the looks test, and `stopping_rule` for the rule
that `radii.sampling.scheduler` follows. For each image the scheduler calls `next_selection` until enough selection
samples have chosen the label, `first_look` once, and `look` each time the requested samples have votes, until no
more are requested. `Votes` reject counts that the plan cannot end with: `sample_sizes`, `selection_sizes` and
`impossible_outcomes`.

*Certification.* `radii.certificates.certify` calls `resolve_method`, which rejects settings other than those that
the looks were made with, `last_test` to see whether unanimous votes certify anything, `bounds_from` for bounds on
probabilities, and `decided_radius` for the radius that follows from them and from what the looks certified.
"""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import numpy as np

from radii.errors import InputError, check_name
from radii.noises.norms import NORMS, UNITS, unit_of
from radii.votes.bounds import JOINT, METHODS, bounds, check_k
from radii.votes.plans.boundaries import check_radii

# Any rule for selection is valid that depends on selection samples alone. By gambler's ruin, a label twice as probable
# as another falls behind it by six votes, before it leads by six, with probability 1 / (1 + 2**6).
SELECTION_LEAD = 6
"""Votes by which a label must lead to be chosen before all selection samples are taken."""
# Steps of 1 would take 25 samples instead of 27 where the label has probability 0.6 (4,000 simulated runs), and 6
# either way at 0.99; but an image waits for its votes at each step.
SELECTION_STEP = 4
"""Selection samples that are added at a time while no label leads."""


class Plan(ABC):
    """A sampling plan: how many noise samples each image gets, and what they prove.

    `name`: in files and on the command line.
    """

    name: ClassVar[str]
    usual_method: ClassVar[str] = METHODS[0]
    open_ended: ClassVar[bool] = False
    """Whether sampling may be stopped at any moment."""
    decides: ClassVar[bool] = False
    """Whether looks decide given radii; certified radii are then these, with few exceptions."""

    # sample sizes -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def selection(self) -> int:
        """Most separate samples per image that choose the label, 0 for none."""

    @property
    @abstractmethod
    def n_max(self) -> int:
        """Most samples per image in `counts`."""

    @property
    @abstractmethod
    def sample_sizes(self) -> np.ndarray:
        """Numbers of samples in `counts` that an image can end with, rising."""

    @property
    def selection_sizes(self) -> np.ndarray:
        """Numbers of samples in `selection` that an image can end with, rising."""
        return np.array([self.selection])

    @property
    def per_image(self) -> int | None:
        """Samples of every image, selection included, if the plan fixes their number; only then has it parts."""
        return None

    @property
    def outcomes(self) -> int | None:
        """Number of outcomes of the noise that the plan lists, each once; None if it samples."""
        return None

    # sampling -----------------------------------------------------------------------------------

    @abstractmethod
    def stopping_rule(self, rules: "Rules", part: tuple[int, int] | None = None) -> "StoppingRule":
        """Return the rule that the scheduler follows; `part`: range of samples to take, of a plan that has parts."""

    @property
    def tested_labels(self) -> str | None:
        """Labels that the looks test, the only ones to certify: "true", "predicted", or None if there are no looks."""
        return None

    @property
    def hypotheses(self) -> int:
        """Number of levels or radii that the looks test, 0 for a plan without looks."""
        return 0

    def labels_from(self, labels: np.ndarray | None) -> np.ndarray | None:
        """Return the labels to test: true ones, or None for those that selection samples will choose.

        Raises `InputError` if neither can be had.
        """
        if labels is None and self.tested_labels == "true":
            raise InputError(
                "a sequential plan tests one label of each image: give labels, or a plan with selection samples"
            )
        return None if self.selection else labels

    def impossible_outcomes(
        self, counts: np.ndarray, tested: np.ndarray | None, certified: np.ndarray
    ) -> np.ndarray:
        """Return where the looks cannot have ended with these counts and certified hypotheses, `(images,)`."""
        return np.zeros(len(counts), dtype=bool)

    # certification ------------------------------------------------------------------------------

    def resolve_method(
        self, labels: str | np.ndarray, k: int, alpha: float, method: str | None, jointly: bool = False
    ) -> str:
        """Return the method of the bounds; raise `InputError` for settings other than those of the looks.

        `jointly`: the bounds for all k must hold together.
        """
        if jointly and method is not None:
            # a choice of methods would be one more question, which the promise for all tables does not cover
            raise InputError(f"certificates that hold jointly have one method: leave out {method!r}")
        if jointly:
            return JOINT
        return self.usual_method if method is None else check_name("method", method, METHODS)

    def last_test(self, alpha: float, method: str) -> tuple[str, float] | None:
        """Return method and error probability of the bound from all samples; None without sampling error."""
        return method, alpha

    def bounds_from(
        self, votes: "Counts", label: np.ndarray, k: int, alpha: float, method: str, rules: "Rules"
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return a lower bound on the label, `(images,)`, and upper ones on its rivals, `(images, k)`.

        `label`: `(images,)`, or `(images, k)` for sets, whose rivals are `(images, 1)`. Rivals are None if `1 - lower`
        bounds them.
        """
        return sampled_bounds(votes.counts, label, k, alpha, method)

    def decided_radius(
        self, votes: "Counts", norm: str, unit: str, k: int, reach: np.ndarray, rules: "Rules", box: bool
    ) -> np.ndarray:
        """Return the certified radius, `(images,)`: `reach`, which the bounds give, or what the looks decided.

        Decisions are read from the votes and not searched for again: processors differ in the last digits of a
        search. `box`: `reach` accounts for each image's distance to the boundary of the box [0, 1].
        """
        return reach

    def document(self) -> dict[str, Any]:
        """Return name and fields as plain values, as votes files store them."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]


class SequentialPlan(Plan):
    """A plan with looks: it tests one label of each image at planned numbers of samples.

    Its looks fix labels, `alpha` and method: certifying anything else chooses the question after seeing the votes.
    """

    decides = True
    alpha: float
    n_max: int

    @property
    def selection_sizes(self) -> np.ndarray:
        # any number from 1 on: a label may lead early, but without samples there is none
        return np.arange(1, self.selection + 1) if self.selection else np.array([0])

    @property
    def tested_labels(self) -> str:
        return "predicted" if self.selection else "true"

    @property
    def fixed_settings(self) -> dict[str, Any]:
        """Settings that the looks were made with, and certificates must have."""
        return {"labels": self.tested_labels, "alpha": self.alpha, "method": self.usual_method}

    def resolve_method(
        self, labels: str | np.ndarray, k: int, alpha: float, method: str | None, jointly: bool = False
    ) -> str:
        # the looks ask one question, and what follows from their bounds holds jointly at no cost
        method = self.usual_method if method is None else method
        settings = {"labels": labels, "alpha": alpha, "method": method, "k": k}
        for name, fixed in self.fixed_settings.items():
            # Any other question would be chosen after its answer was seen: the looks decided when to stop by these.
            # An array of labels is never what the looks tested, and has no single truth value.
            if isinstance(settings[name], np.ndarray) or settings[name] != fixed:
                raise InputError(
                    f"the looks at these votes fixed {name} = {fixed!r}, not {settings[name]!r}: "
                    "certify with that, or sample votes by another plan"
                )
        return self.usual_method


class StoppingRule(ABC):
    """A plan at work: how many samples an image gets before the next look.

    Images are rows of the arguments. Methods return the total number of samples at which to look next; an image that
    has as many already is done. A rule without looks of its own takes what `first_look` requests.
    """

    @property
    def first_sample(self) -> int:
        """Number of the first sample that counts, above 0 for a later part of a fixed plan."""
        return 0

    @property
    def per_image(self) -> int | None:
        """Samples of every image, selection included, if nothing but a time limit changes their number."""
        return None

    @property
    def in_rounds(self) -> bool:
        """Whether every image gets its samples of a round before any image gets more."""
        return False

    @abstractmethod
    def next_selection(self, selection: np.ndarray) -> np.ndarray:
        """Return the selection samples to have, `(images,)`, from `selection` so far, `(images, classes)`."""

    @abstractmethod
    def first_look(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return the samples to have at the first look, `(images,)`, once selection samples chose the label."""

    def look(
        self, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return how many hypotheses are certified now, and the samples to have at the next look, both `(images,)`.

        `counts`, `(images, classes)`, are all votes so far; `certified`, `(images,)`, the result of the look before.
        """
        return certified, counts.sum(axis=1)


class Rules(Protocol):
    """How bounds on probabilities become radii, under one noise and for one shape of images.

    `exact`: the noise is drawn on a lattice, for which `holds` accounts. `description`: noise and shape, for messages.
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
        """Return the radius that bounds give, `(n,)`."""
        ...

    def holds(
        self, norm: str, unit: str, k: int, lower: np.ndarray, rivals: np.ndarray | None, radius: np.ndarray
    ) -> np.ndarray:
        """Return where bounds certify `radius`, `(n,)`."""
        ...


class Counts(Protocol):
    """What plans read of votes: `counts` and `selection`, `(images, classes)`, `index` and `certified`, `(images,)`."""

    @property
    def counts(self) -> np.ndarray: ...
    @property
    def selection(self) -> np.ndarray: ...
    @property
    def index(self) -> np.ndarray: ...
    @property
    def certified(self) -> np.ndarray | None: ...


@dataclass(frozen=True)
class Decision:
    """The label stays in the top `k` within `radii[i]` where at least `levels[i]` levels of the plan are certified.

    `radii`, `(radii,)`, rise; `norm` and `unit` (what l0 counts) are theirs. `exact`: the levels were chosen for noise
    on a lattice. They are a little larger (docs/math/exact.md), and so serve noise drawn in floats, too.
    """

    norm: str
    radii: tuple[float, ...]
    levels: tuple[int, ...]
    k: int = 1
    unit: str = "pixel"
    exact: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "radii", check_radii(self.radii))
        # plain ints: files are JSON, which has no whole numbers of numpy
        object.__setattr__(self, "levels", tuple(map(int, self.levels)))
        check_name("norm", self.norm, NORMS)
        object.__setattr__(self, "unit", unit_of(self.norm, check_name("unit", self.unit, UNITS)))
        check_k(self.k)
        if len(self.levels) != len(self.radii) or not all(a <= b for a, b in pairwise((1, *self.levels))):
            raise InputError(
                f"each radius needs a number of levels, from 1 on and not falling; got {self.levels} for {self.radii}"
            )

    def radius(self, certified: np.ndarray) -> np.ndarray:
        """Return the largest radius that `certified` levels decide, `(images,)` to `(images,)`; 0 for none."""
        # two radii may share a level: "right" takes the larger of them
        return np.array([0.0, *self.radii])[np.searchsorted(self.levels, certified, side="right")]

    def answers(self, norm: str, unit: str, k: int, exact: bool) -> bool:
        """Return whether it is about this norm and unit, and holds for this `k` and arithmetic of the votes."""
        # a label that stays in the top k stays in every larger one
        return (self.norm, self.unit) == (norm, unit) and self.k <= k and (self.exact or not exact)


def check_plan(plan: object) -> None:
    """Raise `InputError` unless `plan` is a sampling plan."""
    if not isinstance(plan, Plan):
        raise InputError(f"plan must be a sampling plan, for example radii.fixed(1000); got {plan!r}")


def sampled_bounds(
    counts: np.ndarray, label: np.ndarray, k: int, alpha: float, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return `radii.bounds` of images with samples, and the trivial bounds 0 and 1 of images without."""
    drawn = counts.any(axis=1)
    if drawn.all():
        return bounds(counts, label, k=k, alpha=alpha, method=method)
    lower, rivals = np.zeros(len(counts)), np.ones((len(counts), k if label.ndim == 1 else 1))
    lower[drawn], rivals[drawn] = bounds(counts[drawn], label[drawn], k=k, alpha=alpha, method=method)
    return lower, rivals


def until_clear(selection: np.ndarray, most: int) -> np.ndarray:
    """Return the selection samples to have, at most `most`: more as long as no label leads by `SELECTION_LEAD`."""
    taken = selection.sum(axis=1)
    best = np.sort(selection, axis=1)[:, -2:]
    # with a single class there is no runner-up
    lead = best[:, -1] - (best[:, 0] if best.shape[1] > 1 else 0)
    more = np.where(taken == 0, SELECTION_LEAD, taken + SELECTION_STEP)
    return np.where(lead >= SELECTION_LEAD, taken, np.minimum(more, most))


def next_look(looks: np.ndarray, n: np.ndarray, done: np.ndarray) -> np.ndarray:
    """Return the number of samples at the look after `n`, or `n` itself where an image is done."""
    # right of `n`: an image at a look goes on to the next one. At the last, the number returned is `n` itself, which
    # the scheduler takes for the end.
    following = np.minimum(np.searchsorted(looks, n, side="right"), len(looks) - 1)
    return np.where(done, n, looks[following])
