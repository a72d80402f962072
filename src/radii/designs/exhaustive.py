"""The plan of derandomised noise: every noisy copy that there is, once."""

from dataclasses import dataclass

import numpy as np

from radii.designs.fixed import Fixed
from radii.designs.plan import Counts, Rules
from radii.errors import InputError
from radii.intervals import strongest_rivals

EXACT = "exact"
"""The method of plans that leave nothing to chance."""


@dataclass(frozen=True)
class Exhaustive(Fixed):
    """All `n` equally likely noisy copies of every image: shares of votes are probabilities, without any error."""

    name = "exhaustive"
    selection: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.selection:
            raise InputError(
                f"a plan of all noisy copies needs no selection draws: nothing is left to chance; got {self.selection}"
            )

    @property
    def outcomes(self) -> int:
        return self.n

    def settle(self, labels: str | np.ndarray, k: int, alpha: float, method: str | None) -> str:
        if method not in (None, EXACT):
            raise InputError(f"votes of all outcomes are exact: method 'exact', not {method!r}")
        return EXACT

    def last_test(self, alpha: float, method: str) -> None:
        return None

    def bounds_from(
        self, votes: Counts, label: np.ndarray, k: int, alpha: float, method: str, rules: Rules
    ) -> tuple[np.ndarray, np.ndarray]:
        """The probabilities themselves; 1 is a float below it, as certificates ask for."""
        mine = votes.counts[np.arange(len(label)), label]
        rivals = np.cumsum(strongest_rivals(votes.counts, label, k), axis=1)
        return np.minimum(mine / self.n, np.nextafter(1, 0)), rivals / self.n
