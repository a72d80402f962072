"""Tables that commands print: laid out for people, or for other programs with --format.

With a format for programs, standard output holds the tables alone; sentences and progress go to standard error.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Annotated, Any

import rich.table
import typer
from rich.box import SIMPLE_HEAD
from rich.text import Text

from radii.cli import console
from radii.errors import check_name
from radii.report.export import csv_rows, markdown_table
from radii.report.formatting import tex_text

FORMATS = ("table", "json", "csv", "markdown", "latex")
NAME = "name"
"""Key of the first column where it has no heading."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text for people, and its value for programs, None where there is none."""

    text: str
    value: Any
    best: bool = False


@dataclass
class Table:
    """A table of a command.

    `about`: what all rows share, by name, for programs, which do not read the title. `names`: number of columns at the
    left that hold names. `prose`: numbers of columns whose texts may be broken into lines; names and numbers that are
    broken could not be copied.
    """

    headers: tuple[str, ...]
    title: str = ""
    caption: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    names: int = 1
    prose: tuple[int, ...] = ()
    rows: list[list[Cell]] = field(default_factory=list)

    def add_row(self, *cells: str | Cell) -> None:
        """Add a row; the value of a text is the text itself."""
        self.rows.append([cell if isinstance(cell, Cell) else Cell(cell, cell or None) for cell in cells])

    def laid_out(self) -> rich.table.Table:
        """Return the cells as rich lays them out, with rules in a terminal alone."""
        rules = SIMPLE_HEAD if console.console.is_terminal else None
        table = rich.table.Table(box=rules)
        for place, header in enumerate(self.headers):
            justify: Any = "left" if place < self.names else "right"
            table.add_column(header, justify=justify, no_wrap=place not in self.prose)
        for row in self.rows:
            # only plain texts are laid out as the letters that replace symbols need; bold ones are numbers
            table.add_row(*(Text(cell.text, style="bold") if cell.best else cell.text for cell in row))
        return table

    def for_programs(self) -> list[dict[str, Any]]:
        """Return the rows for programs: what all rows share, and the values of the cells by their headings."""
        keys = [header or NAME for header in self.headers]
        values = ([cell.value for cell in row] for row in self.rows)
        return [{**self.about, **dict(zip(keys, row, strict=True))} for row in values]


@dataclass
class Output:
    """What a command prints: the format, and the tables that wait for its end."""

    format: str = FORMATS[0]
    tables: list[Table] = field(default_factory=list)


_output = Output()


def show(table: Table) -> None:
    """Print a table, or keep it until the command has ended well, if programs are to read it."""
    if _output.format == "table":
        # beside the cells, to whose width rich would break them
        if table.title:
            console.console.print(table.title, style="italic")
        console.console.print(table.laid_out())
        if table.caption:
            console.console.print(table.caption, style="dim italic")
    else:
        _output.tables.append(table)


def with_format(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the option --format, for the tables that it shows."""
    option = inspect.Parameter(
        "table_format",
        inspect.Parameter.KEYWORD_ONLY,
        default=FORMATS[0],
        annotation=Annotated[
            str,
            typer.Option(
                "--format",
                help="Format of the tables: table, json, csv, markdown or latex.",
                rich_help_panel="Output",
            ),
        ],
    )

    @wraps(command)
    def formatted(*, table_format: str, **values: Any) -> None:
        with output_as(check_name("format", table_format, FORMATS)):
            command(**values)

    signature = inspect.signature(command)
    formatted.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), option]
    )
    formatted.__annotations__ = {**command.__annotations__, option.name: option.annotation}
    return formatted


@contextmanager
def output_as(table_format: str) -> Iterator[None]:
    """Print the tables that are shown within in a format; nothing for programs unless all ends well."""
    _output.format, _output.tables, before = table_format, [], console.console.stderr
    console.said.clear()
    console.console.stderr = table_format != "table"
    try:
        yield
    finally:
        console.console.stderr, _output.format = before, FORMATS[0]
    if table_format != "table":
        console.console.out(WRITERS[table_format](_output.tables), highlight=False, end="")


def _json(tables: list[Table]) -> str:
    """Return the tables, and the sentences that were printed, as one JSON document."""
    document = {
        "tables": [
            {
                "title": table.title,
                "caption": table.caption.strip(),
                "rows": table.for_programs(),
            }
            for table in tables
        ],
        "sentences": list(console.said),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(tables: list[Table]) -> str:
    """Return the tables as CSV, with an empty line between two."""
    texts = []
    for table in tables:
        rows = table.for_programs()
        texts.append(csv_rows(list(rows[0]) if rows else [], (list(row.values()) for row in rows)))
    return "\n".join(texts)


def _markdown(tables: list[Table]) -> str:
    """Return the tables in Markdown, each below its title."""
    texts = []
    for table in tables:
        rows = [[f"**{cell.text}**" if cell.best else cell.text for cell in row] for row in table.rows]
        parts = (table.title, markdown_table(table.headers, rows).rstrip("\n"), table.caption.strip())
        texts.append("\n\n".join(filter(None, parts)) + "\n")
    return "\n".join(texts)


def _latex(tables: list[Table]) -> str:
    """Return the tables as LaTeX tables, with the rules of the package booktabs."""
    texts = []
    for table in tables:
        columns = "l" * table.names + "r" * (len(table.headers) - table.names)
        rows = [
            [rf"\textbf{{{tex_text(cell.text)}}}" if cell.best else tex_text(cell.text) for cell in row]
            for row in table.rows
        ]
        heads, *lines = (" & ".join(row) + r" \\" for row in [list(map(tex_text, table.headers)), *rows])
        caption = tex_text(". ".join(filter(None, (table.title, table.caption.strip()))))
        body = ["\\toprule", heads, "\\midrule", *lines, "\\bottomrule"]
        parts = [
            f"\\begin{{table}}\n\\caption{{{caption}}}\n\\begin{{tabular}}{{{columns}}}",
            *body,
            "\\end{tabular}\n\\end{table}\n",
        ]
        texts.append("\n".join(parts))
    return "\n".join(texts)


WRITERS: dict[str, Callable[[list[Table]], str]] = {
    "json": _json,
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
}
