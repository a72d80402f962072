"""Paired statistics of runs on the same images: exact tests, adjusted for their number, and confidence intervals.

Proofs are in docs/math/comparisons.md.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from radii.errors import InputError
from radii.votes.bounds import lower_bound, sign_test, upper_bound

CONFIDENCE = 0.95
"""Confidence of statements over images: of intervals, and that no claimed difference is false."""

# Of 500 images of which 14 to 200 differ, intervals are within 2 % of the narrowest that any part gives. Fewer that
# differ would prefer a half, many more a twentieth.
DISCORDANT_SHARE = 0.2
"""Part of the error that an interval spends on the share of images on which two runs differ."""


def mcnemar(first_only: np.ndarray, second_only: np.ndarray) -> np.ndarray:
    """Return the two-sided p-values of the exact McNemar test.

    Parameters
    ----------
    first_only, second_only : images that only the first, or only the second, of two runs certifies; of one shape

    Notes
    -----
    Guarantee: if an image is as often certified by the first run alone as by the second alone, a p-value is at most
    u with probability at most u, for each u.
    """
    return np.minimum(
        1, 2 * np.minimum(sign_test(first_only, second_only), sign_test(second_only, first_only))
    )


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted for their number by Holm (1979), in their shape.

    Guarantee: the probability that any true hypothesis has an adjusted p-value of at most u is at most u, however the
    tests depend on one another.
    """
    flat = np.asarray(p, float).ravel()
    order = np.argsort(flat, kind="stable")
    # the running maximum: a hypothesis is rejected only after all with smaller p-values
    stepwise = np.maximum.accumulate(flat[order] * np.arange(len(flat), 0, -1))
    adjusted = np.empty_like(flat)
    adjusted[order] = np.minimum(stepwise, 1)
    return adjusted.reshape(np.shape(p))


def check_confidence(confidence: float) -> None:
    """Raise `InputError` unless the confidence lies between 0 and 1."""
    # written so that NaN fails, too
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, for example 0.95; got {confidence!r}")


def share_interval(images: np.ndarray, of: int, confidence: float = CONFIDENCE) -> np.ndarray:
    """Return two-sided Clopper-Pearson intervals of shares, `(..., 2)`.

    Parameters
    ----------
    images : `(...)`, how many images are certified
    of : number of all images

    Notes
    -----
    Guarantee: if the images are a random sample, an interval holds the share of all images that they are a sample of
    with probability at least `confidence`.
    """
    check_confidence(confidence)
    tail = (1 - confidence) / 2
    return np.stack([lower_bound(images, of, tail), upper_bound(images, of, tail)], axis=-1)


def difference_lower(
    first_only: np.ndarray, second_only: np.ndarray, images: int, error: float
) -> np.ndarray:
    """Return lower confidence bounds on the difference of the shares of two runs, first less second.

    Parameters
    ----------
    first_only, second_only : images that only the first, or only the second, run certifies
    images : number of common images
    error : probability of a bound that is too large

    Notes
    -----
    Guarantee: if the images are a random sample, a bound exceeds the difference in the population with probability at
    most `error`.
    """
    differ, direction = error * DISCORDANT_SHARE, error * (1 - DISCORDANT_SHARE)
    discordant = np.asarray(first_only) + second_only
    # of the images that differ, the share that the first run wins; without any it may be anything
    favour = np.where(discordant > 0, lower_bound(first_only, np.maximum(discordant, 1), direction), 0.0)
    balance = 2 * favour - 1
    # the difference is the share of images that differ times the balance: of its two bounds, that which makes it least
    share = np.where(
        balance < 0, upper_bound(discordant, images, differ), lower_bound(discordant, images, differ)
    )
    return share * balance


def difference_interval(
    first_only: np.ndarray, second_only: np.ndarray, images: int, confidence: float = CONFIDENCE
) -> np.ndarray:
    """Return confidence intervals of the difference of the shares of two runs, first less second, `(..., 2)`.

    Guarantee: that of `difference_lower` on both sides, together with probability `confidence`.
    """
    check_confidence(confidence)
    tail = (1 - confidence) / 2
    lower = difference_lower(first_only, second_only, images, tail)
    return np.stack([lower, -difference_lower(second_only, first_only, images, tail)], axis=-1)


@dataclass(frozen=True, eq=False)
class PairedTests:
    """Exact tests of all pairs of runs at several radii.

    Parameters
    ----------
    shares : `(runs, radii)`, certified accuracy over the images of each run
    only : `(runs, runs, radii)`: of the images of both runs, those that the first certifies and the second does not
    """

    shares: np.ndarray
    only: np.ndarray

    @cached_property
    def p(self) -> np.ndarray:
        """Two-sided p-values, `(runs, runs, radii)`: that the two runs certify equally often."""
        return mcnemar(self.only, self.only.swapaxes(0, 1))

    @cached_property
    def adjusted(self) -> np.ndarray:
        """Adjusted p-values, `(runs, runs, radii)`: that the first run certifies no more often than the second.

        Holm's method is over all radii, pairs and both directions, so that a claim of a direction is covered.
        """
        pairs = ~np.eye(len(self.shares), dtype=bool)
        adjusted = np.ones(self.only.shape)
        adjusted[pairs] = holm(sign_test(self.only, self.only.swapaxes(0, 1))[pairs])
        return adjusted

    def leaders(self, confidence: float = CONFIDENCE) -> np.ndarray:
        """Return which runs may be the best at each radius, bool `(runs, radii)`; none where nothing is certified.

        These are the run with the largest share, and all that the tests do not separate from it.
        """
        top, columns = self.shares.argmax(axis=0), np.arange(self.shares.shape[1])
        separated = 1 - confidence >= self.adjusted[top, :, columns].T
        return ~separated & (self.shares.max(axis=0) > 0)


def paired_tests(held: np.ndarray, known: np.ndarray) -> PairedTests:
    """Return the tests of all pairs of runs, each on the images that both have.

    Parameters
    ----------
    held : bool `(runs, radii, images)`, whether a run certifies an image to a radius
    known : bool `(runs, images)`, which images a run has
    """
    # products of 0 and 1 count the images of all pairs at once; sums of ones are exact in float64
    only = [certified @ (known & ~certified).T.astype(float) for certified in held.swapaxes(0, 1)]
    shares = held.sum(axis=2) / known.sum(axis=1)[:, None]
    return PairedTests(shares, np.stack(only, axis=2))
