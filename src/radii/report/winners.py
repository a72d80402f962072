"""The best run per interval of radii, and "no clear difference" where paired tests do not separate runs.

Report, notebooks and docs/which-noise.md take what they say about the best run from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radii.certificates.certify import Certificates
from radii.certificates.radius import certified_radius
from radii.noises import Noise
from radii.report.accuracy import same_question
from radii.report.accuracy_table import runs_tested
from radii.report.formatting import NO_BREAK, NORM_NAMES, round_text
from radii.report.paired import CONFIDENCE
from radii.report.round_radii import decided_radii, even_radii, round_radii

# Steps of a table's six columns would leave one or two radii to runs at a low level of noise, beside those at a high
# one. Three times as many radii cost little: Holm's first threshold is a third, a tenth more images that must differ.
MOST_RADII = 20
"""Tested radii of a norm and k, at most."""

MOST_NAMED = 4
"""Runs that a sentence names; the others are counted."""


@dataclass(frozen=True)
class Interval:
    """Radii at which the tests have one result.

    Parameters
    ----------
    start : the last tested radius before the interval, 0 if there is none
    end : its last tested radius
    first : its first tested radius
    winners : the best run, or all that the tests do not separate from it; empty where nothing is certified
    clear : whether the tests separate one run from all others, at each tested radius of the interval
    """

    start: float
    end: float
    first: float
    winners: tuple[str, ...]
    clear: bool


@dataclass(frozen=True, eq=False)
class Winners:
    """The best of several runs at each tested radius, for one norm and k.

    Parameters
    ----------
    norm, unit, k : shared by all runs
    names : of the runs
    radii : that were tested, increasing
    shares : `(names, radii)`, certified accuracy
    leaders : bool `(names, radii)`, the run with the largest share and all that the tests do not separate from it
    confidence : probability that no run is wrongly called better than another, at any radius

    Notes
    -----
    Guarantee: if the images are a random sample, with probability at least `confidence` every run that leads a radius
    alone has a larger certified accuracy there, in the population, than each other run (docs/math/comparisons.md).
    """

    norm: str
    unit: str
    k: int
    names: tuple[str, ...]
    radii: tuple[float, ...]
    shares: np.ndarray
    leaders: np.ndarray
    confidence: float = CONFIDENCE

    @property
    def intervals(self) -> list[Interval]:
        """The intervals of radii with their best runs, in order and without gaps."""
        intervals: list[Interval] = []
        start = 0.0
        for column, radius in enumerate(self.radii):
            # in the order of the shares at the first radius of an interval
            order = np.argsort(-self.shares[:, column], kind="stable")
            winners = tuple(self.names[row] for row in order if self.leaders[row, column])
            if intervals and set(winners) == set(intervals[-1].winners):
                last = intervals.pop()
                intervals.append(Interval(last.start, radius, last.first, last.winners, last.clear))
            else:
                intervals.append(Interval(start, radius, radius, winners, len(winners) == 1))
            start = radius
        return intervals

    @property
    def typical(self) -> int:
        """The column of a typical radius: in the middle of those at which at least half as many images are certified.

        That is half of the images that the best run certifies to the first radius.
        """
        # one radius for all runs, or each would be named for the radius at which it is best; the tests cover them all
        best = self.shares.max(axis=0)
        return int((best >= best[0] / 2).sum() - 1) // 2 if best[0] > 0 else 0


def find_winners(
    certificates: Mapping[str, Certificates],
    radii: Sequence[float] | None = None,
    confidence: float = CONFIDENCE,
) -> Winners:
    """Return the best of several runs at each radius, as far as paired tests can tell.

    Parameters
    ----------
    certificates : by the name of their run, of one norm, unit and k
    radii : to test, chosen without looking at these certificates; by default `radii_to_test`
    confidence : probability that no run is wrongly called better than another

    Notes
    -----
    Each pair of runs is compared on the images that both have: by the exact McNemar test, with the p-values of all
    pairs and radii adjusted by Holm.
    """
    norm, unit, k = same_question(certificates.values())
    # so that the order in which runs are given decides nothing, not even between equal ones
    certificates = dict(sorted(certificates.items()))
    columns = tuple(radii_to_test(list(certificates.values())) if radii is None else radii)
    tests = runs_tested(certificates, columns)
    return Winners(
        norm, unit, k, tuple(certificates), columns, tests.shares, tests.leaders(confidence), confidence
    )


def radii_to_test(certificates: Sequence[Certificates]) -> list[float]:
    """Return positive round radii at which runs are tested, chosen without their votes.

    They go up to the largest radius that unanimous votes could certify under any of the noises. Where every plan
    decided given radii, these are returned.
    """
    several = list(certificates)
    norm, _, _ = same_question(several)
    if decided := decided_radii(several):
        return decided
    # a radius within the box depends on the image, and one converted from another norm has no rule
    if any(certified.box or norm not in certified.noise.rules for certified in several):
        return round_radii(several)[1:]
    farthest = max(
        _reach(
            certified.noise,
            norm,
            certified.unit,
            certified.k,
            certified.alpha,
            certified.n,
            certified.shape,
        )
        for certified in several
    )
    return even_radii(norm, farthest, MOST_RADII)[1:]


# a sum of thousands of privacy losses takes up to a fifth of a second; a report asks for the same one several times
@lru_cache
def _reach(noise: Noise, norm: str, unit: str, k: int, alpha: float, n: int, shape: tuple[int, ...]) -> float:
    """Return the radius that follows from unanimous votes when all of alpha bounds the label."""
    # alpha is 0 where all outcomes were counted; rules take probabilities below 1
    lower = alpha ** (1 / n) if alpha else np.nextafter(1, 0)
    return float(certified_radius(noise, norm, np.array([lower]), k=k, shape=shape, unit=unit)[0])


# sentences ----------------------------------------------------------------------------------------


def winners_text(winners: Winners) -> str:
    """Return in two sentences which runs are the best: at a typical radius, and at all tested ones."""
    return as_sentence(f"{radius_sentence(winners)}. {interval_sentence(winners)}")


def as_sentence(text: str) -> str:
    """Return a text with a capital and a full stop."""
    # not capitalize(), which would put names of runs in lower case
    return f"{text[0].upper()}{text[1:]}."


def radius_sentence(winners: Winners) -> str:
    """Return which run is the best at a typical radius, without a full stop."""
    column, where = winners.typical, f"in {NORM_NAMES[winners.norm]}"
    shares, at = winners.shares[:, column], radius_words(winners, winners.radii[column])
    order = np.argsort(-shares, kind="stable")
    named = [f"{winners.names[row]} ({percent_text(shares[row])})" for row in order]
    leading = [name for name, row in zip(named, order, strict=True) if winners.leaders[row, column]]
    if not leading:
        return f"{where}, no image is certified to {at}"
    if len(named) == 1:
        return f"{where}, {winners.names[0]} certifies {percent_text(shares[0])} to {at}"
    if len(leading) == 1:
        others = named[1] if len(named) == 2 else f"all other runs at {at}, next {named[1]}"
        return f"{where}, {named[0]} is ahead of {others}" + f" at {at}" * (len(named) == 2)
    return f"{where}, no clear difference between {listed(leading)} at {at}"


def interval_sentence(winners: Winners) -> str:
    """Return the best runs of all intervals of radii, without a full stop."""
    parts = []
    for interval in winners.intervals:
        at = round_text(interval.first, winners.norm)
        if interval.end > interval.first:
            at = f"{at} to {round_text(interval.end, winners.norm)}"
        best = listed(interval.winners) if interval.winners else "no image is certified"
        unclear = len(interval.winners) > 1
        parts.append(f"{at}, {'no clear difference between ' * unclear}{best}")
    unit = f" in {winners.unit}s" if winners.norm == "l0" else ""
    return f"{NORM_NAMES[winners.norm]}, best at the tested radii{unit}: {'; '.join(parts)}"


def radius_words(winners: Winners, radius: float) -> str:
    """Return a radius in a sentence: `radius 0.5`, `2 changed pixels`."""
    text = round_text(radius, winners.norm)
    if winners.norm == "l0":
        return f"{text} changed {winners.unit}{'s' * (radius != 1)}"
    return f"radius {text}"


def percent_text(share: float) -> str:
    """Return a share in percent, with one decimal: `87.0 %`."""
    return f"{100 * share:.1f}{NO_BREAK}%"


def listed(names: Sequence[str]) -> str:
    """Return `A, B and C`, with all but the first few counted."""
    shown = list(names[:MOST_NAMED])
    if len(names) > MOST_NAMED:
        rest = len(names) - MOST_NAMED
        shown.append(f"{rest} other run{'s' * (rest > 1)}")
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
