"""Tables and figures as LaTeX: booktabs, names escaped, the works cited by their BibTeX keys."""

from collections.abc import Sequence

from radii.report.accuracy import AccuracyTable, footnotes, marked_names
from radii.report.export import share_cells
from radii.report.formatting import NORM_NAMES, tex_text
from radii.report.leaderboard import HEADERS, UNKNOWN
from radii.report.paper.figures import Figure
from radii.report.plots import Drawing

HEAD = r"% In the preamble: \usepackage{booktabs}. Made by radii report --style paper."
FIGURES_HEAD = (
    r"% In the preamble: \usepackage{graphicx}, and \usepackage{pgf} for \input of the PGF files."
    " Made by radii report --style paper."
)


def tables_tex(tables: Sequence[AccuracyTable]) -> str:
    """Return all tables as floats for LaTeX with booktabs."""
    return "\n".join([HEAD, *map(table_tex, tables)])


def table_tex(table: AccuracyTable) -> str:
    """Return a table of certified accuracy as a float: percent, the best of each radius in bold, notes below.

    Beside published rows stand the conditions of every row, and a citation of the work.
    """
    heads = [rf"${head.replace('%', '')}$" for head in table.headers]
    names = [tex_text(name) for name in marked_names(table)]
    rows = [_row(table, number, name) for number, name in enumerate(names)]
    if table.compared:
        heads += [tex_text(head) for head in HEADERS]
    # a rule before the rows that are not of this report
    first = table.kinds.index("published") if table.compared else len(rows)
    parts = [rows[:first], rows[first:]]
    body = "\n\\midrule\n".join("\n".join(part) for part in parts if part)
    columns = "l" + "r" * len(table.headers) + ("llrrrr" if table.compared else "")
    notes = "".join(f"\\par\\smallskip\\footnotesize {tex_text(note)}\n" for note in footnotes(table))
    # tables with conditions are too wide for one column
    wide = "*" * table.compared
    return (
        f"\\begin{{table{wide}}}\n\\centering\n\\footnotesize\n\\setlength{{\\tabcolsep}}{{3.5pt}}\n"
        f"\\caption{{{table_caption(table)}}}\n\\label{{tab:{table.norm}-top{table.k}}}\n"
        f"\\begin{{tabular}}{{@{{}}{columns}@{{}}}}\n\\toprule\n"
        f"{_line(['', *heads])}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n{notes}\\end{{table{wide}}}\n"
    )


def table_caption(table: AccuracyTable) -> str:
    """Return the caption of a table for LaTeX: what is counted, and what is in bold."""
    what = f"Certified {'' if table.k == 1 else f'top-{table.k} '}accuracy in percent"
    unit = f" in {table.unit}s" if table.norm == "l0" else ""
    bold = " Bold: the best of each radius among rows about the same images." * bool(table.best.any())
    return tex_text(f"{what} by {NORM_NAMES[table.norm]} radius{unit}.{bold}")


def _row(table: AccuracyTable, number: int, name: str) -> str:
    """Return a row of a table: its name, its shares, and its conditions beside published rows."""
    setting = table.settings[number]
    shares = [cell.removesuffix("%").replace(UNKNOWN, "--") for cell in share_cells(table.shares[number])]
    cells = [
        rf"\textbf{{{share}}}" if best else share
        for share, best in zip(shares, table.best[number], strict=True)
    ]
    conditions = [tex_text(cell) for cell in setting.cells] if table.compared else []
    cite = rf"~\cite{{{setting.bibkey}}}" if setting.bibkey else ""
    return _line([f"{name}{cite}", *cells, *conditions])


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def figure_tex(figure: Figure, drawing: Drawing) -> str:
    """Return a figure as a float of one column that includes its PDF; comments name its other files."""
    words = f"{drawing.title}: {drawing.subtitle}. {drawing.caption.replace(' · ', '; ')}. {figure.note}"
    cite = rf"~\cite{{{figure.cited}}}" if figure.cited else ""
    return (
        "\\begin{figure}\n\\centering\n"
        f"\\includegraphics{{figures/{figure.name}-single.pdf}}\n"
        f"% in the fonts of the document: \\input{{figures/{figure.name}-single.pgf}};"
        f" over both columns, in figure*: {figure.name}-double\n"
        f"\\caption{{{tex_text(words.strip().removesuffix('.'))}{cite}.}}\n\\label{{fig:{figure.name}}}\n\\end{{figure}}\n"
    )
