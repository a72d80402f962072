"""When to stop asking about an image: what each sampling plan says when it looks at the votes so far."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from radii.designs import Anytime, Fixed, Plan, Sequential, TopK
from radii.evidence import check_decision
from radii.noises import Noise
from radii.planning import Question, fresh_draws, judge

LEAD = 6
"""Votes by which a label must lead to be chosen before all selection draws are taken."""
STEP = 4
FIRST_ROUND = 16


class Stopping(ABC):
    """A plan at work. Images come by the row; `wanted` draws are all that an image shall have before the next look.

    An image is done when it has what is wanted. A plan that does not say how to judge takes what it began with.
    """

    @property
    def first(self) -> int:
        """The number of the first draw that bounds."""
        return 0

    @property
    def each(self) -> int | None:
        """How often the model will be asked about each image, if that is settled and nobody stops the plan."""
        return None

    @property
    def in_rounds(self) -> bool:
        """Whether all images are asked about before any is asked about again."""
        return False

    @abstractmethod
    def choose(self, selection: np.ndarray) -> np.ndarray:
        """Selection draws wanted `(images,)`, from those so far, `(images, classes)`; all 0 at first."""

    @abstractmethod
    def begin(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Draws wanted before the first look, `(images,)`, once the label is chosen."""

    def judge(
        self, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A look at `counts`, `(images, classes)`: how many levels or radii are certified now, and draws wanted."""
        return certified, counts.sum(axis=1)


@dataclass(frozen=True)
class AllAtOnce(Stopping):
    """Draws `start` to `stop - 1` of every image, after `selection` others."""

    selection: int
    start: int
    stop: int

    @property
    def first(self) -> int:
        return self.start

    @property
    def each(self) -> int:
        return self.selection + self.stop - self.start

    def choose(self, selection: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.selection)

    def begin(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.stop - self.start)


@dataclass(frozen=True)
class ByFailures(Stopping):
    """The group-sequential test of levels."""

    plan: Sequential

    def choose(self, selection: np.ndarray) -> np.ndarray:
        return until_clear(selection, self.plan.selection)

    def begin(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.plan.boundaries.looks[0])

    def judge(
        self, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        looks, n = self.plan.boundaries.looks, counts.sum(axis=1)
        look = np.searchsorted(looks, n)
        failures = n - counts[np.arange(len(counts)), label]
        certified, done = self.plan.boundaries.decide(look, failures, certified)
        return certified, next_look(looks, n, done)


@dataclass(frozen=True)
class ByBounds(Stopping):
    """The sequential plan with bounds on the rivals."""

    plan: TopK
    question: Question

    def choose(self, selection: np.ndarray) -> np.ndarray:
        return until_clear(selection, self.plan.selection)

    def begin(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.plan.looks[0])

    def judge(
        self, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        certified, done = judge(self.plan, self.question, counts, label, certified)
        return certified, next_look(self.plan.looks, counts.sum(axis=1), done)


@dataclass(frozen=True)
class AfterPilot(Stopping):
    """As many fresh draws as the pilot, which are the selection draws, says that an image is worth."""

    pilot: int
    worth: np.ndarray

    def choose(self, selection: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.pilot)

    def begin(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return self.worth[self.pilot - selection[np.arange(len(selection)), label]]


@dataclass(frozen=True)
class InRounds(Stopping):
    """All images get the same number of draws, half as many again in each round, until someone stops them."""

    plan: Anytime

    @property
    def in_rounds(self) -> bool:
        return True

    @property
    def each(self) -> int:
        return self.plan.selection + self.plan.n_max

    def choose(self, selection: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.plan.selection)

    def begin(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.full(len(selection), min(FIRST_ROUND, self.plan.n_max))

    def judge(
        self, counts: np.ndarray, label: np.ndarray, certified: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return certified, np.minimum(counts.sum(axis=1) * 3 // 2, self.plan.n_max)


def stopping(
    plan: Plan, noise: Noise, shape: tuple[int, ...], exact: bool, part: tuple[int, int] | None = None
) -> Stopping:
    """The plan at work on images of `shape`; `part`: of the draws of a fixed plan."""
    if isinstance(plan, Fixed):
        return AllAtOnce(plan.selection, *(part or (0, plan.n)))
    if isinstance(plan, Sequential):
        for decision in plan.decisions:
            check_decision(plan, decision, noise, shape)
        return ByFailures(plan)
    if isinstance(plan, TopK):
        return ByBounds(plan, Question(noise, plan.norm, plan.radii, shape, plan.k, plan.unit, exact))
    if isinstance(plan, Anytime):
        return InRounds(plan)
    failures = np.arange(plan.pilot + 1)
    return AfterPilot(plan.pilot, fresh_draws(plan, noise, failures, shape=shape))


def until_clear(selection: np.ndarray, most: int) -> np.ndarray:
    """Selection draws wanted, at most `most`: more, as long as no label leads by `LEAD` votes."""
    taken = selection.sum(axis=1)
    best = np.sort(selection, axis=1)[:, -2:]
    clear = best[:, -1] - (best[:, 0] if best.shape[1] > 1 else 0) >= LEAD
    return np.where(clear, taken, np.minimum(np.where(taken == 0, LEAD, taken + STEP), most))


def next_look(looks: np.ndarray, n: np.ndarray, done: np.ndarray) -> np.ndarray:
    """The draws at the look after `n`, or `n` itself for who is done."""
    following = np.minimum(np.searchsorted(looks, n, side="right"), len(looks) - 1)
    return np.where(done, n, looks[following])
