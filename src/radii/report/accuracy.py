"""Certificates -> the numbers to compare: certified accuracy, curves, mean radii, tables at round radii.

Every number counts *all* images: where the true label is not certified, the radius is 0.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.formatting import round_text
from radii.report.leaderboard import Setting, setting_of, setting_of_best, setting_of_published
from radii.report.paired import PairedTests, paired_tests
from radii.report.published import Published, of_question
from radii.votes.image_identity import ImageIdentity
from radii.votes.plans import PLANS

QUANTILES = (0.25, 0.5, 0.75)
"""Quantiles of the radii in a summary."""

KINDS = ("run", "imported", "best", "published")
"""Rows of a table: certificates of one run, those of a log of another code, the best of several runs at each radius,
published results."""

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

NOT_CHECKED = "Not checked here: what its log cannot show is listed with the certificates."
"""End of the note about a run of another code."""

_FEW = 4
"""Fewer published radii than this leave too few columns: round radii are put between them."""


@dataclass(frozen=True)
class Summary:
    """A set of certificates in a few numbers.

    Parameters
    ----------
    images : number of images
    plain_accuracy : share of all images that are classified correctly without perturbation, without confidence
    certified : share of all images whose true label is certified without perturbation
    statuses : share of all images by what else is shown, `Certificates.statuses` without "certified"
    mean_radius : average certified radius, over all images
    quantiles : of the radii of all images, by `QUANTILES`, as `numpy.quantile` has them
    """

    images: int
    plain_accuracy: float
    certified: float
    statuses: dict[str, float]
    mean_radius: float
    quantiles: dict[float, float]

    @property
    def median_radius(self) -> float:
        """The median of the certified radii, over all images."""
        return self.quantiles[0.5]


# compared by identity: == of arrays is an array, which has no truth value
@dataclass(frozen=True, eq=False)
class AccuracyTable:
    """Certified accuracy at several radii, for one norm and k.

    Parameters
    ----------
    norm, unit, k : shared by all rows
    names : of the rows
    radii : of the columns
    shares : `(names, radii)`, the certified accuracy; NaN at radii that were not published
    kinds : of the rows, from `KINDS`
    noises : of the rows, empty where the noise is unknown
    notes : of the rows, what they are; empty for a run
    settings : of the rows, the conditions of their measurement
    best : bool `(names, radii)`, the run with the largest share of a column and all that the paired tests of the table
        do not separate from it; only among several runs on the same images, and never where nothing is certified
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
    settings: tuple[Setting, ...]
    best: np.ndarray

    @property
    def headers(self) -> tuple[str, ...]:
        """The radii as text: `0.25`, `2/255`, `3`."""
        return tuple(round_text(radius, self.norm) for radius in self.radii)

    def _repr_markdown_(self) -> str:
        """Return the table in Markdown, for notebooks."""
        # `export` writes the tables of this module, and so imports it
        from radii.report.export import table_markdown

        return table_markdown(self)

    @property
    def compared(self) -> bool:
        """Whether any row is published: only then do the rows differ in more than the runs themselves say."""
        return "published" in self.kinds


def certified_radii(certificates: Certificates) -> np.ndarray:
    """Return the radius of every image, `(images,)`: 0 where its true label is not certified."""
    return np.where(_certified(certificates), certificates.radius, 0.0)


def certified_to(certificates: Certificates, radii: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return which images are correct and certified to each radius, bool `(radii, images)`."""
    return _certified(certificates) & (certificates.radius >= np.asarray(radii, float)[:, None])


def accuracy_curve(certificates: Certificates) -> tuple[np.ndarray, np.ndarray]:
    """Return certified accuracy as a step function of the radius, without rounding.

    Returns
    -------
    radii : `(steps,)`, increasing from 0
    shares : `(steps,)`; `shares[0]` holds at radius 0 and `shares[i]` on `(radii[i - 1], radii[i]]`. Above the last
        radius the accuracy is 0.
    """
    held = np.sort(certificates.radius[_certified(certificates)])
    radii = np.unique(np.append(0.0, held))
    # side="left": an image is certified to its own radius, too
    return radii, (len(held) - np.searchsorted(held, radii, side="left")) / len(certificates)


def empirical_curve(correct: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracy under the attacks that were tried, as a step function of the radius.

    Parameters
    ----------
    correct : `(images,)` bool
        Where the true label is among the k most frequent labels of the votes, certified or not.
    lengths : `(images,)`
        Length of the shortest perturbation found that removes the label; infinite where none was found, or tried.

    Returns
    -------
    radii : `(steps,)`, increasing from 0
    shares : `(steps,)`; `shares[0]` is the plain accuracy, and `shares[i]` holds from `radii[i]` up to the next
        radius, `shares[-1]` at every larger one.

    Notes
    -----
    An image counts as lost from the length of its perturbation on. Images that were never attacked, as those that are
    not certified, are never lost: the curve is an upper bound on robust accuracy.

    Examples
    --------
    Four images, three correct; a perturbation of length 0.5 was found for one of them.

    >>> radii, shares = empirical_curve(np.array([True, True, True, False]), np.array([0.5, np.inf, np.inf, np.inf]))
    >>> radii.tolist(), shares.tolist()
    ([0.0, 0.5], [0.75, 0.5])
    """
    if not len(correct):
        raise InputError("there is nothing to count: the attacks are about no image")
    # an image whose label the majority of votes does not name has no accuracy to lose
    lost = np.sort(lengths[correct & np.isfinite(lengths)])
    radii = np.unique(np.append(0.0, lost))
    # side="right": at the length of its perturbation an image is lost, where certified accuracy still counts it
    left = np.count_nonzero(correct) - np.searchsorted(lost, radii, side="right")
    return radii, left / len(correct)


def label_probabilities(certificates: Certificates) -> np.ndarray:
    """Return the lower bound on the probability of every image's true label, `(images,)`.

    It is 0 where the certificate is about another label, since nothing is known of the true one then.
    """
    if certificates.labels == "top-k-set":
        raise InputError("the bounds of a set are about its weakest label: certify single labels")
    return np.where(certificates.label == certificates.true_label, certificates.lower, 0.0)


def probability_curve(lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distribution of lower bounds: the values that occur, increasing, and the shares of at least each."""
    bounds, firsts = np.unique(np.sort(lower), return_index=True)
    return bounds, 1 - firsts / len(lower)


def radius_held_by(certificates: Certificates, share: float) -> float:
    """Return the largest radius at which the certified accuracy is at least `share`; 0.0 if there is none."""
    if not 0 < share <= 1:
        raise InputError(f"share must lie above 0 and be at most 1; got {share!r}")
    # 0.07 * 100 is slightly above 7 in binary: without the slack the eighth image would decide
    needed = math.ceil(share * len(certificates) - 1e-9)
    return float(np.sort(certified_radii(certificates))[::-1][needed - 1])


def summarize(certificates: Certificates) -> Summary:
    """Return accuracies and radii of a set of certificates."""
    certified, radii = _certified(certificates), certified_radii(certificates)
    others = (status for status in certificates.statuses if status != "certified")
    return Summary(
        images=len(certificates),
        plain_accuracy=float(certificates.correct.mean()),
        certified=float(certified.mean()),
        statuses={status: float((certificates.status == status).mean()) for status in others},
        mean_radius=float(radii.mean()),
        quantiles={share: float(np.quantile(radii, share)) for share in QUANTILES},
    )


def status_names(certificates: Iterable[Certificates]) -> list[str]:
    """Return what else than "certified" any of the certificates can say of an image, in a fixed order."""
    known = {status for one in certificates for status in one.statuses}
    return [status for status in ("open", "refuted", "abstained") if status in known]


def _certified(certificates: Certificates) -> np.ndarray:
    """Return where the true label is certified, bool `(images,)`."""
    if not len(certificates):
        raise InputError("there is nothing to summarize: the certificates are about no image")
    return certificates.correctly_certified


def tabulate(
    certificates: Mapping[str, Certificates],
    radii: Sequence[float] | None = None,
    published: Sequence[Published] = (),
) -> AccuracyTable:
    """Return the certified accuracy of several sets of certificates of one norm and k.

    Parameters
    ----------
    certificates : by the name of their row
    radii : columns, by default round radii that suit the certificates, and the published ones
    published : rows to add, as far as they are of this norm, k and unit

    Notes
    -----
    Each noise with several levels gets one more row, the best level at each radius, as in published tables. Such rows
    and published ones are no results of one run on these images, so that they are never marked as best.
    """
    norm, unit, k = same_question(certificates.values())
    others = of_question(published, norm, k, unit)
    if radii is None:
        # published radii are columns too, or their rows would be empty
        radii = _joined(
            round_radii(certificates.values()), {radius for row in others for radius in row.accuracy}
        )
    columns = tuple(map(float, radii))
    rows = {
        name: (
            certified.accuracy(columns),
            "imported" if certified.unchecked else "run",
            certified.noise.name,
            f"{certified.unchecked[0]} {NOT_CHECKED}" if certified.unchecked else "",
            setting_of(certified),
        )
        for name, certified in certificates.items()
    }
    best = runs_tested(certificates, columns).leaders() & (
        len(certificates) > 1 and _on_one_set(certificates)
    )
    # after the runs, since no single classifier reaches these
    rows |= _best_levels(certificates, columns)
    for row in others:
        if row.name in rows:
            raise InputError(f"two rows of one table are called {row.name!r}: rename one of them")
        # NaN and no interpolation: between two published radii the accuracy is unknown
        shares = np.array([row.accuracy.get(radius, np.nan) for radius in columns])
        rows[row.name] = (shares, "published", row.noise, row.note, setting_of_published(row))
    table, kinds, noises, notes, settings = zip(*rows.values(), strict=True)
    marked = np.vstack([best, np.zeros((len(rows) - len(best), len(columns)), dtype=bool)])
    return AccuracyTable(
        norm, unit, k, tuple(rows), columns, np.array(table), kinds, noises, notes, settings, best=marked
    )


def _on_one_set(certificates: Mapping[str, Certificates]) -> bool:
    """Return whether all certificates are about the same images."""
    several = list(certificates.values())
    data = {certified.data.whole for certified in several if certified.data}
    return len(data) < 2 and all(np.array_equal(certified.index, several[0].index) for certified in several)


def runs_tested(certificates: Mapping[str, Certificates], radii: Sequence[float]) -> PairedTests:
    """Return the paired tests of all runs at some radii, each pair on the images that it shares."""
    several = list(certificates.values())
    index = np.unique(np.concatenate([certified.index for certified in several]))
    known = np.zeros((len(several), len(index)), dtype=bool)
    held = np.zeros((len(several), len(radii), len(index)), dtype=bool)
    for row, certified in enumerate(several):
        place = np.searchsorted(index, certified.index)
        known[row, place] = True
        held[row][:, place] = certified_to(certified, radii)
    return paired_tests(held, known)


def _joined(chosen: Sequence[float], stated: set[float]) -> list[float]:
    """Return 0, the published radii `stated`, and of those `chosen` the larger ones, or all if few are stated."""
    last = max(stated, default=0.0)
    return sorted({0.0, *stated, *(radius for radius in chosen if len(stated) < _FEW or radius > last)})


def _best_levels(
    certificates: Mapping[str, Certificates], radii: Sequence[float]
) -> dict[str, tuple[np.ndarray, str, str, str, Setting]]:
    """Return a row of the best certified accuracy at each radius for every noise with several levels."""
    rows = {}
    for title in dict.fromkeys(certified.noise.title for certified in certificates.values()):
        several = [certified for certified in certificates.values() if certified.noise.title == title]
        # one level leaves nothing to choose
        levels = sorted({certified.noise.level for certified in several})
        if len(levels) > 1:
            name = several[0].noise.level_name
            shares = np.max([certified.accuracy(radii) for certified in several], axis=0)
            listed = ", ".join(f"{level:g}" for level in levels)
            note = (
                f"the best of {name} = {listed} at each radius, chosen after looking at the results:"
                " no single classifier reaches them all, and no certificate covers the choice"
            )
            setting = setting_of_best(setting_of(certified) for certified in several)
            rows[f"{title}, best {name}"] = (shares, "best", several[0].noise.name, note, setting)
    return rows


def same_question(certificates: Iterable[Certificates]) -> tuple[str, str, int]:
    """Return the norm, unit and k of all certificates; raise `InputError` unless they share them."""
    several = list(certificates)
    questions = {(certified.norm, certified.unit, certified.k) for certified in several}
    if len(questions) != 1:
        raise InputError(f"compare certificates of one norm, unit and k at a time; got {sorted(questions)}")
    # a radius within the box covers fewer perturbations, and so is larger
    if len({certified.box for certified in several}) > 1:
        raise InputError(
            "compare certificates that all use the box [0, 1], or none of them; got some of each kind"
        )
    return questions.pop()


def check_one_data(data: Mapping[str, ImageIdentity | None]) -> None:
    """Raise `InputError` for runs on different data sets; `data`: the images of each run, by its name."""
    first: dict[ImageIdentity, str] = {}
    for name, identity in data.items():
        if identity is not None:
            # subsets of one data set may be compared, so the identity of the whole set counts
            first.setdefault(identity.whole, name)
    if len(first) > 1:
        different = " and ".join(f"{name} is about {whole}" for whole, name in first.items())
        raise InputError(f"{different}: compare runs on one data set at a time")


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


def marked_names(table: AccuracyTable) -> list[str]:
    """Return the names of the rows, each with the number of its note if it has one: `Laplace, best σ [1]`."""
    numbers = _note_numbers(table)
    return [
        f"{name} [{numbers[note]}]" if note else name
        for name, note in zip(table.names, table.notes, strict=True)
    ]


def footnotes(table: AccuracyTable) -> list[str]:
    """Return the notes with their numbers, in order: `[1] the best of ...`."""
    return [f"[{number}] {note}" for note, number in _note_numbers(table).items()]


def _note_numbers(table: AccuracyTable) -> dict[str, int]:
    return {note: number for number, note in enumerate(dict.fromkeys(filter(None, table.notes)), 1)}
