"""A plan as it is followed: how many samples of an image are wanted next, and when it has enough."""

from abc import ABC, abstractmethod

import numpy as np

LEAD = 6
"""Votes by which a label must lead to be chosen before all selection draws are taken."""
STEP = 4


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


def until_clear(selection: np.ndarray, most: int) -> np.ndarray:
    """Selection draws wanted, at most `most`: more, as long as no label leads by `LEAD` votes."""
    taken = selection.sum(axis=1)
    best = np.sort(selection, axis=1)[:, -2:]
    clear = best[:, -1] - (best[:, 0] if best.shape[1] > 1 else 0) >= LEAD
    return np.where(clear, taken, np.minimum(np.where(taken == 0, LEAD, taken + STEP), most))


def clear_draws(most: int) -> np.ndarray:
    """The numbers of selection draws that `until_clear` can end with, rising."""
    return np.arange(1, most + 1) if most else np.array([0])


def next_look(looks: np.ndarray, n: np.ndarray, done: np.ndarray) -> np.ndarray:
    """The draws at the look after `n`, or `n` itself for who is done."""
    following = np.minimum(np.searchsorted(looks, n, side="right"), len(looks) - 1)
    return np.where(done, n, looks[following])
