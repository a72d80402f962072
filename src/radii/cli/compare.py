"""radii compare: the paired comparison of two votes files on the same images."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.certificates.runs import certifiable, certify_all, check_answers, norms_of
from radii.cli.certificate_tables import radius_caption
from radii.cli.certify import say_unchecked
from radii.cli.console import progress, say
from radii.cli.groups import Options, grouped
from radii.cli.options import Alpha, Common, Ks, L0Unit, Norms, TableRadii, load_named, parse_radii
from radii.cli.tables import Cell, Table, show, with_format
from radii.errors import InputError, check_name
from radii.noises.norms import NORMS
from radii.report.formatting import NORM_NAMES, round_text

if TYPE_CHECKING:
    from radii.report.comparison import Comparison

FLIPS = {".csv": "csv", ".json": "json"}
"""Ends of the file of images that flip."""

LONGEST_HEAD = 16
"""Characters of a name that heads a column; with longer ones the table would not fit 100 characters."""

FLIP_COLUMNS = ("norm", "k", "radius", "index", "only")

Confidence = Annotated[
    float, typer.Option(help="Confidence over images: of intervals, and of all claims together.")
]


@dataclass(frozen=True)
class PairOptions(Options):
    """What is compared."""

    title = "Comparison"
    norm: Norms = field(default_factory=list)
    k: Ks = field(default_factory=lambda: [1])
    radius: TableRadii = field(default_factory=list)
    alpha: Alpha = 1e-3
    l0_unit: L0Unit = "pixel"
    confidence: Confidence = 0.95
    common: Common = False


@with_format
@grouped
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Votes of radii vote, or a run of radii import.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Votes file on the same images.")],
    options: PairOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="File of images that flip: FILE.csv or FILE.json.", rich_help_panel="Output"),
    ] = None,
) -> None:
    """Compare two votes files on the same images by paired tests.

    Each norm and k gets a table with a row per radius: both certified accuracies, their difference in percentage
    points with a confidence interval, the p-value of the exact McNemar test, adjusted by Holm for all radii of the
    table, and which file is better, if the tests can tell. Files on different images are rejected; with --common,
    their common images are compared. With --out, a file lists the images that only one of the two certifies.

    Choose --radii before looking at results. Without --radii, they are round and depend on noise and plan alone.
    """
    from radii.report.comparison import compare as compare_certificates
    from radii.report.comparison import flip_rows
    from radii.report.export import csv_rows, json_text, write_whole

    if out is not None and out.suffix not in FLIPS:
        raise InputError(f"--out must end in .csv or .json; got {out}")
    radii = parse_radii(options.radius, options.norm[0] if len(options.norm) == 1 else None)
    files = load_named([a, b])
    norms = (
        list(radii)
        or options.norm
        or [
            norm
            for norm in certifiable(files.values())
            if all(norm in norms_of(run) for run in files.values())
        ]
    )
    for norm in norms:
        check_name("norm", norm, NORMS)
    if not norms:
        raise InputError("no norm has rules for the noises of both files: compare files that share a norm")
    check_answers(files, norms, options.k)
    with progress("certify", passing=True) as update:
        certified = certify_all(
            files, norms, options.k, alpha=options.alpha, unit=options.l0_unit, progress=update
        )
    first, second = files
    results = [
        compare_certificates(
            certified[first][norm, k],
            certified[second][norm, k],
            radii=radii.get(norm),
            common=options.common,
            confidence=options.confidence,
            names=(first, second),
        )
        for norm in norms
        for k in dict.fromkeys(options.k)
    ]
    say_unchecked(certified)
    for result in results:
        show(table_of(result))
    say(
        f"{results[0].images:,} common images. Adjusted p: exact McNemar tests, Holm over the radii of a table. "
        f"Intervals hold with confidence {options.confidence:g} each, over images."
    )
    if out is not None:
        rows = [row for result in results for row in flip_rows(result)]
        if FLIPS[out.suffix] == "csv":
            text = csv_rows(FLIP_COLUMNS, rows)
        else:
            text = json_text({"flips": [dict(zip(FLIP_COLUMNS, row, strict=True)) for row in rows]})
        write_whole(out, text)
        say(f"{len(rows):,} flips: {out}")


def table_of(result: "Comparison") -> Table:
    """Return a comparison as a table with a row per radius."""
    from radii.report.comparison import p_text

    top, names = f"top-{result.k} " * (result.k > 1), heads(result.names)
    caption = radius_caption(result.norm, result.unit)
    if tuple(names.values()) != result.names:
        caption = "".join(f"{head}: {name}\n" for name, head in names.items()) + caption
    table = Table(
        # short heads, so that a line of 100 columns holds two names of runs
        headers=(
            *("radius", *names.values(), "diff.", "lower", "upper", "only 1st", "only 2nd"),
            *("adjusted p", "better"),
        ),
        title=f"{NORM_NAMES[result.norm]}: certified {top}accuracy and its difference, in percent",
        caption=caption,
        about={
            "norm": result.norm,
            "unit": result.unit,
            "k": result.k,
            "images": result.images,
            "runs": list(result.names),
        },
    )
    for column, (radius, better) in enumerate(zip(result.radii, result.verdicts, strict=True)):
        points = [result.difference[column], *result.interval[column]]
        table.add_row(
            Cell(round_text(radius, result.norm), float(radius)),
            *(Cell(f"{100 * share:.1f}", float(share)) for share in result.shares[:, column]),
            *(Cell(f"{100 * value:+.1f}", float(value)) for value in points),
            *(Cell(str(count), int(count)) for count in result.only[:, column]),
            Cell(p_text(result.adjusted[column]), float(result.adjusted[column])),
            Cell(names.get(better, "unclear"), better or None),
        )
    return table


def heads(names: tuple[str, str]) -> dict[str, str]:
    """Return what heads the columns of two runs: their names, or 1st and 2nd for names that leave numbers no room."""
    return dict(zip(names, names if max(map(len, names)) <= LONGEST_HEAD else ("1st", "2nd"), strict=True))
