"""radii compare: the paired comparison of two votes files on the same images."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.certificates.runs import certifiable, certify_all
from radii.cli.console import printable, progress, say
from radii.cli.groups import Options, grouped
from radii.cli.options import Alpha, Ks, L0Unit, Norms, load_named, parse_radii
from radii.cli.tables import Table, show, with_format
from radii.errors import InputError, check_name
from radii.noises.norms import NORMS
from radii.report.formatting import NORM_NAMES, unit_text

if TYPE_CHECKING:
    from radii.report.comparison import Comparison

FLIPS = {".csv": "csv", ".json": "json"}
"""Ends of the file of images that flip."""

FLIP_COLUMNS = ("norm", "k", "radius", "index", "only")

Confidence = Annotated[
    float, typer.Option(help="Confidence over images: of intervals, and of all claims together.")
]
Common = Annotated[bool, typer.Option("--common", help="Comparison on the common images, if others differ.")]


@dataclass(frozen=True)
class PairOptions(Options):
    """What is compared."""

    title = "Comparison"
    norm: Norms = field(default_factory=list)
    k: Ks = field(default_factory=lambda: [1])
    radius: Annotated[
        list[str],
        typer.Option(
            "--radii",
            metavar="[NORM:]RADIUS",
            help="Radius to test, chosen beforehand, for example linf:2/255 (repeatable).",
            show_default="round radii",
        ),
    ] = field(default_factory=list)
    alpha: Alpha = 1e-3
    l0_unit: L0Unit = "pixel"
    confidence: Confidence = 0.95
    common: Common = False


@with_format
@grouped
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Votes file of radii vote.")],
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
            if all(norm in votes.noise.rules for votes in files.values())
        ]
    )
    for norm in norms:
        check_name("norm", norm, NORMS)
    if not norms:
        raise InputError("no norm has rules for the noises of both files: compare files that share a norm")
    for name, votes in files.items():
        if missing := [norm for norm in norms if norm not in votes.noise.rules]:
            raise InputError(f"no rule certifies {missing[0]} under the noise of {name}: choose another norm")
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
    for result in results:
        show(table_of(result))
    say(
        f"{results[0].images:,} common images. Adjusted p: exact McNemar tests, Holm over the radii of a table. "
        f"Intervals hold with confidence {results[0].confidence:g} each, over images."
    )
    if out is not None:
        rows = [row for result in results for row in flip_rows(result)]
        if FLIPS[out.suffix] == "csv":
            text = csv_rows(FLIP_COLUMNS, rows)
        else:
            text = json_text({"flips": [dict(zip(FLIP_COLUMNS, row, strict=True)) for row in rows]})
        write_whole(out, text)
        say(f"{len(rows):,} flips: {out}")


def title_of(result: "Comparison") -> str:
    """Return what a comparison is about."""
    top = f"top-{result.k} " * (result.k > 1)
    unit = f", in {unit_text(result.norm, result.unit)}" * (result.norm == "l0")
    return f"{NORM_NAMES[result.norm]}: certified {top}accuracy{unit}"


def table_of(result: "Comparison") -> Table:
    """Return a comparison as a table: texts for the terminal, all numbers for programs."""
    from radii.report.comparison import TEST_COLUMNS, number_rows, text_headers, text_rows

    about = {
        "a": result.names[0],
        "b": result.names[1],
        "norm": result.norm,
        "unit": result.unit,
        "k": result.k,
    }
    table = Table(
        tuple(map(printable, text_headers(result))),
        title=title_of(result),
        records=[
            {**about, "images": result.images, **dict(zip(TEST_COLUMNS, row, strict=True))}
            for row in number_rows(result)
        ],
        names=0,
        prose=(len(text_headers(result)) - 1,),
    )
    for row in text_rows(result):
        table.add_row(*map(printable, row))
    return table
