"""Sampling plans: how many noisy copies of each image are polled, and which of them choose the label."""

from dataclasses import dataclass

import numpy as np

from radii.errors import InputError


@dataclass(frozen=True)
class Fixed:
    """`n` draws that bound the probabilities, and `selection` separate ones that choose the label."""

    n: int
    selection: int = 100

    def __post_init__(self) -> None:
        for name, value, least in (("n", self.n, 1), ("selection", self.selection, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise InputError(f"{name} must be a whole number of at least {least}; got {value!r}")


def fixed(n: int, selection: int = 100) -> Fixed:
    """The plan of Cohen et al. 2019: the same `n` draws for every image, `selection` more to pick its label."""
    return Fixed(n, selection)
