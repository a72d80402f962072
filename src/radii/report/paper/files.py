"""Writing the files of a paper: figures in two widths and three formats, LaTeX, a bibliography, and the data as CSV."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from radii.report.accuracy_table import AccuracyTable
from radii.report.export import csv_rows, write_whole
from radii.report.html.content import all_tables
from radii.report.html.page import METRIC, bibtex, entries
from radii.report.leaderboard import Setting
from radii.report.paper.figures import Figure, figures_of
from radii.report.paper.latex import FIGURES_HEAD, figure_tex, tables_tex
from radii.report.plots import paper_style, pdf_bytes, pgf_text, svg_text
from radii.report.published import Published
from radii.report.runs import Run, check_runs, norms_of

WIDTHS = {"single": 1, "double": 2}
"""Suffixes of the files of figures, and the columns of a page that they span."""


def write_paper(
    runs: Sequence[Run],
    folder: str | Path,
    *,
    published: Sequence[Published] = (),
    progress: Callable[[int, int], object] | None = None,
) -> Path:
    """Write figures, tables and data for a paper into `folder`, and return its path.

    Parameters
    ----------
    runs : to compare, at least one; on one data set, with true labels
    folder : created if missing
    published : results of others on the same data, for the tables and as points in the figures
    progress : called as `progress(done, total)`

    Returns
    -------
    Path
        The folder, with

        - `figures/NAME-single.*` and `NAME-double.*`: 3.25 and 6.75 inches wide, as SVG, PDF and PGF, serif, without
          title;
        - `figures.tex`: a float of each figure, with its caption;
        - `tables.tex`: a float of each table, with booktabs;
        - `references.bib`: the works that these cite;
        - `data/*.csv`: the numbers of each figure and table, with all their digits.

        The same runs give the same bytes. No LaTeX is needed to write them.

    Raises
    ------
    InputError
        If the runs do not fit together.
    """
    several, target = check_runs(runs), Path(folder)
    norms = norms_of(several)
    figures = list(figures_of(several, norms, published))
    floats = [FIGURES_HEAD]
    for done, figure in enumerate(figures):
        if progress is not None:
            progress(done, len(figures))
        floats.append(_write_figure(figure, target))
    tables = all_tables(several, norms, published)
    for table in tables:
        write_whole(target / "data" / f"table-{table.norm}-top{table.k}.csv", table_csv(table))
    write_whole(target / "tables.tex", tables_tex(tables))
    write_whole(target / "figures.tex", "\n".join(floats))
    write_whole(target / "references.bib", references(several, norms, published))
    if progress is not None:
        progress(len(figures), len(figures))
    return target


def _write_figure(figure: Figure, folder: Path) -> str:
    """Write the files of a figure, and return its float."""
    drawing = None
    for width, columns in WIDTHS.items():
        with paper_style(columns):
            drawing = figure.draw()
            stem = folder / "figures" / f"{figure.name}-{width}"
            write_whole(stem.with_suffix(".svg"), svg_text(drawing))
            write_whole(stem.with_suffix(".pdf"), pdf_bytes(drawing))
            write_whole(stem.with_suffix(".pgf"), pgf_text(drawing))
    write_whole(folder / "data" / f"{figure.name}.csv", csv_rows(figure.columns, figure.rows))
    assert drawing is not None
    return figure_tex(figure, drawing)


def table_csv(table: AccuracyTable) -> str:
    """Return a line for each row and known radius of a table, with the conditions of the row."""
    conditions = [field.name for field in fields(Setting)]
    lines = [
        # csv writes nothing for None
        (name, kind, radius, share, int(best), *(getattr(setting, key) for key in conditions))
        for name, kind, shares, marks, setting in zip(
            table.names, table.kinds, table.shares.tolist(), table.best, table.settings, strict=True
        )
        for radius, share, best in zip(table.radii, shares, marks, strict=True)
        if not np.isnan(share)
    ]
    return csv_rows(["row", "kind", "radius", "share", "best", *conditions], lines)


def references(runs: Sequence[Run], norms: Sequence[str], published: Sequence[Published]) -> str:
    """Return BibTeX of the works behind the certificates, of published rows, and on the average certified radius."""
    known = entries()
    cited = [row.bibkey for row in published if row.bibkey in known]
    used = [*bibtex(runs, norms).split("\n\n"), *(known[key] for key in [*cited, METRIC])]
    return "\n\n".join(dict.fromkeys(used)) + "\n"
