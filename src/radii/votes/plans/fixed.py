"""Plans with the same number of noise samples for every image, or with every outcome of the noise once."""

from dataclasses import dataclass

import numpy as np

from radii.errors import InputError
from radii.votes.bounds import strongest_rivals
from radii.votes.plans.base import Counts, Plan, Rules, StoppingRule

MOST = 10**12
"""Largest number of anything that is counted; sums of counts then stay far within 64 bits."""

EXACT = "exact"
"""Method of plans without sampling error."""


@dataclass(frozen=True)
class Fixed(Plan):
    """Sampling plan with the same number of noise samples for every image.

    Parameters
    ----------
    n : noise samples
        Samples per image that bound the probabilities.
    selection : noise samples
        Separate samples per image that choose the label.

    Raises
    ------
    InputError
        If a number is not whole, or out of range.

    Examples
    --------
    >>> import radii
    >>> radii.Fixed(n=1000).per_image
    1100
    """

    name = "fixed"
    n: int
    selection: int = 100

    def __post_init__(self) -> None:
        check_whole("n", self.n, 1)
        check_whole("selection", self.selection, 0)

    @property
    def n_max(self) -> int:
        return self.n

    @property
    def per_image(self) -> int:
        return self.n + self.selection

    @property
    def sample_sizes(self) -> np.ndarray:
        return np.array([self.n])

    def stopping_rule(self, rules: Rules, part: tuple[int, int] | None = None) -> StoppingRule:
        return AllAtOnce(self.selection, *(part or (0, self.n)))


@dataclass(frozen=True)
class Exhaustive(Fixed):
    """Sampling plan with all `n` equally likely noisy images, so that shares of votes are probabilities.

    Parameters
    ----------
    n
        Number of outcomes of the noise.
    selection
        Always 0: no chance is left.

    Raises
    ------
    InputError
        If `n` is not a whole number of at least 1, or `selection` is not 0.

    Examples
    --------
    >>> import radii
    >>> radii.Exhaustive(n=442).outcomes
    442
    """

    name = "exhaustive"
    selection: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        # labels are chosen from counts that have no error, so that separate samples would add nothing
        if self.selection:
            raise InputError(
                f"a plan of all outcomes has no sampling error and no selection samples: leave out {self.selection}"
            )

    @property
    def outcomes(self) -> int:
        return self.n

    def resolve_method(
        self, labels: str | np.ndarray, k: int, alpha: float, method: str | None, jointly: bool = False
    ) -> str:
        if method not in (None, EXACT):
            raise InputError(
                f"votes on all outcomes have no sampling error: take method 'exact', not {method!r}"
            )
        return EXACT

    def last_test(self, alpha: float, method: str) -> None:
        return None

    def bounds_from(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, method: str, rules: Rules
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the probabilities themselves; for 1 the float below it, as rules take no lower bound of 1."""
        successes = np.take_along_axis(votes.counts, label.reshape(len(label), -1), axis=1).min(axis=1)
        # the weakest member of a set competes with the strongest class outside alone
        rivals = np.cumsum(strongest_rivals(votes.counts, label, k if label.ndim == 1 else 1), axis=1)
        # the divisions round by 2^-53 of a value that is known exactly; radii have a margin of 5e-12 (docs/log.md)
        return np.minimum(successes / self.n, np.nextafter(1, 0)), rivals / self.n


def fixed(n: int, selection: int = 100) -> Fixed:
    """Return the plan of Cohen et al. 2019: the same `n` noise samples for every image.

    Parameters
    ----------
    n : noise samples
        Samples per image that bound the probabilities.
    selection : noise samples
        Separate samples per image that choose the label ($n_0$ in the paper).

    Returns
    -------
    Fixed
        The plan.

    References
    ----------
    Cohen, Rosenfeld & Kolter (2019), Certified adversarial robustness via randomized smoothing, ICML.

    Examples
    --------
    >>> import radii
    >>> radii.fixed(1000)
    Fixed(n=1000, selection=100)
    """
    return Fixed(n, selection)


@dataclass(frozen=True)
class AllAtOnce(StoppingRule):
    """Samples `start` to `stop - 1` of every image, after `selection` samples."""

    selection: int
    start: int
    stop: int

    @property
    def first_sample(self) -> int:
        return self.start

    @property
    def per_image(self) -> int:
        return self.selection + self.stop - self.start

    def next_selection(self, selection: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.selection)

    def first_look(self, selection: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.full(len(selection), self.stop - self.start)


def check_whole(name: str, value: object, least: int, most: int = MOST) -> None:
    """Raise `InputError` unless `value` is a whole number from `least` to `most`."""
    # True is an int to Python, and would pass as 1; numbers of numpy are welcome
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}; got {value!r}")
    if value > most:
        raise InputError(f"{name} must be at most {most}; got {value!r}")
