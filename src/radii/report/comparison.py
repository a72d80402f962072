"""The paired comparison of two sets of certificates on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.noises.norms import radii_array
from radii.report.accuracy import certified_to, check_one_data
from radii.report.accuracy_table import runs_tested
from radii.report.common_images import take
from radii.report.formatting import round_text
from radii.report.paired import CONFIDENCE, check_confidence, difference_interval
from radii.report.winners import radii_to_test


# compared by identity: == of arrays is an array, which has no truth value
@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Paired comparison of two sets of certificates on the same images, as `radii.compare` returns it.

    Parameters
    ----------
    names
        Names of the two sets.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations.
    unit : "feature" or "pixel"
        Unit that l0 counts.
    k
        Number of top classes within which labels stay.
    confidence : probability
        Confidence of the intervals, and of the verdicts together.
    index : `(images,)`
        Positions of the common images in the data set, increasing.
    radii : `(radii,)`
        Tested radii.
    shares : `(2, radii)`
        Certified accuracies on the common images.
    difference : `(radii,)`
        First accuracy less second.
    interval : `(radii, 2)`
        Confidence interval of each difference by itself.
    p : `(radii,)`
        Two-sided p-values of the exact McNemar test.
    adjusted : `(radii,)`
        The same for the observed direction, adjusted by Holm for all radii and both directions.
    flips : `(radii, images)` of -1, 0 and 1
        1 where only the first set certifies an image to a radius, -1 where only the second does.

    Notes
    -----
    Guarantee: if the images are a random sample, each interval holds the difference in the population with
    probability at least `confidence`. With the same probability, every verdict that names a set is right
    (docs/math/comparisons.md).

    Examples
    --------
    See `radii.compare`.
    """

    names: tuple[str, str]
    norm: str
    unit: str
    k: int
    confidence: float
    index: np.ndarray
    radii: np.ndarray
    shares: np.ndarray
    difference: np.ndarray
    interval: np.ndarray
    p: np.ndarray
    adjusted: np.ndarray
    flips: np.ndarray

    @property
    def images(self) -> int:
        """Number of common images."""
        return len(self.index)

    @property
    def only(self) -> np.ndarray:
        """Images that only the first, and only the second, set certifies to each radius, `(2, radii)`."""
        return np.array([(self.flips == sign).sum(axis=1) for sign in (1, -1)])

    @property
    def verdicts(self) -> tuple[str, ...]:
        """At each radius, the name of the better set, or "" where there is no clear difference."""
        clear = self.adjusted <= 1 - self.confidence
        better = np.where(self.difference > 0, *self.names)
        return tuple(str(name) if sure else "" for name, sure in zip(better, clear, strict=True))

    def __repr__(self) -> str:
        table = [text_headers(self), *text_rows(self)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
        title = f"Comparison of {self.names[0]} and {self.names[1]} on {self.images:,} images"
        return "\n".join([f"{title}, {self.norm}, k = {self.k}", *lines])


def compare(
    a: Certificates,
    b: Certificates,
    *,
    radii: Sequence[float] | np.ndarray | None = None,
    common: bool = False,
    confidence: float = CONFIDENCE,
    names: tuple[str, str] = ("A", "B"),
) -> Comparison:
    """Compute the paired comparison of the certified accuracies of two sets of certificates.

    Parameters
    ----------
    a
        Certificates with true labels.
    b
        Certificates of the same norm, unit and k, on the same images.
    radii : `(radii,)`
        Radii to test, chosen without looking at these certificates. The default are round radii up to the
        largest one that either noise can certify.
    common
        Whether to compare the common images where the sets are about different ones.
    confidence : probability
        Confidence of the intervals, and of the verdicts together.
    names
        Names of the two sets, for texts.

    Returns
    -------
    Comparison
        Accuracies, differences with intervals, p-values, verdicts, and the images that differ.

    Raises
    ------
    InputError
        If the sets are about other data, labels or images, or answer other questions.

    Notes
    -----
    Guarantee: that of `Comparison`. The statement is about certified accuracies, over images. Whether a
    certificate holds is a matter of its noise samples, and has its own probability.

    References
    ----------
    McNemar (1947), Note on the sampling error of the difference between correlated proportions or
    percentages, Psychometrika 12.
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6.

    Examples
    --------
    Two models on 200 images. The first certifies 30 images that the second does not, and no image the
    other way around:

    >>> import numpy as np, radii
    >>> def certificates(strong):
    ...     counts = np.where(np.arange(200)[:, None] < strong, [[990, 10]], [[510, 490]])
    ...     votes = radii.Votes(
    ...         counts=counts, selection=np.zeros_like(counts), labels=np.zeros(200, int),
    ...         index=np.arange(200), noise=radii.Gaussian(sigma=0.25), shape=(3, 32, 32),
    ...         plan=radii.fixed(1000, selection=0), draws=((0, 1000),), seed=0, model="none")
    ...     return radii.certify(votes, "l2")
    >>> result = radii.compare(certificates(150), certificates(120), radii=[0.25, 0.75])
    >>> result.difference, result.only.tolist()
    (array([0.15, 0.  ]), [[30, 0], [0, 0]])
    >>> result
    Comparison of A and B on 200 images, l2, k = 1
    radius  A      B      difference (95% interval)  adjusted p  better
    0.25    75.0%  60.0%  +15.0 (+6.9 to +22.6)      3.7e-09     A
    0.75    0.0%   0.0%   +0.0 (-2.6 to +2.6)        1           no clear difference
    """
    for one in (a, b):
        if not isinstance(one, Certificates):
            raise InputError(
                'certificates are compared, for example radii.certify(votes, "l2") of both; '
                f"got {type(one).__name__}"
            )
    check_confidence(confidence)
    if len(names) != 2 or names[0] == names[1]:
        raise InputError(f"names must be two different names; got {names!r}")
    first, second = _on_common_images(a, b, names, common)
    named = {names[0]: first, names[1]: second}
    columns = radii_array(radii_to_test([first, second]) if radii is None else radii)
    if not len(columns) or not (columns >= 0).all():
        raise InputError(f"radii must be one or more numbers of at least 0; got {columns.tolist()}")
    tests = runs_tested(named, columns.tolist())
    held = [certified_to(certified, columns) for certified in (first, second)]
    more, less = tests.only[0, 1], tests.only[1, 0]
    return Comparison(
        names=(str(names[0]), str(names[1])),
        norm=first.norm,
        unit=first.unit,
        k=first.k,
        confidence=confidence,
        index=first.index,
        radii=columns,
        shares=tests.shares,
        # not of the rounded shares, so that equal counts differ by exactly 0
        difference=(more - less) / len(first),
        interval=difference_interval(more, less, len(first), confidence),
        p=tests.p[0, 1],
        adjusted=np.minimum(tests.adjusted[0, 1], tests.adjusted[1, 0]),
        flips=held[0].astype(np.int8) - held[1].astype(np.int8),
    )


def _on_common_images(
    a: Certificates, b: Certificates, names: tuple[str, str], common: bool
) -> tuple[Certificates, Certificates]:
    """Return both sets on their common images, in one order; raise `InputError` if they do not belong together."""
    check_one_data({names[0]: a.data, names[1]: b.data})
    index, rows, others = np.intersect1d(a.index, b.index, return_indices=True)
    if not len(index):
        raise InputError(
            f"{names[0]} and {names[1]} have no image in common: compare runs on the same images"
        )
    if not common and not len(index) == len(a) == len(b):
        raise InputError(
            f"{names[0]} and {names[1]} must be about the same images; got {len(a):,} and {len(b):,}, of which "
            f"{len(index):,} are common: compare those with common=True (--common)"
        )
    first, second = take(a, rows), take(b, others)
    # raises without true labels, from which accuracy is counted
    _ = first.correct, second.correct
    if (different := first.true_label != second.true_label).any():  # type: ignore[union-attr]
        raise InputError(
            f"{names[0]} and {names[1]} have different true labels for the image at {index[different][0]} of the data "
            "set: compare runs on the same images and labels"
        )
    return first, second


# output -------------------------------------------------------------------------------------------


def text_headers(comparison: Comparison) -> list[str]:
    """Return the heads of the columns of `text_rows`."""
    level = f"{100 * comparison.confidence:.4g}% interval"
    return ["radius", *comparison.names, f"difference ({level})", "adjusted p", "better"]


def text_rows(comparison: Comparison) -> list[list[str]]:
    """Return a row of texts per radius: accuracies, difference in points with its interval, adjusted p, verdict."""
    rows = []
    for column, (radius, verdict) in enumerate(zip(comparison.radii, comparison.verdicts, strict=True)):
        low, high = 100 * comparison.interval[column]
        rows.append(
            [
                round_text(radius, comparison.norm),
                *(f"{share:.1%}" for share in comparison.shares[:, column]),
                f"{100 * comparison.difference[column]:+.1f} ({low:+.1f} to {high:+.1f})",
                p_text(comparison.adjusted[column]),
                verdict or "no clear difference",
            ]
        )
    return rows


def p_text(p: float) -> str:
    """Return a p-value with two digits: `0.0031`, `1`, `< 1e-16`."""
    return f"{p:.2g}" if p >= 1e-16 else "< 1e-16"


def flip_rows(comparison: Comparison) -> list[tuple[str, int, float, int, str]]:
    """Return norm, k, radius, position of the image, and the only run that certifies it, for every flip."""
    rows, columns = np.nonzero(comparison.flips)
    return [
        (
            comparison.norm,
            comparison.k,
            float(comparison.radii[row]),
            int(comparison.index[column]),
            comparison.names[0 if comparison.flips[row, column] > 0 else 1],
        )
        for row, column in zip(rows, columns, strict=True)
    ]
