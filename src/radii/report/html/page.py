"""Writing the report: one page that loads nothing, and beside it figures, tables and certificates as files."""

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
from radii.report.accuracy import QUANTILES, AccuracyTable, certified_radii
from radii.report.export import json_text, run_csv_text, summary, table_json, table_markdown, write_whole
from radii.report.formatting import NORM_NAMES, radius_text, unit_text
from radii.report.html import content
from radii.report.html.content import percent
from radii.report.html.examples import MOST_RUNS, Examples, example_cards, moved_rows
from radii.report.html.explorer import attack_sentences, explorer_data, ks_of, script_json
from radii.report.html.pictures import (
    colour_rules,
    keep_strips,
    norm_pictures,
    rank_pictures,
    run_colour_rules,
)
from radii.report.html.runs import Run, check_runs, class_names, norms_of
from radii.report.plots.strip import class_name
from radii.report.published import Published

_CITED = re.compile(r"(?:^|[:;] |of )([A-Z][a-z]+)[^:;]*? (\d{4})")
METHOD = ("cohen2019", "clopper1934")
TOP_K, EXACT = "jia2020", "jin2022"


def entries() -> dict[str, str]:
    """All entries of the file sources.bib, by their keys."""
    text = (files("radii.report.html") / "sources.bib").read_text(encoding="utf-8")
    found = [entry.strip() for entry in re.split(r"\n(?=@)", text)]
    return {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in found}


def cited(source: str) -> list[str]:
    """The keys of the works that the source of a rule names: first author and year."""
    return [name.lower() + year for name, year in _CITED.findall(source)]


def bibtex(runs: Sequence[Run], norms: Sequence[str]) -> str:
    """BibTeX of the works behind the certificates of these runs in these norms."""
    keys = list(METHOD)
    if any(one.k > 1 for run in runs for one in run.all):
        keys.append(TOP_K)
    if any(run.votes is not None and run.votes.exact_arithmetic for run in runs):
        keys.append(EXACT)
    for run in runs:
        for norm in norms:
            if norm in run.noise.rules:
                keys += cited(run.noise.rules[norm].source)
    known = entries()
    return "\n\n".join(known[key] for key in dict.fromkeys(keys))


MOST_CLASSES = 100


def class_rows(runs: Sequence[Run], norm: str, classes: Sequence[str] = ()) -> dict[str, Any]:
    """For each class, by the mean radius of the first run: images, and for each run accuracy and mean radius.

    For the smallest k at hand. Of very many classes those with the smallest radii.
    """
    compared = [(run, run.ranks(norm)[0]) for run in runs if run.ranks(norm)]
    known = np.unique(np.concatenate([run.labels for run, _ in compared])).tolist()
    first, labels = certified_radii(compared[0][1]), compared[0][0].labels
    order = sorted(known, key=lambda label: first[labels == label].mean() if label in labels else np.inf)
    rows = [
        {
            "name": class_name(label, classes),
            "images": max(int((run.labels == label).sum()) for run, _ in compared),
            "cells": [cell for run, one in compared for cell in _cells(one, run.labels == label)],
        }
        for label in order[:MOST_CLASSES]
    ]
    return {"runs": [run.name for run, _ in compared], "rows": rows, "left": len(order) - len(rows)}


def _cells(certificates: Certificates, here: np.ndarray) -> list[str]:
    """Accuracy in percent and mean radius of the images marked in `here`."""
    if not here.any():
        return ["–", "–"]
    held = certificates.correct & ~certificates.abstained
    mean = float(certified_radii(certificates)[here].mean())
    return [percent(held[here].mean()), radius_text(mean, certificates.norm)]


PROGRAM = ("elements", "asked", "chart", "images", "tables", "switches")
"""Its parts, in the order in which they are run."""


def write_report(
    runs: Sequence[Run],
    folder: str | Path,
    *,
    title: str = "Certified robustness",
    examples: Examples | None = None,
    published: Sequence[Published] = (),
    progress: Callable[[int, int], object] | None = None,
) -> Path:
    """Write `index.html` and the files it links to into `folder`; the address of the page.

    The page needs no network and no other file to be read: drawings, pictures and the radius of every image are
    inside, with a program that draws them for the norm, runs, k and class that its reader chooses. Beside it:
    `figures/*.png`, `certificates/*.csv` (one a run, one row an image), `results.json` and `tables.md`. Each file is
    written under a temporary name and renamed, the page last. `published`: what others reached on the same data,
    for the tables and as points in the figures. `progress(done, total)` is called on the way.
    """
    several, target = check_runs(runs), Path(folder)
    content.check_truth(several)
    content.check_published(several, published)
    norms, classes = norms_of(several), class_names(several, examples.classes if examples else ())
    tables = content.main_tables(several, norms, published)
    sections: list[dict[str, Any]] = []
    for norm in norms:
        sections.append(_section(several, norm, tables[norm], published, classes, target))
        if progress is not None:
            progress(len(sections), len(norms))
    values = {
        "title": title,
        "sentences": content.summary_sentences(several, tables),
        "sections": sections,
        "legend": content.legend(tables.values()),
        "facts": content.facts(several),
        "laws": content.laws(several),
        "ks": ks_of(several),
        "first_norm": "l2" if "l2" in norms else norms[0],
        "labels": content.labels(several, classes),
        "data": script_json(explorer_data(several, norms, classes)),
        "bibtex": bibtex(several, norms),
        "rules": content.rules(several, norms),
        "promises": content.promises(several, norms),
        "examples": _examples(several, norms, examples, target),
        "files": _write_files(several, published, target),
    }
    return write_whole(target / "index.html", _render(values))


def _section(
    runs: Sequence[Run],
    norm: str,
    table: AccuracyTable,
    published: Sequence[Published],
    classes: Sequence[str],
    folder: Path,
) -> dict[str, Any]:
    """All that the page shows of one norm."""
    return {
        **content.shown(table, runs),
        "norm": norm,
        "name": NORM_NAMES[norm],
        "words": content.NORM_WORDS[norm].format(unit=table.unit),
        "unit": unit_text(norm, table.unit),
        "ranks": content.rank_tables(runs, norm, published),
        "quantiles": [f"{share:.0%}" for share in QUANTILES],
        "radii": content.radius_rows(runs, norm),
        "classes": class_rows(runs, norm, classes),
        "attacks": [(run.name, words) for run in runs for words in attack_sentences(run, norm)],
        "pictures": norm_pictures(runs, norm, published, folder),
        "rank_pictures": rank_pictures(runs, norm, published, folder),
    }


def _examples(
    runs: Sequence[Run], norms: Sequence[str], examples: Examples | None, folder: Path
) -> dict[str, Any] | None:
    """Cards of example images, the names of their columns, and the strips as files."""
    if examples is None:
        return None
    shades = content.colours(runs)
    return {
        "runs": [{"name": run.name, "colour": shades[run.name]} for run in runs[:MOST_RUNS]],
        "cards": example_cards(examples, runs, norms),
        "moved": moved_rows(examples, runs, norms),
        "noisy": bool(examples.noisy),
        "files": keep_strips(runs, norms, examples, folder),
    }


def _write_files(runs: Sequence[Run], published: Sequence[Published], folder: Path) -> list[dict[str, str]]:
    """Certificates and tables for other programs; their addresses and what they hold."""
    links = [{"file": "results.json", "words": "every summary and table, with what identifies them"}]
    for run in runs:
        file = f"certificates/{run.slug}.csv"
        write_whole(folder / file, run_csv_text(run.certificates))
        links.append({"file": file, "words": f"{run.name}: one row an image, its radius for each norm and k"})
    summaries = {run.name: [summary(one) for one in run.all] for run in runs}
    tables = content.all_tables(runs, published=published)
    found = {"tables": [table_json(table) for table in tables], "runs": summaries}
    write_whole(folder / "results.json", json_text(found))
    headings = (f"## {NORM_NAMES[table.norm]}, k = {table.k}\n\n{table_markdown(table)}" for table in tables)
    write_whole(folder / "tables.md", "\n".join(headings))
    return [*links, {"file": "tables.md", "words": "the tables of certified accuracy in Markdown"}]


def _render(values: dict[str, Any]) -> str:
    """The page from its template, with the style sheet, the colours of its drawings and its program inside."""
    package = files("radii.report.html")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["code"] = _code
    template = environment.from_string((package / "page.html").read_text(encoding="utf-8"))
    pictures = [
        picture for one in values["sections"] for picture in (*one["pictures"], *one["rank_pictures"])
    ]
    drawings = "".join(picture.svg for picture in pictures)
    style = (package / "page.css").read_text(encoding="utf-8")
    script = _script()
    colours = colour_rules(drawings) | run_colour_rules([law["colour"] for law in values["laws"]])
    return template.render(**values, style=style, script=script, script_hash=_hash(script), colours=colours)


def _script() -> str:
    """The page's program: its parts in one block, so that they share names with one another and nothing else."""
    folder = files("radii.report.html") / "program"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in PROGRAM]
    return '"use strict";\n{\n' + "\n".join(parts) + "}\n"


def _hash(script: str) -> str:
    """By which the page says that it runs this program and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _code(text: str) -> Markup:
    """Text with `formulas` between backticks set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
