"""Certificates -> the numbers that people compare: certified accuracy, curves, mean radii, round tables.

Every statement here counts *all* images: one that is wrong or abstained certifies nothing and has radius 0.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.formatting import round_text
from radii.report.published import Published, of_question
from radii.votes.plans import PLANS

QUANTILES = (0.75, 0.5, 0.25)

_STEPS = [Fraction(digits) * Fraction(10) ** power for power in range(-6, 7) for digits in ("1", "2.5", "5")]
_LINF_STEPS = [
    *(step / 255 for step in _STEPS if step < 1),
    *(Fraction(2**power, 255) for power in range(8)),
]
_FEW = 4
KINDS = ("run", "best", "published")
"""Rows of a table: one run's certificates, the best of several at each radius, what others published."""

SETTLING = tuple(name for name, kind in PLANS.items() if kind.decides)
"""Plans that settle given radii: no image is certified to any other."""

SAME = 1e-9
"""Relative difference up to which two radii are one."""

_ROUND_WHEN_EMPTY = {"l0": 3.0, "l1": 1.0, "l2": 1.0, "linf": 4 / 255}


@dataclass(frozen=True)
class Summary:
    """One set of certificates in a few numbers.

    `accuracy`: share of all images whose true label is certified without perturbation. `abstention`: share
    that abstained. `mean_radius`: mean over all images, wrong or abstained ones counting 0 (the average
    certified radius). `median_radius`: the radius that half of all images reach; `quantiles` the same for
    the shares in `QUANTILES`.
    """

    images: int
    accuracy: float
    abstention: float
    mean_radius: float
    median_radius: float
    quantiles: dict[float, float]


@dataclass(frozen=True, eq=False)
class AccuracyTable:
    """Certified accuracy `shares`, `(names, radii)`, of one norm and k; NaN at radii that were not published.

    Of each row: its kind, one of `KINDS`; its noise, empty if unknown; a note on what it is, empty for a run.
    """

    norm: str
    unit: str
    k: int
    names: tuple[str, ...]
    radii: tuple[float, ...]
    shares: np.ndarray
    kinds: tuple[str, ...]
    noises: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def headers(self) -> tuple[str, ...]:
        """The radii as people write them: `0.25`, `2/255`, `3`."""
        return tuple(round_text(radius, self.norm) for radius in self.radii)

    @property
    def best(self) -> np.ndarray:
        """Where a share is the largest of several and not zero, `(names, radii)`; ties are all marked."""
        several = np.count_nonzero(~np.isnan(self.shares), axis=0) > 1
        return (self.shares == np.nanmax(self.shares, axis=0)) & (self.shares > 0) & several


def certified_radii(certificates: Certificates) -> np.ndarray:
    """Radius of every image, `(images,)`, 0 where the label is wrong or the classifier abstained."""
    return np.where(_counts(certificates), certificates.radius, 0.0)


def accuracy_curve(certificates: Certificates) -> tuple[np.ndarray, np.ndarray]:
    """Certified accuracy as the exact step function of the radius: `(steps,)` radii and `(steps,)` shares.

    The radii increase from 0. `shares[i]` holds on `(radii[i - 1], radii[i]]` and `shares[0]` at 0 itself;
    above the last radius the accuracy is zero.
    """
    held = np.sort(certificates.radius[_counts(certificates)])
    radii = np.unique(np.append(0.0, held))
    return radii, (len(held) - np.searchsorted(held, radii, side="left")) / len(certificates)


def radius_held_by(certificates: Certificates, share: float) -> float:
    """The largest radius at which the certified accuracy is still at least `share`; 0.0 if there is none."""
    if not 0 < share <= 1:
        raise InputError(f"share must lie above 0 and be at most 1; got {share!r}")
    # 0.07 * 100 is a hair above 7 in binary; without the slack an eighth image would be asked for.
    needed = math.ceil(share * len(certificates) - 1e-9)
    return float(np.sort(certified_radii(certificates))[::-1][needed - 1])


def summarize(certificates: Certificates) -> Summary:
    """Accuracy, abstention and radii of one set of certificates."""
    counts = _counts(certificates)
    quantiles = {share: radius_held_by(certificates, share) for share in QUANTILES}
    return Summary(
        images=len(certificates),
        accuracy=float(counts.mean()),
        abstention=float(certificates.abstained.mean()),
        mean_radius=float(certified_radii(certificates).mean()),
        median_radius=quantiles[0.5],
        quantiles=quantiles,
    )


def tabulate(
    certificates: Mapping[str, Certificates],
    radii: Sequence[float] | None = None,
    published: Sequence[Published] = (),
) -> AccuracyTable:
    """Certified accuracy of named certificates at `radii`, or at round radii chosen from the data.

    A row follows for each noise that comes with several levels: the best of them at each radius, as published
    tables have it. Then come the `published` rows of this norm and k, and their radii join those chosen here.
    """
    norm, unit, k = same_question(certificates.values())
    others = of_question(published, norm, k, unit)
    if radii is None:
        radii = _joined(round_radii(certificates.values()), {at for row in others for at in row.accuracy})
    chosen = tuple(map(float, radii))
    rows = {name: (one.accuracy(chosen), "run", one.noise.name, "") for name, one in certificates.items()}
    rows |= _best_sigmas(certificates, chosen)
    for row in others:
        if row.name in rows:
            raise InputError(f"two rows of one table are called {row.name!r}: give one another name")
        shares = np.array([row.accuracy.get(radius, np.nan) for radius in chosen])
        rows[row.name] = (shares, "published", row.noise, row.note)
    table, *known = zip(*rows.values(), strict=True)
    return AccuracyTable(norm, unit, k, tuple(rows), chosen, np.array(table), *known)


def _joined(own: Sequence[float], stated: set[float]) -> list[float]:
    """0, the published radii, and of one's own round ones those that lie beyond, or all if few were published."""
    last = max(stated, default=0.0)
    return sorted({0.0, *stated, *(radius for radius in own if len(stated) < _FEW or radius > last)})


def marked_names(table: AccuracyTable) -> list[str]:
    """The names of the rows, those with a note followed by its number: `Laplace, best σ [1]`."""
    numbers = _numbered(table)
    return [
        f"{name} [{numbers[note]}]" if note else name
        for name, note in zip(table.names, table.notes, strict=True)
    ]


def footnotes(table: AccuracyTable) -> list[str]:
    """The notes in the order of their numbers: `[1] the best of ...`."""
    return [f"[{number}] {note}" for note, number in _numbered(table).items()]


def _numbered(table: AccuracyTable) -> dict[str, int]:
    return {note: number for number, note in enumerate(dict.fromkeys(filter(None, table.notes)), 1)}


def _best_sigmas(
    certificates: Mapping[str, Certificates], radii: Sequence[float]
) -> dict[str, tuple[np.ndarray, str, str, str]]:
    """For each noise with several levels, the best certified accuracy at each radius, and a note that says so."""
    rows = {}
    for noise in dict.fromkeys(one.noise.name for one in certificates.values()):
        several = [one for one in certificates.values() if one.noise.name == noise]
        levels = sorted({one.noise.level for one in several})
        if len(levels) > 1:
            name = several[0].noise.level_name
            shares = np.max([one.accuracy(radii) for one in several], axis=0)
            listed = ", ".join(f"{level:g}" for level in levels)
            note = (
                f"the best of {name} = {listed} at each radius, chosen after looking at the results:"
                " no one classifier has them all, and no certificate covers the choice"
            )
            rows[f"{several[0].noise.title}, best {name}"] = (shares, "best", noise, note)
    return rows


def same_question(certificates: Iterable[Certificates]) -> tuple[str, str, int]:
    """The norm, unit and k that all certificates share; certificates of different ones are not comparable."""
    several = list(certificates)
    asked = {(one.norm, one.unit, one.k) for one in several}
    if len(asked) != 1:
        raise InputError(f"compare certificates of one norm, unit and k at a time; got {sorted(asked)}")
    if len({one.box for one in several}) > 1:
        raise InputError("compare certificates that all, or none, know the box of each image")
    return asked.pop()


def round_radii(certificates: Iterable[Certificates], most: int = 6) -> list[float]:
    """0 and up to `most` round radii, spread evenly to where the best curve falls below 5 %.

    Where plans settled given radii, these. Else multiples of 1/255 (or of a round part of it) for linf, whole units for
    l0. Where the noise levels differ much, so do the radii: then each is about twice the one before, so that small
    levels show as well.
    """
    several = list(certificates)
    norm, _, _ = same_question(several)
    if all(one.plan in SETTLING for one in several):
        found = np.unique(np.concatenate([[0.0], *(certified_radii(one) for one in several)]))
        # rules give back the radius that was asked for to rounding, each its own
        settled = found[np.append(True, np.diff(found) > SAME * found[1:])]
        if 1 < len(settled) <= most + 1:
            return settled.tolist()
    ends = [radius_held_by(one, 0.05) for one in several], [certified_radii(one).max() for one in several]
    last = max(ends[0]) or max(ends[1]) or _ROUND_WHEN_EMPTY[norm]
    if norm == "l0":
        return _round_counts(last, most)
    steps = _LINF_STEPS if norm == "linf" else _STEPS
    reached = Fraction(last)
    levels = [one.noise.level for one in several]
    if max(levels) >= 3 * min(levels):
        return [0.0, *(float(step) for step in [step for step in steps if step <= reached][-most:])]
    step = next((step for step in steps if reached <= most * step), steps[-1])
    return [float(step * multiple) for multiple in range(reached // step + 1)]


def _round_counts(last: float, most: int) -> list[float]:
    """0 and up to `most` of 1, 2, 3, 5, 7, 10, 15, 20, ... that do not exceed `last`, both ends kept."""
    series = [1, 2, 3, 5, 7, *(count * 10**power for power in range(1, 7) for count in (1, 1.5, 2, 3, 5, 7))]
    reached = [float(count) for count in series if count <= max(1.0, last)]
    picks = np.linspace(0, len(reached) - 1, min(most, len(reached))).round().astype(int)
    return [0.0, *(reached[pick] for pick in picks)]


def _counts(certificates: Certificates) -> np.ndarray:
    """Images that count as certified: correct and not abstained, `(images,)`."""
    if not len(certificates):
        raise InputError("there is nothing to summarize: no image was certified or refused")
    return certificates.correct & ~certificates.abstained
