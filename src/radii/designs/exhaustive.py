"""The plan of derandomised noise: every noisy copy that there is, once."""

from dataclasses import dataclass

from radii.designs.fixed import Fixed
from radii.errors import InputError


@dataclass(frozen=True)
class Exhaustive(Fixed):
    """All `n` equally likely noisy copies of every image: shares of votes are probabilities, without any error."""

    selection: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.selection:
            raise InputError(
                f"a plan of all noisy copies needs no selection draws: nothing is left to chance; got {self.selection}"
            )
