"""Writing the report: a page that loads nothing, and next to it figures, tables and certificates as files."""

import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from radii.errors import missing_extra

try:
    import jinja2
    from markupsafe import Markup, escape
except ImportError as cause:
    raise missing_extra("the report", "report", cause) from cause

from radii.certificates.certify import Certificates
from radii.report.accuracy import QUANTILES, certified_radii, status_names
from radii.report.accuracy_table import AccuracyTable
from radii.report.document import SCHEMA, report_document
from radii.report.export import json_text, run_csv_text, table_markdown, write_whole
from radii.report.formatting import NORM_NAMES, radius_text, unit_text
from radii.report.html import content
from radii.report.html.cards import norm_card
from radii.report.html.comparing import comparison_section, winner_strip
from radii.report.html.content import percent
from radii.report.html.differences import difference_pictures
from radii.report.html.examples import MOST_RUNS, Examples, example_cards, perturbed_rows
from radii.report.html.explorer import attack_sentences, explorer_data, script_json
from radii.report.html.pictures import (
    colour_rules,
    keep_strips,
    norm_pictures,
    top_k_pictures,
)
from radii.report.html.run_styles import run_styles
from radii.report.model_card import model_card
from radii.report.plots.strip import class_name
from radii.report.published import Published, check_same_data
from radii.report.runs import (
    MOST_SHOWN,
    Run,
    by_name,
    check_runs,
    class_names,
    ks_of,
    most_robust,
    norms_of,
    of_smallest_k,
)
from radii.report.winners import Winners, interval_sentence

PROGRAM = (
    *("elements", "data", "selection", "numbers", "axes", "curves", "labels", "strip", "chart", "readout"),
    *("tooltip", "address", "save", "details", "images", "tables", "controls"),
)
"""The parts of the page's program, in the order in which they run: later ones use names of earlier ones."""

MOST_CLASSES = 100
"""Rows of the table of classes; of more classes, those with the smallest radii are shown."""

MANY_CLASSES = 30
"""More classes than this are found by typing, fewer in a list."""

METHOD = ("cohen2019", "clopper1934")
TOP_K, EXACT_ARITHMETIC = "jia2020", "jin2022"
"""Entries of sources.bib that every report cites, and those for k above 1 and for exact arithmetic."""

METRIC = "sun2025"
"""The work on the average certified radius as a metric."""

# a work begins the text or follows a colon, a semicolon or "of", which keeps second authors and titles out
_CITED = re.compile(r"(?:^|[:;] |of )([A-Z][a-z]+)[^:;]*? (\d{4})")
"""First author and year in the source of a rule."""


def write_report(
    runs: Sequence[Run],
    folder: str | Path,
    *,
    title: str = "Certified robustness",
    examples: Examples | None = None,
    thumbnails: Examples | None = None,
    published: Sequence[Published] = (),
    progress: Callable[[int, int], object] | None = None,
) -> Path:
    """Write `index.html` and the files it links to into `folder`; return the path of the page.

    The page needs no network and no other file: drawings, pictures and the radius of every image are inside, with a
    program that draws curves for the norm, runs, k and class that the reader selects. Next to it:
    `figures/*.png`, `certificates/*.csv` (a file per run, a row per image), `report.json` with its schema,
    `model-card.md` and `tables.md`. Each file is written atomically, the page last.

    Parameters
    ----------
    runs : to compare, at least one; on one data set, with true labels
    folder : created if missing
    title : heading of the page
    examples : images to show
    thumbnails : images whose small pictures stand in the list of all images, by default the examples
    published : results of others on the same data, for the tables and as points in the figures
    progress : called as `progress(done, total)`

    Raises
    ------
    InputError
        If the runs do not fit together, or `published` is about other data.
    """
    # before any file is written, so that a rejected report leaves the previous one whole
    several, target = check_runs(runs), Path(folder)
    for certified in (certified for run in several for certified in run.all):
        check_same_data(published, certified.data)
    norms, classes = norms_of(several), class_names(several, examples.classes if examples else ())
    tables = content.main_tables(several, norms, published)
    winners = content.winners_of(several, norms)
    sections: list[dict[str, Any]] = []
    for norm in norms:
        sections.append(_section(several, norm, tables[norm], winners[norm], published, classes, target))
        if progress is not None:
            progress(len(sections), len(norms))
    values = {
        "title": title,
        "about": content.about(several),
        "promise": content.promise(several),
        "sections": sections,
        "legend": content.legend(tables.values()),
        "facts": content.facts(several),
        "run_colours": {
            f"--run{number}": (style.light, style.dark) for number, style in enumerate(run_styles(several))
        },
        "noises": content.noises(several),
        "ks": ks_of(several),
        "many": MANY_CLASSES,
        "most_shown": MOST_SHOWN,
        "first_norm": "l2" if "l2" in norms else norms[0],
        "labels": content.labels(several, classes),
        "attacked": any(run.perturbed for run in several),
        "unchecked": any(run.all[0].unchecked for run in several),
        "data": script_json(
            explorer_data(several, norms, classes, thumbnails or examples)
            | {"strips": {norm: winner_strip(winners[norm], content.colours(several)) for norm in norms}}
        ),
        "bibtex": bibtex(several, norms),
        "rules": content.rules(several, norms),
        "promises": content.promises(several, norms),
        "examples": _examples(of_smallest_k(several), examples, target),
        "files": _write_files(several, published, title, target),
    }
    return write_whole(target / "index.html", _render(values))


def _section(
    runs: Sequence[Run],
    norm: str,
    table: AccuracyTable,
    winners: Winners,
    published: Sequence[Published],
    classes: Sequence[str],
    folder: Path,
) -> dict[str, Any]:
    """Write the figures of one norm and return what the page shows of it."""
    return {
        **content.table_data(table, runs),
        "card": norm_card(runs, winners),
        "intervals": interval_sentence(winners) if len(winners.names) > 1 else "",
        "comparison": difference_pictures(comparison_section(runs, norm)),
        "norm": norm,
        "name": NORM_NAMES[norm],
        "words": content.NORM_WORDS[norm].format(unit=table.unit),
        "unit": unit_text(norm, table.unit),
        "top_k_tables": content.top_k_tables(runs, norm, published),
        "quantiles": [f"{100 * share:g} %" for share in QUANTILES],
        "statuses": status_names(certified for run in runs for certified in run.by_k(norm)),
        "radii": content.radius_rows(runs, norm),
        "classes": class_rows(runs, norm, classes),
        "attacks": [(run.name, sentence) for run in runs for sentence in attack_sentences(run, norm)],
        "pictures": norm_pictures(runs, norm, published, folder),
        "top_k_pictures": top_k_pictures(runs, norm, published, folder),
    }


def class_rows(runs: Sequence[Run], norm: str, classes: Sequence[str] = ()) -> dict[str, Any]:
    """Return for each class the number of images, and for each run accuracy and mean radius for the smallest k.

    Classes are in the order of the mean radius of the first run; of very many, those with the smallest radii are
    returned, and "left" is the number of the others.
    """
    named = most_robust(by_name(runs, norm))
    compared = [(run, named[run.name]) for run in runs if run.name in named]
    known = np.unique(np.concatenate([run.labels for run, _ in compared])).tolist()
    first, labels = certified_radii(compared[0][1]), compared[0][0].labels
    # classes without an image in the first run come last
    order = sorted(known, key=lambda label: first[labels == label].mean() if label in labels else np.inf)
    rows = [
        {
            "name": class_name(label, classes),
            # runs may be about different images of the data set
            "images": max(int((run.labels == label).sum()) for run, _ in compared),
            "cells": [cell for run, certified in compared for cell in _cells(certified, run.labels == label)],
        }
        for label in order[:MOST_CLASSES]
    ]
    heads = {"k": compared[0][1].k, "runs": [run.name for run, _ in compared]}
    return {**heads, "rows": rows, "left": len(order) - len(rows)}


def _cells(certificates: Certificates, mask: np.ndarray) -> list[str]:
    """Return accuracy in percent and mean radius of some images."""
    if not mask.any():
        # the run has no image of this class, and the mean of none is NaN
        return ["–", "–"]
    # over all images of the class: those that are not certified count with radius 0
    held = certificates.correctly_certified
    mean = float(certified_radii(certificates)[mask].mean())
    return [percent(held[mask].mean()), radius_text(mean, certificates.norm)]


def _examples(runs: Sequence[Run], examples: Examples | None, folder: Path) -> dict[str, Any] | None:
    """Write the strips of example images; return their paths and what the page shows of the images.

    `runs`: with certificates for one k, that by which the images were chosen.
    """
    if examples is None:
        return None
    looks, norms = content.styles(runs), norms_of(runs)
    return {
        "k": ks_of(runs)[0],
        "norms": [NORM_NAMES[norm] for norm in norms],
        # as many columns as `example_cards` fills, or the heads would not fit the cells
        "runs": [{"name": run.name, "style": looks[run.name]} for run in runs[:MOST_RUNS]],
        "cards": example_cards(examples, runs, norms),
        "perturbed": perturbed_rows(examples, runs, norms),
        "noisy": bool(examples.noisy),
        "files": keep_strips(runs, norms, examples, folder),
    }


def _write_files(
    runs: Sequence[Run], published: Sequence[Published], title: str, folder: Path
) -> list[dict[str, str]]:
    """Write certificates and tables for other programs; return their paths and what they hold."""
    links = [
        {"file": "model-card.md", "words": "what was certified, how, and its limits, in Markdown"},
        {"file": "report.json", "words": "everything on this page for programs"},
        {"file": "report.schema.json", "words": "the form of report.json, as a JSON schema"},
    ]
    for run in runs:
        file = f"certificates/{run.slug}.csv"
        write_whole(folder / file, run_csv_text(run.certificates))
        # names of runs differ as slugs, too (`check_runs`), so that no file replaces another
        links.append({"file": file, "words": f"{run.name}: a row per image, its radius for each norm and k"})
    tables = content.all_tables(runs, published=published)
    document = report_document(runs, tables, title)
    write_whole(folder / "report.json", json_text(document))
    write_whole(folder / "report.schema.json", SCHEMA.read_bytes())
    write_whole(folder / "model-card.md", model_card(document))
    parts = (f"## {NORM_NAMES[table.norm]}, k = {table.k}\n\n{table_markdown(table)}" for table in tables)
    write_whole(folder / "tables.md", "\n".join(parts))
    return [*links, {"file": "tables.md", "words": "the tables of certified accuracy in Markdown"}]


def bibtex(runs: Sequence[Run], norms: Sequence[str]) -> str:
    """Return BibTeX of the works behind the certificates of these runs in these norms."""
    keys = list(METHOD)
    if any(k > 1 for k in ks_of(runs)):
        keys.append(TOP_K)
    if any(run.votes is not None and run.votes.exact_arithmetic for run in runs):
        keys.append(EXACT_ARITHMETIC)
    for run in runs:
        for norm in norms:
            if norm in run.noise.rules:
                keys += cited(run.noise.rules[norm].source)
    known = entries()
    # several rules cite the same work: each entry once, in the order of citation
    return "\n\n".join(known[key] for key in dict.fromkeys(keys))


def entries() -> dict[str, str]:
    """Return the entries of sources.bib by their keys."""
    text = (files("radii.report.html") / "sources.bib").read_text(encoding="utf-8")
    # an entry begins at the start of a line; an @ elsewhere belongs to an address
    split = [entry.strip() for entry in re.split(r"\n(?=@)", text)]
    return {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in split}


def cited(source: str) -> list[str]:
    """Return the keys of the works that the source of a rule names: first author and year."""
    return [name.lower() + year for name, year in _CITED.findall(source)]


def _render(values: dict[str, Any]) -> str:
    """Return the page: the template with style sheet, colours and program inside."""
    package = files("radii.report.html")
    # a name that the template misspells is an error, and every text is escaped
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["code"] = _code
    template = environment.from_string((package / "page.html").read_text(encoding="utf-8"))
    sections = values["sections"]
    # only colours that occur in drawings become variables of the page
    drawings = "".join(
        picture.svg for section in sections for picture in (*section["pictures"], *section["top_k_pictures"])
    )
    style = (package / "page.css").read_text(encoding="utf-8")
    script = _script()
    colours = colour_rules(drawings) | values.pop("run_colours")
    return template.render(**values, style=style, script=script, script_hash=_hash(script), colours=colours)


def _script() -> str:
    """Return the program of the page: its parts in one block, which keeps their names out of the global scope."""
    folder = files("radii.report.html") / "program"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in PROGRAM]
    return '"use strict";\n{\n' + "\n".join(parts) + "}\n"


def _hash(script: str) -> str:
    """Return the hash by which the page's content security policy allows this program and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _code(text: str) -> Markup:
    """Return text with `formulas` between backticks set as code."""
    # escaped before the tags are put in, which must stay tags
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
