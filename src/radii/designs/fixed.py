"""The plan of the papers: the same number of noisy copies for every image."""

from dataclasses import dataclass

import numpy as np

from radii.designs.plan import Plan, Rules
from radii.designs.stopping import Stopping
from radii.errors import InputError

MOST = 10**12
"""Of anything that is counted: sums of counts stay far within 64 bits."""


@dataclass(frozen=True)
class Fixed(Plan):
    """`n` draws that bound the probabilities, and `selection` separate ones that choose the label."""

    name = "fixed"
    n: int
    selection: int = 100

    def __post_init__(self) -> None:
        check_whole("n", self.n, 1)
        check_whole("selection", self.selection, 0)

    @property
    def most(self) -> int:
        return self.n

    @property
    def per_image(self) -> int:
        return self.n + self.selection

    @property
    def draws(self) -> np.ndarray:
        return np.array([self.n])

    def at_work(self, rules: Rules, part: tuple[int, int] | None = None) -> Stopping:
        return AllAtOnce(self.selection, *(part or (0, self.n)))


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


def fixed(n: int, selection: int = 100) -> Fixed:
    """The plan of Cohen et al. 2019: the same `n` draws for every image, `selection` more to pick its label."""
    return Fixed(n, selection)


def check_whole(name: str, value: object, least: int, most: int = MOST) -> None:
    """Refuse what is not a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}; got {value!r}")
    if value > most:
        raise InputError(f"{name} must be at most {most}; got {value!r}")
