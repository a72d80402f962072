"""Trade-off functions: how far the probability of a region can rise or fall when the noise is shifted.

Let P be the distribution of the noise, and Q that of the noise shifted by a perturbation within radius `r`. For a
region of probability `p` under P,

    upper(p, r) = sup Q(region)        lower(p, r) = inf Q(region) = 1 - upper(1 - p, r)

`1 - upper(alpha, r)` is the trade-off function of the test P against Q (Neyman & Pearson 1933; Dong, Roth & Su
2022). Every certificate is computed from these two functions alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Map = Callable[[np.ndarray], np.ndarray]
"""An elementwise function of an array."""


class TradeOffs(ABC):
    """The trade-off functions of one noise against the balls of one norm.

    `start` is a radius of typical size, from which a search begins.

    Guarantee: `upper` is at least the largest probability, over perturbations within the radius, of a region of
    probability at most `p`; `lower` is at most the smallest of a region of probability at least `p`. Both hold up to a
    relative rounding error of 1e-13, for which certificates allow. Both rise with `p`; `upper` rises and `lower` falls
    with `r`.
    """

    start: float

    @abstractmethod
    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Return the largest probability within radius `r`; `p` and `r` broadcast, images on the first axis."""

    @abstractmethod
    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Return the smallest probability within radius `r`; `p` and `r` broadcast, images on the first axis."""


class ComplementaryTradeOffs(TradeOffs):
    """Trade-off functions computed by one method, since `upper(p, r) = 1 - lower(1 - p, r)`."""

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        # p is the complement of 1 - p, and keeps its digits where it is small
        return 1 - self.smallest(1 - p, p, r)

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return self.smallest(p, 1 - p, r)

    @abstractmethod
    def smallest(self, p: np.ndarray, complement: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Return `lower(p, r)`; `complement` is `1 - p`, which keeps its digits where p is nearly 1."""


@dataclass(frozen=True, eq=False)
class Translation(TradeOffs):
    """`upper(p, r) = F(F^-1(p) + distance(r))` for a symmetric distribution function F (docs/math/rules.md).

    `quantile` is `F^-1`, `cdf` is F. The top-1 radius is `(quantile(lower) - quantile(rival)) / 2` in units of
    `distance`: the formula of Cohen et al. 2019 with another F.
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
    """`upper(p, r) = min(1, p + distance(r))`, `distance` the total variation distance between P and Q.

    It is tight where P and Q agree on a set and are mutually singular elsewhere.
    """

    distance: Map
    start: float

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.minimum(p + self.distance(r), 1)

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.maximum(p - self.distance(r), 0)


@dataclass(frozen=True, eq=False)
class Tightest(TradeOffs):
    """The best of several sound families for the same ball, point by point, which is sound itself."""

    families: tuple[TradeOffs, ...]
    start: float

    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        # point by point, since which family is best depends on p and r
        return np.minimum.reduce([family.upper(p, r) for family in self.families])

    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        return np.maximum.reduce([family.lower(p, r) for family in self.families])
