"""How every figure looks: one frame, one colour a noise, one caption that says what was measured."""

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from radii.certificates.certify import Certificates
from radii.noises import NOISES
from radii.report.formatting import draws_text

INK, SOFT, GRID, PAPER = "#20242a", "#68707a", "#e4e7eb", "#ffffff"
# Okabe & Ito 2008, told apart with every kind of colour vision; then others that no eye for colours takes for one of
# them. The order is that of the list of noises.
PALETTE = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d1f"),
    *("#882255", "#332288", "#7fbc41", "#c51b7d", "#ddcc77", "#117733", "#661100"),
)
TEXT, SMALL = 9.5, 7.8
NO_BREAK = "\N{NO-BREAK SPACE}"
_FONTS = ["DejaVu Sans", "Verdana", "sans-serif"]
WIDTH, HEIGHT = 5.2, 3.75
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.54, 0.2, 0.9, 0.58


@contextmanager
def own_style() -> Iterator[None]:
    """Draw as matplotlib does without a file of settings, `matplotlibrc`: figures are the same for every user.

    The caller's own settings are back afterwards. Texts take some settings when they are made, others when they are
    drawn, so both are done within.
    """
    own = {"svg.fonttype": "none", "svg.hashsalt": "radii", "font.sans-serif": _FONTS}
    with style.context("default"), rc_context(own):  # type: ignore[arg-type]
        yield


def noise_colour(name: str) -> str:
    """The colour of a noise, the same in every figure."""
    known = list(NOISES)
    return PALETTE[known.index(name) % len(PALETTE)] if name in known else SOFT


def shades(colour: str, count: int) -> list[str]:
    """`count` colours of one hue: `colour` itself, then lighter and lighter ones."""
    if count == 1:
        return [colour]
    return [_mix(colour, PAPER, 0.55 * place / (count - 1)) for place in range(count)]


def lighter(colour: str, share: float) -> str:
    """`colour` with a share of white."""
    return _mix(colour, "#ffffff", share)


def readable(colour: str) -> str:
    """`colour`, darkened until small text in it stands out from the paper (contrast 4.5, WCAG 2)."""
    while _contrast_with_paper(colour) < 4.5:
        colour = _mix(colour, INK, 0.08)
    return colour


def _contrast_with_paper(colour: str) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return 1.05 / (
        0.05 + sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
    )


def _mix(colour: str, other: str, share: float) -> str:
    pairs = zip(to_rgb(colour), to_rgb(other), strict=True)
    red, green, blue = ((1 - share) * one + share * two for one, two in pairs)
    return to_hex((red, green, blue))


def run_colours(certificates: Iterable[Certificates]) -> list[str]:
    """A colour for each: that of its noise, in shades by level where a noise comes more than once."""
    several = list(certificates)
    family: dict[str, list[int]] = {}
    for place in sorted(range(len(several)), key=lambda place: several[place].noise.level):
        family.setdefault(several[place].noise.name, []).append(place)
    colours = [""] * len(several)
    for name, places in family.items():
        for place, shade in zip(places, shades(noise_colour(name), len(places)), strict=True):
            colours[place] = shade
    return colours


def frame(
    title: str, subtitle: str, x_label: str, caption: str, *, below: float = 0.0
) -> tuple[Figure, Axes]:
    """An empty figure: titles above, light horizontal lines, the caption inside at the bottom.

    `below`: inches of room for a key between the axes and the caption; the figure grows by as much.
    """
    height = HEIGHT + below
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    size = (WIDTH - _LEFT - _RIGHT) / WIDTH, (HEIGHT - _BOTTOM - _TOP) / height
    axes = figure.add_axes((_LEFT / WIDTH, (_BOTTOM + below) / height, *size), facecolor="none")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(SOFT)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0, labelsize=TEXT - 0.7, labelcolor=SOFT, pad=3)
    axes.tick_params(axis="x", length=3, color=SOFT, labelsize=TEXT - 0.7, labelcolor=INK)
    axes.set_xlabel(x_label, fontsize=TEXT, color=INK, labelpad=4)
    figure.text(0.09 / WIDTH, 1 - 0.24 / height, title, fontsize=TEXT + 1.2, color=INK, weight="bold")
    figure.text(0.09 / WIDTH, 1 - 0.42 / height, subtitle, fontsize=SMALL + 0.5, color=SOFT)
    write_caption(figure, caption)
    return figure, axes


def write_caption(figure: Figure, caption: str) -> None:
    """Two small lines or so at the bottom left, inside the figure, broken between facts where they fit."""
    width, height = figure.get_size_inches()
    room = int(17.6 * width)
    facts = [fact if len(fact) > room // 2 else fact.replace(" ", NO_BREAK) for fact in caption.split(" · ")]
    text = textwrap.fill(" · ".join(facts).replace(" ·", f"{NO_BREAK}·"), room).replace(
        f"{NO_BREAK}·\n", "\n"
    )
    place = {"x": 0.09 / width, "y": 0.09 / height}
    figure.text(**place, s=text, fontsize=SMALL, color=SOFT, va="bottom", linespacing=1.35)


def caption_text(certificates: Iterable[Certificates]) -> str:
    """What was measured: draws an image, error probability, noise levels and the images."""
    several = list(certificates)
    facts = [
        f"n = {draws_text(several)} draws an image",
        f"α = {_spread((one.alpha for one in several), '{:g}'.format)}",
        *_levels(several),
        f"{_spread((len(one) for one in several), '{:,}'.format)} images",
        " / ".join(dict.fromkeys(str(one.data or "") for one in several)),
    ]
    return " · ".join(fact for fact in facts if fact)


def _levels(certificates: Iterable[Certificates]) -> list[str]:
    """The levels of the noises, by what they are called."""
    named: dict[str, list[float]] = {}
    for one in certificates:
        named.setdefault(one.noise.level_name, []).append(one.noise.level)
    return [f"{name} = {_spread(values, '{:g}'.format)}" for name, values in named.items()]


def _spread(values: Iterable[Any], text: Callable[[Any], str]) -> str:
    """One value or two, or the smallest and the largest of more."""
    found = sorted(set(values))
    joined = " or " if len(found) <= 2 else " to "
    return joined.join(text(value) for value in dict.fromkeys([found[0], found[-1]]))


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG at twice the density of a screen."""
    return _saved(figure, format="png", dpi=200, metadata={"Software": None})


def svg_text(figure: Figure) -> str:
    """The figure as SVG whose text stays text; the same figure gives the same bytes."""
    svg = _saved(figure, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))).decode()
    return re.sub(r'(?<= d=")[ML \d.\-z\n]+(?=")', lambda path: _short_path(path.group()), svg)


def _short_path(path: str) -> str:
    """A path of straight lines with tenths of points, and steps written as steps: a fifth of the bytes."""
    short, at = "", ("", "")
    for command, x, y in re.findall(r"([MLz])(?: (\S+) (\S+))?", path):
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
    with own_style():
        figure.savefig(content, **options)
    return content.getvalue()
