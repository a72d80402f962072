"""Round radii for tables and tests: chosen by the sampling plan, or by how far the curves reach."""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from radii.certificates.certify import Certificates
from radii.report.accuracy import certified_radii, radius_held_by, same_question
from radii.votes.plans import PLANS

DECIDING = tuple(name for name, kind in PLANS.items() if kind.decides)
"""Plans that decide given radii: no image is certified to any other."""

SAME = 1e-9
"""Relative difference up to which two radii are the same: rules return a given radius up to rounding."""

# exact, since a step of 0.1 in binary would miss 0.3 after three steps
_STEPS = [Fraction(digits) * Fraction(10) ** power for power in range(-6, 7) for digits in ("1", "2.5", "5")]
"""Round numbers, in image units: the step between radii, or the radii themselves."""

_LINF_STEPS = [
    *(step / 255 for step in _STEPS if step < 1),
    *(Fraction(2**power, 255) for power in range(8)),
]
"""The same for linf: round parts of a grey level, then 1, 2, 4, ... grey levels, as in the literature."""

_LAST_WHEN_EMPTY = {"l0": 3.0, "l1": 1.0, "l2": 1.0, "linf": 4 / 255}
"""The last radius of a table in which nothing is certified."""


def round_radii(certificates: Iterable[Certificates], most: int = 6) -> list[float]:
    """Return 0 and up to `most` round radii that suit the certificates.

    Where every plan decided given radii, these are returned. Otherwise radii have even steps, up to where the best
    curve falls below 5 %: whole units in l0, multiples of 1/255 (or of a round part of it) in linf. Where noise levels
    differ by a factor of 3 or more, each radius is about twice the one before: otherwise the smallest level would be
    certified to none of them.
    """
    several = list(certificates)
    norm, _, _ = same_question(several)
    decided = decided_radii(several)
    if 0 < len(decided) <= most:
        return [0.0, *decided]
    last = (
        # not to the largest radius: a few images would stretch the table over columns of almost nothing
        max(radius_held_by(certified, 0.05) for certified in several)
        or max(certified_radii(certified).max() for certified in several)
        or _LAST_WHEN_EMPTY[norm]
    )
    levels = [certified.noise.level for certified in several]
    if norm != "l0" and max(levels) >= 3 * min(levels):
        steps = _LINF_STEPS if norm == "linf" else _STEPS
        return [0.0, *(float(step) for step in [step for step in steps if step <= last][-most:])]
    return even_radii(norm, last, most)


def decided_radii(certificates: Sequence[Certificates]) -> list[float]:
    """Return the positive radii that were given to the plans and reached, if every plan decided given ones."""
    if not all(certified.plan in DECIDING for certified in certificates):
        return []
    norm, _, _ = same_question(certificates)
    reached = np.unique(np.concatenate([[0.0], *(certified_radii(certified) for certified in certificates)]))
    # each rule returns the given radius with a rounding error of its own
    decided = reached[np.append(True, np.diff(reached) > SAME * reached[1:])]
    return sorted({_shortened(radius, norm) for radius in decided[1:].tolist()})


def even_radii(norm: str, last: float, most: int) -> list[float]:
    """Return 0 and up to `most` round radii up to `last`: in even steps, and from a list of round counts in l0."""
    if norm == "l0":
        return _round_counts(last, most)
    steps = _LINF_STEPS if norm == "linf" else _STEPS
    # in fractions: as floats 0.3 // 0.1 is 2, and the last column would be missing
    end = Fraction(last)
    # the finest step that needs at most `most` columns
    step = next((step for step in steps if end <= most * step), steps[-1])
    return [float(step * multiple) for multiple in range(end // step + 1)]


def _shortened(radius: float, norm: str) -> float:
    """Return a radius that a plan was given; one that follows from it in another norm is rounded down to three digits.

    Such a radius, as 0.1115226, is not round, and as a header it could be rounded up.
    """
    scale = 255 if norm == "linf" else 1
    value = radius * scale
    if abs(float(f"{value:.6g}") - value) <= SAME * value:
        return radius
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.floor(value / step) * step / scale


def _round_counts(last: float, most: int) -> list[float]:
    """Return 0 and up to `most` of 1, 2, 3, 5, 7, 10, 15, 20, ... up to `last`, the first and the last kept."""
    series = [1, 2, 3, 5, 7, *(count * 10**power for power in range(1, 7) for count in (1, 1.5, 2, 3, 5, 7))]
    # at least one unit, where hardly anything is certified
    reached = [float(count) for count in series if count <= max(1.0, last)]
    # spread over the series, or the first ones alone would be columns
    picks = np.linspace(0, len(reached) - 1, min(most, len(reached))).round().astype(int)
    return [0.0, *(reached[pick] for pick in picks)]
