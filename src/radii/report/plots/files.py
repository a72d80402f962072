"""Figures as files: PNG, SVG, PDF and PGF, the same bytes for the same figure."""

import io
import re
from typing import Any

from matplotlib.figure import Figure

from radii.report.plots.style import Drawing, own_style


def png_bytes(figure: Figure) -> bytes:
    """Return the figure as PNG, at twice the density of a screen."""
    # without the version of matplotlib, so that other versions may write the same bytes
    return _saved(figure, format="png", dpi=200, metadata={"Software": None})


def pdf_bytes(figure: Figure) -> bytes:
    """Return the figure as PDF with its fonts; the same figure gives the same bytes."""
    return _saved(figure, format="pdf", metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))


def svg_text(figure: Figure) -> str:
    """Return the figure as SVG; the same figure gives the same bytes. Text stays text, except in figures of a paper."""
    # without the date, which would differ in each run
    svg = _saved(figure, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))).decode()
    return re.sub(r'(?<= d=")[ML \d.\-z\n]+(?=")', lambda path: _short_path(path.group()), svg)


def _short_path(path: str) -> str:
    """Return a path of straight lines rounded to tenths of a point, level and upright ones as H and V.

    A page holds dozens of step functions: this takes a fifth of the bytes.
    """
    short, at = "", ("", "")
    for command, x, y in re.findall(r"([MLz])(?: (\S+) (\S+))?", path):
        # z, which closes a path, has no point
        to = (x and f"{float(x):.1f}".removesuffix(".0"), y and f"{float(y):.1f}".removesuffix(".0"))
        if command == "L" and to[1] == at[1]:
            short += f"H{to[0]}"
        elif command == "L" and to[0] == at[0]:
            short += f"V{to[1]}"
        else:
            short += f"{command}{' '.join(to).strip()}"
        at = to
    return short


def _saved(figure: Figure, **options: Any) -> bytes:
    content = io.BytesIO()
    # again, since texts read some settings only when they are drawn
    with own_style(figure.look if isinstance(figure, Drawing) else None):
        figure.savefig(content, **options)
    return content.getvalue()
