"""Tables of certified accuracy at several radii: runs, the best of several levels, and published rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.accuracy import certified_to, same_question
from radii.report.formatting import round_text
from radii.report.leaderboard import Setting, setting_of, setting_of_best, setting_of_published
from radii.report.paired import PairedTests, paired_tests
from radii.report.published import Published, of_question
from radii.report.round_radii import round_radii

KINDS = ("run", "imported", "best", "published")
"""Rows of a table: certificates of one run, those of a log of another code, the best of several runs at each radius,
published results."""

NOT_CHECKED = "Not checked here: what its log cannot show is listed with the certificates."
"""End of the note about a run of another code."""

_FEW = 4
"""Fewer published radii than this leave too few columns: round radii are put between them."""


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
