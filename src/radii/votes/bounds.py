"""Confidence bounds on class probabilities from counts: one-sided, finite-sample, and valid together.

Proofs are in docs/math/statistics.md.
"""

from math import comb
from numbers import Real
from typing import Literal

import numpy as np
from scipy.special import betainc, betaincinv

from radii.errors import InputError, check_name
from radii.noises.theory.bisection import bisect

Method = Literal["two-event", "simultaneous", "binary"] | str
METHODS = ("two-event", "simultaneous", "binary")
JOINT = "joint"
"""Method of bounds that hold for all k at once; `radii.certify` takes it with `jointly`."""
# Half of the smallest float, 5e-324, is 0, and planning takes logarithms of parts of alpha: it would end in a math
# domain error instead of a sentence. Sequential, top-k and anytime plans were seen to work from 1e-320 on; the rest is
# room for smaller parts.
LEAST_ALPHA = 1e-200
"""Smallest error probability."""
MOST_K = 10**6
"""Larger k would ask for arrays of images times k numbers beyond any memory."""
# More than the relative rounding of the beta function: tests/votes/test_bounds.py compares with 40 digits.
ROUNDING = 1e-12
"""Relative distance by which bounds are moved outwards."""
# At k = 4, taking the largest count four times is 3 to 5 times faster than a partition (2,000 images of 100 and of
# 1,000 classes). The time of the loop is proportional to k, that of the partition is not: both are equal at k = 16.
FEW = 16
"""Largest k for which counts are found one after another."""


def bounds(
    counts: np.ndarray, label: np.ndarray, *, k: int = 1, alpha: float = 1e-3, method: Method = "two-event"
) -> tuple[np.ndarray, np.ndarray]:
    """Compute bounds on the probability of the label and of its `k` strongest rivals from class counts.

    Parameters
    ----------
    counts : `(images, classes)` whole numbers
        Counts of independent noise samples.
    label : `(images,)`, or `(images, k)` for whole sets
        Labels, or the members of sets, fixed before the samples were drawn. For "joint", members in an
        order that does not depend on k.
    k
        Number of rivals, or of members.
    alpha : probability
        Error probability per image.
    method : "two-event", "simultaneous", "binary" or "joint"
        Division of `alpha`. "two-event": `alpha / 2` on the label and `alpha / 2k` on each sum of rivals,
        whatever the number of classes. "simultaneous": `alpha / classes` on every class, for comparison
        with papers. "binary": all of `alpha` on the label, and rivals from `1 - lower` alone. "joint":
        `alpha / 2` on the label, and the other half on the rivals of all k together.

    Returns
    -------
    lower : `(images,)`
        Lower bounds on the probability of the label, or of every member of the set.
    rivals : `(images, k)`, or `(images, 1)` for sets
        Column `t - 1` bounds from above the sum of the `t` smallest among the `k` largest probabilities of
        other classes; for sets, the only column bounds the largest probability outside the set.

    Raises
    ------
    InputError
        If counts, labels, `k` or `alpha` are impossible.

    Notes
    -----
    Guarantee: for each image, all its bounds hold together with probability at least `1 - alpha` over the
    noise samples; by "joint", the bounds for all k (docs/math/statistics.md).

    References
    ----------
    "simultaneous": Jia, Cao, Wang & Gong (2020), SimuEM, ICLR.
    "binary", at k = 1: Cohen, Rosenfeld & Kolter (2019), ICML.

    Examples
    --------
    >>> import numpy as np, radii
    >>> lower, rivals = radii.bounds(np.array([[980, 15, 5]]), np.array([0]))
    >>> lower.round(3), rivals.round(3)
    (array([0.961]), array([[0.032]]))
    """
    check_alpha(alpha)
    check_name("method", method, (*METHODS, JOINT))
    counts, label = check_counts(counts, label)
    classes = counts.shape[1]
    check_k(k, classes)
    n = counts.sum(axis=1)
    whole_set = label.ndim == 2
    if whole_set:
        _check_members(label, k)
        if method == JOINT:
            # the sets of all k are questions with no event in common
            alpha, method = alpha * joint_share(k, classes), METHODS[0]
    # a set stays the top k if its weakest member stays ahead of the strongest class outside: a top-1 question, whose
    # bounds need no union over members, since the least of their bounds is at most that of the truly weakest one
    votes = np.take_along_axis(counts, label.reshape(len(counts), -1), axis=1).min(axis=1)
    strongest = strongest_rivals(counts, label, 1 if whole_set else k)
    each = alpha if method == "binary" else alpha / classes if method == "simultaneous" else alpha / 2
    lower = lower_bound(votes, n, each)
    rest = rest_for_rivals(lower, k, whole_set)
    if method == "binary":
        # bounds on rivals follow from the one event that `lower` is true, so no part of alpha is set aside for them
        return lower, rest
    if method == "simultaneous":
        # here every class has an event of its own, so bounds may be added; a sum of counts would be a new event
        sums = np.cumsum(upper_bound(strongest, n[:, None], each), axis=1)
    else:
        shares = [alpha / 2] if whole_set else _rival_shares(k, classes, alpha, method)
        sums = upper_bound(np.cumsum(strongest, axis=1), n[:, None], np.array(shares))
    # both bounds on the rivals hold if the events above do, so the smaller one costs no error
    return lower, np.minimum(sums, rest)


def rest_for_rivals(lower: np.ndarray, k: int, whole_set: bool) -> np.ndarray:
    """Return what a lower bound on the label leaves to sums of rivals, `(images, k)`; `(images, 1)` outside sets.

    The `t` smallest of `k` rivals share at most `t / k` of the rest. Outside a set of `k` members, each of probability
    `lower` or more, is at most `1 - k * lower`.
    """
    if whole_set:
        return np.nextafter(1 - k * lower[:, None], 1)  # as in `upper_bound`
    return np.arange(1, k + 1) / k * (1 - lower)[:, None]


def _rival_shares(k: int, classes: int, alpha: float, method: Method) -> list[float]:
    """Return the error of the bound on each sum of rivals, `(k,)`: "two-event" pays for one k, "joint" for all."""
    if method == JOINT:
        # sets of rivals without the k-th are paid for at a smaller k, so one of the t rivals is given
        error = alpha / 2 * joint_share(k, classes)
        return [_share(error, k * comb(k - 1, t - 1)) for t in range(1, k + 1)]
    # which `t` of the `k` rivals have the smallest counts is known after sampling only, so that all comb(k, t) sets
    # share the error (docs/math/statistics.md); tests catch a bound that takes the strongest rivals at full alpha
    return [_share(alpha, 2 * k * comb(k, t)) for t in range(1, k + 1)]


def joint_share(k: int, classes: int) -> float:
    """Return the share of alpha that `k` pays where all k hold jointly; those from 1 to `classes - 1` sum to 1."""
    # falling with k, as the proof needs and since small k matter most, but slowly: k = 10 pays more than a 110th
    return classes / (classes - 1) / (k * (k + 1))


def lower_bound(successes: np.ndarray, n: np.ndarray | int, alpha: np.ndarray | float) -> np.ndarray:
    """Return the one-sided Clopper-Pearson lower bound on a probability, 0 without successes; arguments broadcast.

    Guarantee: for a label fixed before the `n` samples were drawn, the bound exceeds its probability with probability
    at most `alpha` (Clopper & Pearson 1934).
    """
    s, n, alpha = np.broadcast_arrays(np.asarray(successes, float), np.asarray(n, float), alpha)
    positive = s > 0
    # `betaincinv` takes no first parameter of 0; without successes the bound is 0 in the end
    a = np.where(positive, s, 1)
    b = n - a + 1
    bound = np.array(betaincinv(a, b, alpha) * (1 - ROUNDING))
    # SciPy's inverse can be far off, too high even, so that the forward function decides. With SciPy 1.17, of a from 1
    # to 3000 only 1000 is wrong, at n of 1e6 and 1e8. `not <=` rather than `>` also catches NaN.
    if (wrong := ~(betainc(a, b, bound) <= alpha)).any():
        bound[wrong] = bisect_beta(a[wrong], b[wrong], alpha[wrong]) * (1 - ROUNDING)
    return np.where(positive, bound, 0.0)


def upper_bound(successes: np.ndarray, n: np.ndarray | int, alpha: np.ndarray | float) -> np.ndarray:
    """Return the one-sided Clopper-Pearson upper bound on a probability, 1 if all samples were successes."""
    s, n = np.broadcast_arrays(np.asarray(successes, float), np.asarray(n, float))
    # through the failures, so that bounds near 0 and near 1 are equally accurate; a step up covers the rounding of the
    # difference, which exceeds the margin of a small lower bound
    return np.nextafter(1 - lower_bound(n - s, n, alpha), 1)


def bisect_beta(a: np.ndarray, b: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the largest x found with `betainc(a, b, x) <= alpha`, below the mean `a / (a + b)`; all `(m,)`."""
    # 64 halvings end at the last digit of the mean. A bound far below the mean becomes 0, and one above it, for alpha
    # near 1, the mean: both are too small, which is safe.
    return bisect(lambda x: betainc(a, b, x) <= alpha, np.zeros(len(a)), a / (a + b), 64)[0]


def strongest_rivals(counts: np.ndarray, label: np.ndarray, k: int) -> np.ndarray:
    """Return the `k` largest counts of other classes than `label`, smallest first, `(images, k)`.

    `label`: `(images,)`, or `(images, members)` for sets.
    """
    others, rows = counts.copy(), np.arange(len(counts))
    np.put_along_axis(others, label.reshape(len(counts), -1), -1, axis=1)
    if k > FEW:
        return np.sort(np.partition(others, counts.shape[1] - k, axis=1)[:, -k:], axis=1)
    strongest = np.empty((len(counts), k), dtype=counts.dtype)
    for column in reversed(range(k)):
        largest = others.argmax(axis=1)
        strongest[:, column] = others[rows, largest]
        others[rows, largest] = -1
    return strongest


def _share(alpha: float, parts: int) -> float:
    """Return one of `parts` equal parts of alpha; 0, whose bound is trivial, if no float is as small."""
    # `parts` is a whole number of any size: Python raises OverflowError where it has no float
    return alpha / parts if parts < 2**1000 else 0.0


def sign_test(more: np.ndarray, less: np.ndarray) -> np.ndarray:
    """Return the p-value of the one-sided sign test that the first of two classes is no more probable.

    That is `P(Binomial(more + less, 1/2) >= more)`, from the votes for each class, in one shape; 1 for no votes.
    """
    return np.where(more > 0, betainc(np.maximum(more, 1), less + 1.0, 0.5), 1.0)


def _check_members(label: np.ndarray, k: int) -> None:
    """Raise `InputError` unless the rows of `label` are sets of `k` different labels."""
    if label.shape[1] != k or (np.diff(np.sort(label, axis=1), axis=1) == 0).any():
        raise InputError(f"a set must be k = {k} different labels per image; got shape {label.shape}")


def check_counts(counts: object, label: object) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and labels as int64 arrays; raise `InputError` unless they are possible together."""
    counts, label = np.asarray(counts), np.asarray(label)
    if counts.ndim != 2 or counts.dtype.kind not in "iu" or (counts.size and counts.min() < 0):
        raise InputError(f"counts must be whole numbers (images, classes); got {counts.dtype} {counts.shape}")
    if len(counts) and counts.sum(axis=1).min() < 1:
        raise InputError("counts must hold at least one sample of every image; found an image without any")
    if label.ndim != 2 or len(label) != len(counts):
        label = np.broadcast_to(label, counts.shape[:1])
    if label.dtype.kind not in "iu" or (label.size and not 0 <= label.min() <= label.max() < counts.shape[1]):
        raise InputError(f"label must be class numbers from 0 to {counts.shape[1] - 1}, one per image")
    # signed, as `strongest_rivals` marks classes by -1, and as wide as sums of 10^12 samples need
    return counts.astype(np.int64, copy=False), label.astype(np.int64)


def check_alpha(alpha: float) -> None:
    """Raise `InputError` for an error probability of 1 or more, or one too small to be divided."""
    if not isinstance(alpha, Real) or not LEAST_ALPHA <= alpha < 1:
        raise InputError(
            f"alpha is the probability of a wrong certificate, at least {LEAST_ALPHA:g} and below 1; got {alpha!r}"
        )


def check_k(k: int, classes: int | None = None) -> None:
    """Raise `InputError` for a k below 1, or one that leaves no class outside the top k."""
    # True is an int to Python, and would pass as k = 1
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise InputError(f"k must be a whole number of at least 1; got {k!r}")
    if k > MOST_K:
        raise InputError(f"k must be at most {MOST_K}; got {k}")
    if classes is not None and k >= classes:
        raise InputError(f"k must be smaller than the number of classes, {classes}; got {k}")
