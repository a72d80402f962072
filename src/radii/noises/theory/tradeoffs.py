"""Trade-off functions: how far the probability of a region can rise or fall when the noise is moved.

For a noise with law P, moved within a ball of radius `r` to laws Q, and a region of probability `p` under P:

    upper(p, r) = sup Q(region)        lower(p, r) = inf Q(region) = 1 - upper(1 - p, r)

`1 - upper(alpha, r)` is the trade-off function of the test P against Q (Neyman & Pearson 1933; Dong, Roth & Su
2022). Every certificate is computed from these two functions alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Map = Callable[[np.ndarray], np.ndarray]


class TradeOffs(ABC):
    """The trade-off functions of one noise against one ball, one for each radius.

    `start` is a radius of the usual size, from which a search may begin.

    Guarantee: `upper` never lies below the largest probability that a region of probability at most `p` can
    reach within the radius, `lower` never above the smallest that one of at least `p` can fall to, up to a
    relative rounding of 1e-13 that certificates allow for. Both rise with `p` and worsen with `r`.
    """

    start: float

    @abstractmethod
    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Largest probability within radius `r`; `p` and `r` broadcast, images on the first axis."""

    @abstractmethod
    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Smallest probability within radius `r`; `p` and `r` broadcast, images on the first axis."""


@dataclass(frozen=True, eq=False)
class Translation(TradeOffs):
    """`upper(p, r) = F(F^-1(p) + distance(r))` for a symmetric distribution function F (docs/math/rules.md).

    `quantile` is `F^-1`, `cdf` is F. The top-1 radius is `(quantile(lower) - quantile(rival)) / 2` in units of
    `distance`, the formula of Cohen et al. 2019 with another F.
    """

    quantile: Map
    cdf: Map
    distance: Map
    start: float

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.cdf(self.quantile(p) + self.distance(r))

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.cdf(self.quantile(p) - self.distance(r))


@dataclass(frozen=True, eq=False)
class TotalVariation(TradeOffs):
    """`upper(p, r) = min(1, p + distance(r))`: the noise and the moved noise agree where both have density."""

    distance: Map
    start: float

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.minimum(p + self.distance(r), 1)

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.maximum(p - self.distance(r), 0)


@dataclass(frozen=True, eq=False)
class Tightest(TradeOffs):
    """Several sound families for the same ball: the best of them at each point is sound."""

    families: tuple[TradeOffs, ...]
    start: float

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.minimum.reduce([family.upper(p, r) for family in self.families])

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.maximum.reduce([family.lower(p, r) for family in self.families])
