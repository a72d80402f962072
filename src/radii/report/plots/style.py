"""The look that all figures share: frame, sizes, colours of noises, and a caption that states what was measured."""

import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.noises import NOISES
from radii.report.formatting import NO_BREAK, draws_text

INK, SOFT, GRID, PAPER = "#20242a", "#68707a", "#e4e7eb", "#ffffff"
PALETTE = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f"),
    *("#882255", "#332288", "#7fbc41", "#c51b7d", "#ddcc77", "#117733", "#661100"),
)
"""Colours of noises, in the order of `NOISES`.

First those of Okabe & Ito 2008, distinct for every kind of colour vision; the others differ from them and from each
other for normal vision.
"""


@dataclass(frozen=True)
class Look:
    """Sizes of figures in inches, and of their text in points.

    Parameters
    ----------
    width, height : of a figure; a key below the axes adds to the height
    left, right, bottom, top : margins of the axes
    text, small, key : sizes of text, of notes, and of the key of published results
    fonts : families, each for the letters that those before lack
    named : whether the figure contains its title and caption
    key_columns : of the key of published results
    """

    width: float
    height: float
    left: float
    right: float
    bottom: float
    top: float
    text: float
    small: float
    key: float
    fonts: tuple[str, ...]
    named: bool
    key_columns: int


_SERIF = ("STIXGeneral", "DejaVu Serif")
"""Serif fonts that come with matplotlib: figures are the same on every machine."""
SCREEN = Look(5.2, 3.75, 0.54, 0.2, 0.9, 0.58, 9.5, 7.8, 7.0, ("sans-serif",), True, 2)
"""Figures of the page and of notebooks, which contain their title and caption."""
PAPER_LOOKS = {
    1: Look(3.25, 2.3, 0.47, 0.09, 0.43, 0.09, 8.0, 7.0, 6.5, _SERIF, False, 1),
    2: Look(6.75, 2.6, 0.5, 0.09, 0.43, 0.09, 8.0, 7.0, 6.5, _SERIF, False, 3),
}
"""Figures of one column and of both columns of a paper, whose LaTeX sets title and caption: `paper_style`."""
_LOOK: ContextVar[Look] = ContextVar("look", default=SCREEN)


class Drawing(Figure):
    """A figure that notebooks show as SVG, with the words for its caption.

    Parameters
    ----------
    title, subtitle, caption : what is drawn, in which measure, and under which settings
    """

    def __init__(
        self, size: tuple[float, float], title: str = "", subtitle: str = "", caption: str = ""
    ) -> None:
        super().__init__(figsize=size, facecolor=PAPER)
        self.look = _LOOK.get()
        self.title, self.subtitle, self.caption = title, subtitle, caption
        # not by pyplot, which keeps every figure in memory until it is closed
        FigureCanvasAgg(self)

    def _repr_svg_(self) -> str:
        """Return the figure as SVG, for notebooks."""
        # `files` draws what this module makes, and so imports it
        from radii.report.plots.files import svg_text

        return svg_text(self)


def look() -> Look:
    """Return the sizes of the figures that are drawn now."""
    return _LOOK.get()


@contextmanager
def paper_style(columns: int = 1) -> Iterator[None]:
    """Draw figures for a paper: 3.25 inches wide for one column or 6.75 for both, serif, without title and caption.

    Parameters
    ----------
    columns : 1 or 2

    Raises
    ------
    InputError
        If there is no such width.

    Examples
    --------
    >>> import radii
    >>> from radii.report.plots import paper_style, radius_by_probability
    >>> with paper_style(columns=1):
    ...     figure = radius_by_probability([radii.Laplace(0.5)], "l1", (3, 32, 32))
    >>> figure.get_size_inches().tolist(), figure.title
    ([3.25, 2.3], 'Certified ℓ₁ radius by noise, σ = 0.5')
    """
    if columns not in PAPER_LOOKS:
        raise InputError(f"a figure of a paper spans 1 or 2 columns; got {columns!r}")
    before = _LOOK.set(PAPER_LOOKS[columns])
    try:
        yield
    finally:
        _LOOK.reset(before)


@contextmanager
def own_style(of: Look | None = None) -> Iterator[None]:
    """Ignore the user's `matplotlibrc`, so that figures are the same for every user; restore it afterwards.

    Figures must be both made and saved within it: texts read some settings when they are made, others when they are
    drawn. `of`: the look of a figure that was made before.
    """
    current = of or _LOOK.get()
    settings = {
        "font.family": list(current.fonts),
        "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],
        # on a page text stays text; the fonts of a paper need not be there where its figures are shown
        "svg.fonttype": "none" if current.named else "path",
        # identifiers do not change from run to run
        "svg.hashsalt": "radii",
        # outlines that editors of figures and publishers accept, not bitmaps of type 3
        "pdf.fonttype": 42,
    }
    with style.context("default"), rc_context(settings):  # type: ignore[arg-type]
        yield


def noise_colour(name: str) -> str:
    """Return the colour of a noise, the same in every figure; grey for an unknown one."""
    known = list(NOISES)
    # a noise that is registered later may reuse a colour; the order of the others stays
    return PALETTE[known.index(name) % len(PALETTE)] if name in known else SOFT


def shades(colour: str, count: int) -> list[str]:
    """Return `count` shades of a colour: itself, then lighter and lighter ones."""
    if count == 1:
        return [colour]
    # beyond a share of 0.55 a line would hardly stand out from the paper
    return [_mix(colour, PAPER, 0.55 * number / (count - 1)) for number in range(count)]


def lighter(colour: str, share: float) -> str:
    """Return `colour` mixed with a share of white."""
    return _mix(colour, "#ffffff", share)


def readable(colour: str) -> str:
    """Return `colour`, darkened until small text in it is readable on paper (contrast 4.5, WCAG 2)."""
    while _contrast_with_paper(colour) < 4.5:
        # in small steps, since each takes the name away from the colour of its curve
        colour = _mix(colour, INK, 0.08)
    return colour


def _contrast_with_paper(colour: str) -> float:
    """Return the contrast with white as WCAG 2 defines it: (1 + 0.05) / (luminance + 0.05) in linear sRGB."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    luminance = sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
    return 1.05 / (0.05 + luminance)


def _mix(colour: str, other: str, share: float) -> str:
    pairs = zip(to_rgb(colour), to_rgb(other), strict=True)
    red, green, blue = ((1 - share) * part + share * other_part for part, other_part in pairs)
    return to_hex((red, green, blue))


def run_colours(certificates: Iterable[Certificates]) -> list[str]:
    """Return a colour for each run: that of its noise, in shades by level where several runs share the noise."""
    noises = [certified.noise for certified in certificates]
    rows_of: dict[str, list[int]] = {}
    # the smallest level in the full colour: colours of runs do not depend on the order of the files
    for row in sorted(range(len(noises)), key=lambda row: noises[row].level):
        rows_of.setdefault(noises[row].name, []).append(row)
    colours = [""] * len(noises)
    for name, rows in rows_of.items():
        for row, shade in zip(rows, shades(noise_colour(name), len(rows)), strict=True):
            colours[row] = shade
    return colours


CAPTION_LINE = 0.145
"""Inches of a line of the caption."""


def frame(
    title: str, subtitle: str, x_label: str, caption: str, *, below: float = 0.0
) -> tuple[Drawing, Axes]:
    """Return an empty figure and its axes: titles above, light horizontal lines, the caption at the bottom.

    `below`: height of the space for a key between axes and caption, in inches, by which the figure grows.
    """
    now = look()
    if now.named:
        below += more_lines(caption, now.width)
    width, height = now.width, now.height + below
    figure = Drawing((width, height), title, subtitle, caption)
    size = (width - now.left - now.right) / width, (now.height - now.bottom - now.top) / height
    axes = figure.add_axes((now.left / width, (now.bottom + below) / height, *size), facecolor="none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    # lines of the grid would otherwise run through curves and names
    axes.set_axisbelow(True)
    ticks = now.text - 0.7
    axes.tick_params(axis="y", length=0, labelsize=ticks, labelcolor=SOFT if now.named else INK, pad=3)
    axes.tick_params(axis="x", length=3, color=SOFT, labelsize=ticks, labelcolor=INK)
    axes.set_xlabel(x_label, fontsize=now.text, color=INK, labelpad=4 if now.named else 2)
    if now.named:
        write_title(figure, title)
        figure.text(0.09 / width, 1 - 0.42 / height, subtitle, fontsize=now.small + 0.5, color=SOFT)
        write_caption(figure, caption)
    return figure, axes


def write_title(figure: Figure, title: str) -> None:
    """Write the title at the top left."""
    width, height = figure.get_size_inches()
    corner = {"x": 0.09 / width, "y": 1 - 0.24 / height}
    figure.text(**corner, s=title, fontsize=look().text + 1.2, color=INK, weight="bold")


def write_caption(figure: Figure, caption: str) -> None:
    """Write a caption of small lines at the bottom left."""
    width, height = figure.get_size_inches()
    corner = {"x": 0.09 / width, "y": 0.09 / height}
    text = broken(caption, width)
    figure.text(**corner, s=text, fontsize=look().small, color=SOFT, va="bottom", linespacing=1.35)


def more_lines(caption: str, width: float) -> float:
    """Return the height in inches of a caption's lines after the second, for which figures have no room."""
    return CAPTION_LINE * max(broken(caption, width).count("\n") - 1, 0)


def broken(caption: str, width: float) -> str:
    """Return a caption in lines for a figure of this width in inches, broken between facts where these are short."""
    # characters of this size in the figure's width: of captions with many digits 16.9 fill an inch
    line = int(16.8 * width)
    # a fact longer than half a line may be broken, which otherwise could leave a line half empty
    facts = [fact if len(fact) > line // 2 else fact.replace(" ", NO_BREAK) for fact in caption.split(" · ")]
    # a dot stays with the fact before it, and goes where it would end a line
    text = textwrap.fill(" · ".join(facts).replace(" ·", f"{NO_BREAK}·"), line)
    return text.replace(f"{NO_BREAK}·\n", "\n")


def _images_text(certificates: Certificates) -> str:
    """Return the data set and which of its images these are, without the digest of your own images."""
    return str(certificates.data and replace(certificates.data, digest=""))


def caption_text(certificates: Iterable[Certificates]) -> str:
    """Return what was measured: noise samples per image, error probability, noise levels and images."""
    several = list(certificates)
    facts = [
        f"n = {draws_text(several)} noise samples per image",
        f"α = {_spread((certified.alpha for certified in several), '{:g}'.format)}",
        *_levels(several),
        f"{_spread((len(certified) for certified in several), '{:,}'.format)} images",
        " / ".join(dict.fromkeys(_images_text(certified) for certified in several if certified.data)),
    ]
    return " · ".join(fact for fact in facts if fact)


def _levels(certificates: Iterable[Certificates]) -> list[str]:
    """Return the levels of the noises, by the name of their parameter: `σ = 0.25 or 0.5`."""
    by_name: dict[str, list[float]] = {}
    for certified in certificates:
        by_name.setdefault(certified.noise.level_name, []).append(certified.noise.level)
    return [f"{name} = {_spread(levels, '{:g}'.format)}" for name, levels in by_name.items()]


def _spread(values: Iterable[Any], text: Callable[[Any], str]) -> str:
    """Return one value or two as text, or the smallest and the largest of more."""
    # all values of many runs would not fit a caption
    known = sorted(set(values))
    joined = " or " if len(known) <= 2 else " to "
    return joined.join(text(value) for value in dict.fromkeys([known[0], known[-1]]))
