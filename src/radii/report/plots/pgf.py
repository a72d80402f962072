"""Figures as PGF pictures, which LaTeX draws in the fonts of the document: no LaTeX is needed to write them."""

import io
from typing import Any

from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pgf import RendererPgf
from matplotlib.figure import Figure

from radii.report.formatting import tex_text
from radii.report.plots.style import Drawing, own_style

_HEAD = r"""% Include with \input{FILE}, after \usepackage{pgf} in the preamble.
\begingroup
\makeatletter
\begin{pgfpicture}
"""
_ANCHORS = {"left": "left", "right": "right", "center": ""}
_HEIGHTS = {"top": "top", "bottom": "bottom", "baseline": "base", "center": "", "center_baseline": ""}
_INCH = 72.0


class _Renderer(RendererPgf):
    """The renderer of matplotlib, with the metrics of its own fonts and with text that every LaTeX sets.

    That of matplotlib measures text by running LaTeX: files would need it, and change with its fonts.
    """

    def __init__(self, figure: Figure, content: io.StringIO) -> None:
        super().__init__(figure, content)
        self.metrics = figure.canvas.get_renderer()  # type: ignore[attr-defined]

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> tuple[float, float, float]:
        """Return the size of a text in the fonts of matplotlib; LaTeX sets it at its anchor, whatever its own size."""
        size: tuple[float, float, float] = self.metrics.get_text_width_height_descent(s, prop, ismath)
        return size

    def draw_text(
        self,
        gc: Any,
        x: float,
        y: float,
        s: str,
        prop: Any,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        """Write a text at its anchor, in the document's font and in the size of the figure."""
        place = ["left", "base"]
        # lines of a text are placed one by one
        if mtext is not None and "\n" not in mtext.get_text():
            x, y = mtext.get_transform().transform(mtext.get_unitless_position())
            place = [_ANCHORS[mtext.get_horizontalalignment()], _HEIGHTS[mtext.get_verticalalignment()]]
        at = [f"x={x / _INCH:.4f}in", f"y={y / _INCH:.4f}in", *filter(None, place)]
        if angle:
            at.append(f"rotate={angle:g}")
        size, (red, green, blue) = prop.get_size_in_points(), gc.get_rgb()[:3]
        self.fh.write(
            "\\begin{pgfscope}\n"
            f"\\definecolor{{textcolor}}{{rgb}}{{{red:.4f},{green:.4f},{blue:.4f}}}\n"
            f"\\pgftext[{','.join(at)}]{{\\color{{textcolor}}\\fontsize{{{size:g}}}{{{1.2 * size:g}}}\\selectfont "
            f"{tex_text(s)}}}\n"
            "\\end{pgfscope}\n"
        )


def pgf_text(figure: Figure) -> str:
    r"""Return the figure as a PGF picture for `\input`; the same figure gives the same text."""
    content, (width, height), before = io.StringIO(), figure.get_size_inches(), figure.dpi
    with own_style(figure.look if isinstance(figure, Drawing) else None):
        try:
            # the unit of PGF is the point, which is a pixel at this resolution
            figure.set_dpi(_INCH)
            renderer = MixedModeRenderer(figure, width, height, _INCH, _Renderer(figure, content))
            content.write(_HEAD)
            content.write(
                f"\\pgfpathrectangle{{\\pgfpointorigin}}{{\\pgfqpoint{{{width:g}in}}{{{height:g}in}}}}\n"
                "\\pgfusepath{use as bounding box,clip}\n"
            )
            # it passes on what a renderer can do, without being one
            figure.draw(renderer)  # type: ignore[arg-type]
        finally:
            figure.set_dpi(before)
    content.write("\\end{pgfpicture}\n\\makeatother\n\\endgroup\n")
    return content.getvalue()
