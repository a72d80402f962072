"""The plan of the papers: the same number of noisy copies for every image."""

from dataclasses import dataclass

import numpy as np

from radii.errors import InputError

MOST = 10**12
"""Of anything that is counted: sums of counts stay far within 64 bits."""


@dataclass(frozen=True)
class Fixed:
    """`n` draws that bound the probabilities, and `selection` separate ones that choose the label."""

    n: int
    selection: int = 100

    def __post_init__(self) -> None:
        check_whole("n", self.n, 1)
        check_whole("selection", self.selection, 0)


def fixed(n: int, selection: int = 100) -> Fixed:
    """The plan of Cohen et al. 2019: the same `n` draws for every image, `selection` more to pick its label."""
    return Fixed(n, selection)


def check_whole(name: str, value: object, least: int, most: int = MOST) -> None:
    """Refuse what is not a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}; got {value!r}")
    if value > most:
        raise InputError(f"{name} must be at most {most}; got {value!r}")
