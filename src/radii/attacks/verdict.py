"""Whether a label has left the top k, said from votes on fresh noisy copies of a moved image."""

import numpy as np
from scipy.special import betainc
from scipy.stats import binom

from radii.designs import Exhaustive
from radii.votes import Votes

LEVEL = 1e-6
"""At which one verdict may be wrong: each image has some ten of them."""
CHANCE = 1e-3
"""At which so many certificates that do not hold are more than their alpha allows."""


def pushed_out(votes: Votes, labels: np.ndarray, k: int) -> np.ndarray:
    """Where at least `k` other classes are more probable than the label, `(images,)`.

    The k rivals are those of the selection draws; each must win the one-sided binomial test against the label. That all
    are more probable is said only where each single test says so, so that the level is that of one of them. Votes on
    all outcomes need no test.

    Guarantee: said wrongly of an image with probability at most 1e-6 over its draws.
    """
    rows = np.arange(len(labels))
    own = votes.counts[rows, labels]
    if isinstance(votes.plan, Exhaustive):
        return np.asarray((votes.counts > own[:, None]).sum(axis=1) >= k)
    others = votes.selection.astype(np.float64)
    others[rows, labels] = -1
    rivals = np.argsort(-others, axis=1, kind="stable")[:, :k]
    theirs = np.take_along_axis(votes.counts, rivals, axis=1)
    # P(Binomial(own + theirs, 1/2) >= theirs), which is 1 where there are none
    chance = np.where(theirs > 0, betainc(np.maximum(theirs, 1), own[:, None] + 1.0, 0.5), 1.0)
    return np.asarray((chance <= LEVEL).all(axis=1))


def too_many(wrong: int, certified: int, alpha: float) -> bool:
    """Whether so many wrong certificates of `certified` ones are more than each having probability `alpha` explains."""
    return wrong > 0 and bool(binom.sf(wrong - 1, certified, alpha) < CHANCE)
