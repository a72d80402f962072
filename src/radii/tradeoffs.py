"""Trade-off functions: how far the probability of a region can rise or fall when the noise is moved.

For a noise with law P, moved within a ball of radius `r` to laws Q, and a region of probability `p` under P:

    upper(p, r) = sup Q(region)        lower(p, r) = inf Q(region) = 1 - upper(1 - p, r)

`1 - upper(alpha, r)` is the trade-off function of the test P against Q (Neyman & Pearson 1933; Dong, Roth & Su
2022). Every certificate is computed from these two functions alone.
"""

from abc import ABC, abstractmethod

import numpy as np


class TradeOffs(ABC):
    """The trade-off functions of one noise against one ball, one for each radius.

    Guarantee: `upper` never lies below the largest probability that a region of probability at most `p` can
    reach within the radius, `lower` never above the smallest that one of at least `p` can fall to, up to the
    relative rounding `certificates.ROUNDING`. Both are monotone in `p`, and worsen with `r`.
    """

    @abstractmethod
    def upper(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Largest probability within radius `r`; `p` and `r` broadcast, images on the first axis."""

    @abstractmethod
    def lower(self, p: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Smallest probability within radius `r`; `p` and `r` broadcast, images on the first axis."""
