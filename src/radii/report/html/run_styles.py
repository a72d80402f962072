"""How the page draws each run: a colour for light and for dark paper, dashes, and a marker."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from radii.report.html.runs import Run
from radii.report.plots.style import PALETTE, lighter, noise_colour

LIGHT, DARK = "#ffffff", "#17191d"
"""Colours of paper, as in page.css."""

CONTRAST = 3.0
"""The least contrast of a line with its paper, as WCAG 2 wants it for graphics."""

DASHES = ("", "9 3", "2 2.5", "9 3 2 3", "5 2", "12 3 2 3 2 3")
"""Dashes of runs that share a colour, in order of their level: those of one noise at several levels."""

MARKERS = 8
"""Shapes of markers, in the order of the runs; page.html draws them."""


@dataclass(frozen=True)
class RunStyle:
    """The look of a run's curve.

    Parameters
    ----------
    light, dark : colours on light and on dark paper
    dash : lengths of dashes and gaps, empty for a solid line
    marker : number of its shape
    """

    light: str
    dark: str
    dash: str
    marker: int


def run_styles(runs: Sequence[Run]) -> list[RunStyle]:
    """Return the style of each run: its colour is that of its noise where noises differ, else its own."""
    several = len({run.noise.name for run in runs}) > 1
    colours = [
        noise_colour(run.noise.name) if several else PALETTE[number % len(PALETTE)]
        for number, run in enumerate(runs)
    ]
    dashes, alike = [""] * len(runs), Counter[str]()
    # by level, so that dashes do not depend on the order of the files
    for number in sorted(range(len(runs)), key=lambda number: runs[number].noise.level):
        dashes[number] = DASHES[alike[colours[number]] % len(DASHES)]
        alike[colours[number]] += 1
    pairs = {colour: on_papers(colour) for colour in set(colours)}
    return [
        RunStyle(*pairs[colour], dash, number % MARKERS)
        for number, (colour, dash) in enumerate(zip(colours, dashes, strict=True))
    ]


def on_papers(colour: str) -> tuple[str, str]:
    """Return a colour for light and for dark paper: darkened, or lightened, until it stands out."""
    light = dark = colour
    while contrast(light, LIGHT) < CONTRAST:
        light = _darker(light, 0.04)
    while contrast(dark, DARK) < CONTRAST:
        dark = lighter(dark, 0.04)
    return light, dark


def contrast(colour: str, paper: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    bright, dim = sorted((_luminance(colour), _luminance(paper)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _parts(colour)]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def _darker(colour: str, share: float) -> str:
    return "#" + "".join(f"{round(255 * part * (1 - share)):02x}" for part in _parts(colour))


def _parts(colour: str) -> list[float]:
    """Return red, green and blue of `#rrggbb`, from 0 to 1."""
    return [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
