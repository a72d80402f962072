"""What a plan of levels decides about radii, so that nothing has to be searched for again when its votes are read."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from radii.designs.boundaries import check_radii
from radii.errors import InputError, check_name
from radii.intervals import check_k
from radii.norms import NORMS, UNITS


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
        object.__setattr__(self, "radii", tuple(map(float, self.radii)))
        object.__setattr__(self, "levels", tuple(map(int, self.levels)))
        check_name("norm", self.norm, NORMS)
        check_name("unit", self.unit, UNITS)
        check_k(self.k)
        check_radii(self.radii)
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
