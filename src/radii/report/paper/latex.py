"""Tables and figures as LaTeX: booktabs, names escaped, the works cited by their BibTeX keys."""

from collections.abc import Sequence

from radii.report.accuracy_table import AccuracyTable, footnotes, marked_names
from radii.report.export import share_cells
from radii.report.formatting import NORM_NAMES, tex_text
from radii.report.leaderboard import HEADERS, UNKNOWN
from radii.report.paper.figures import Figure
from radii.report.plots import Drawing

HEAD = r"% In the preamble: \usepackage{booktabs}. Made by radii report --style paper."
_MOST_COLUMNS = 6
"""Radii that fit into one column of a page, beside the names of the rows."""
_BOLD = " Bold: the best run of each radius, and those that a paired test does not separate from it."
FIGURES_HEAD = (
    r"% In the preamble: \usepackage{graphicx}, and \usepackage{pgf} for \input of the PGF files."
    " Made by radii report --style paper."
)


def tables_tex(tables: Sequence[AccuracyTable]) -> str:
    """Return all tables as floats for LaTeX with booktabs."""
    return "\n".join([HEAD, *map(table_tex, tables)])


def table_tex(table: AccuracyTable) -> str:
    """Return a table of certified accuracy as a float: percent, the best runs of each radius in bold, notes below.

    Beside published rows, a second float has the conditions of every row: one table of both is wider than a page.
    """
    names = [tex_text(name) for name in marked_names(table)]
    cites = [rf"~\cite{{{setting.bibkey}}}" if setting.bibkey else "" for setting in table.settings]
    shares = [_shares(table, number) for number in range(len(names))]
    rows = [[f"{name}{cite}", *cells] for name, cite, cells in zip(names, cites, shares, strict=True)]
    heads = [f"${head}$" for head in table.headers]
    label, caption, notes = f"tab:{table.norm}-top{table.k}", table_caption(table), footnotes(table)
    if not table.compared:
        return _float(label, caption, "r" * len(heads), heads, [rows], notes)
    # a rule before the rows that are not of this report
    first = table.kinds.index("published")
    conditions = [
        [name, *map(tex_text, setting.cells)] for name, setting in zip(names, table.settings, strict=True)
    ]
    more = f"{label}-conditions"
    return "\n".join(
        [
            _float(
                label,
                rf"{caption} Conditions of the rows: table~\ref{{{more}}}.",
                "r" * len(heads),
                heads,
                [rows[:first], rows[first:]],
            ),
            _float(
                more,
                rf"Conditions of the rows of table~\ref{{{label}}}.",
                "llrrrr",
                [tex_text(head) for head in HEADERS],
                [conditions[:first], conditions[first:]],
                notes,
            ),
        ]
    )


def _float(
    label: str,
    caption: str,
    columns: str,
    heads: Sequence[str],
    parts: Sequence[Sequence[Sequence[str]]],
    notes: Sequence[str] = (),
) -> str:
    """Return a float with a tabular of several parts, over both columns of the page if it has more than six columns."""
    wide = "*" * (len(heads) > _MOST_COLUMNS or len(parts) > 1)
    body = "\n\\midrule\n".join("\n".join(map(_line, part)) for part in parts if part)
    below = "".join(f"\\par\\smallskip\\raggedright\\footnotesize {tex_text(note)}\n" for note in notes)
    return (
        f"\\begin{{table{wide}}}\n\\centering\n\\footnotesize\n\\setlength{{\\tabcolsep}}{{3.5pt}}\n"
        f"\\caption{{{caption}}}\n\\label{{{label}}}\n"
        f"\\begin{{tabular}}{{@{{}}l{columns}@{{}}}}\n\\toprule\n"
        f"{_line(['', *heads])}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n{below}\\end{{table{wide}}}\n"
    )


def table_caption(table: AccuracyTable) -> str:
    """Return the caption of a table for LaTeX: what is counted, and what is in bold."""
    what = f"Certified {'' if table.k == 1 else f'top-{table.k} '}accuracy in percent"
    unit = f" in {table.unit}s" if table.norm == "l0" else ""
    bold = (
        " Bold: the best run of each radius, and those that a paired test does not separate from it."
        * bool(table.best.any())
    )
    return tex_text(f"{what} by {NORM_NAMES[table.norm]} radius{unit}.{bold}")


def _shares(table: AccuracyTable, number: int) -> list[str]:
    """Return the shares of a row in percent, the best in bold."""
    shares = [cell.removesuffix("%").replace(UNKNOWN, "--") for cell in share_cells(table.shares[number])]
    marked = zip(shares, table.best[number], strict=True)
    return [rf"\textbf{{{share}}}" if best else share for share, best in marked]


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
