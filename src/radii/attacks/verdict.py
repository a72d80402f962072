"""Whether a label has left the top k, said from votes on fresh noisy copies of a moved image."""

import numpy as np
from scipy.special import bdtrc

from radii.intervals import sign_test
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
    if votes.plan.outcomes:
        return np.asarray((votes.counts > own[:, None]).sum(axis=1) >= k)
    others = votes.selection.astype(np.float64)
    others[rows, labels] = -1
    rivals = np.argsort(-others, axis=1, kind="stable")[:, :k]
    theirs = np.take_along_axis(votes.counts, rivals, axis=1)
    return np.asarray((sign_test(theirs, own[:, None]) <= LEVEL).all(axis=1))


def too_many(wrong: int, certified: int, alpha: float) -> bool:
    """Whether so many wrong certificates of `certified` ones are more than each having probability `alpha` explains."""
    return wrong > 0 and bool(bdtrc(wrong - 1, certified, alpha) < CHANCE)
