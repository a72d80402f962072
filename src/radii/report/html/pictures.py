"""The figures of a report: PNG files next to the page, and SVG inside it in the colours of the page."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from radii.certificates.certify import Certificates
from radii.noises import Noise
from radii.report.accuracy import same_question
from radii.report.accuracy_table import tabulate
from radii.report.export import write_whole
from radii.report.formatting import NORM_NAMES, round_text
from radii.report.html.examples import Examples
from radii.report.html.run_styles import on_papers
from radii.report.plots import (
    accuracy_by_k,
    accuracy_by_noise,
    image_strip,
    png_bytes,
    radius_by_probability,
    svg_text,
)
from radii.report.plots.style import GRID, INK, PAPER, SOFT
from radii.report.published import Published, of_question
from radii.report.runs import Run, by_name, most_robust

_DARK = {PAPER: "#17191d", INK: "#e6e8eb", SOFT: "#9aa2ad", GRID: "#2d3137"}
"""Colours of paper, text and lines on dark paper, as in page.css."""


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its drawing, its description for screen readers, and its file."""

    svg: str
    words: str
    file: str


def norm_pictures(
    runs: Sequence[Run], norm: str, published: Sequence[Published], folder: Path
) -> list[Picture]:
    """Return the figures of a norm: accuracy of all runs beside published results, and the radii of their noises."""
    compared = most_robust(by_name(runs, norm))
    first = next(iter(compared.values()))
    # the figure marks the reach of one n and alpha: those of the first run
    known: dict[str, Any] = {"unit": first.unit, "n": first.n, "alpha": first.alpha}
    theory = radius_by_probability(equal_noises(runs, norm), norm, first.shape, **known)
    words = f"Certified {NORM_NAMES[norm]} radius against the lower bound on the label's probability, at equal sigma."
    attacks = {run.name: run.attacks[norm, first.k] for run in runs if (norm, first.k) in run.attacks}
    accuracy = accuracy_by_noise(compared, published, attacks=attacks)
    return [
        _keep(
            accuracy, f"accuracy-{norm}", _comparison_words(compared, norm, published, bool(attacks)), folder
        ),
        _keep(theory, f"radius-{norm}", words, folder),
    ]


def top_k_pictures(
    runs: Sequence[Run], norm: str, published: Sequence[Published], folder: Path
) -> list[Picture]:
    """Return a figure of each run that has several k, with k as the parameter."""
    pictures, counts = [], Counter(run.noise for run in runs)
    shown = most_robust(by_name(runs, norm))
    for run in (run for run in runs if run.name in shown):
        by_k = run.by_k(norm)
        if len(by_k) > 1:
            ks = ", ".join(str(certified.k) for certified in by_k)
            words = f"Certified top-k accuracy against {NORM_NAMES[norm]} radius, {run.name}, k = {ks}."
            # its noise names a figure, unless another run has the same noise
            name = run.name if counts[run.noise] > 1 else ""
            attacks = {one.k: run.attacks[norm, one.k] for one in by_k if (norm, one.k) in run.attacks}
            figure = accuracy_by_k(by_k, published, name=name, attacks=attacks)
            pictures.append(_keep(figure, f"topk-{norm}-{run.slug}", words, folder))
    return pictures


def equal_noises(runs: Sequence[Run], norm: str) -> list[Noise]:
    """Return one noise of each kind that has a rule for `norm`, all at the level that most runs use."""
    ruled = [run.noise for run in runs if norm in run.noise.rules]
    counts = Counter((noise.level_name, noise.level) for noise in ruled)
    # the larger of equally frequent levels, whatever the order of the runs
    name, level = max(counts, key=lambda known: (counts[known], known))
    return list(dict.fromkeys(noise.at_level(level) for noise in ruled if noise.level_name == name))


def keep_strips(runs: Sequence[Run], norms: Sequence[str], examples: Examples, folder: Path) -> list[str]:
    """Write a strip of example images for each run; return the paths relative to the page."""
    files = []
    for run in runs:
        shown = {norm: run.by_k(norm)[0] for norm in norms if run.by_k(norm)}
        rows = examples.rows_in(next(iter(shown.values())))
        figure = image_strip(examples.images, shown, rows, examples.classes)
        files.append(_write_png(figure, f"examples-{run.slug}", folder))
    return files


def _keep(figure: Figure, name: str, words: str, folder: Path) -> Picture:
    return Picture(inline(svg_text(figure), name, words), words, _write_png(figure, name, folder))


def _write_png(figure: Figure, name: str, folder: Path) -> str:
    write_whole(folder / "figures" / f"{name}.png", png_bytes(figure))
    return f"figures/{name}.png"


def _comparison_words(
    compared: Mapping[str, Certificates], norm: str, published: Sequence[Published], attacked: bool
) -> str:
    """Return a description for screen readers: each curve at three radii, and the published points."""
    _, unit, k = same_question(compared.values())
    table = tabulate(compared)
    picks = sorted({0, len(table.radii) // 2, len(table.radii) - 1})
    curves = [
        f"{name} {', '.join(f'{shares[pick]:.1%} at {table.headers[pick]}' for pick in picks)}"
        for name, shares, kind in zip(table.names, table.shares, table.kinds, strict=True)
        if kind == "run"
    ]
    for row in of_question(published, norm, k, unit):
        stated = [f"{share:.1%} at {round_text(radius, norm)}" for radius, share in row.accuracy.items()]
        curves.append(f"published, {row.name} {', '.join(stated)}")
    dashed = " Dashed: majority vote under the attacks tried, from plain accuracy down." * attacked
    return f"Certified accuracy against {NORM_NAMES[norm]} radius: {'; '.join(curves)}.{dashed}"


def inline(svg: str, name: str, words: str) -> str:
    """Return a drawing as part of a page: unique identifiers, colours as variables, and a description."""
    # without XML declaration and DOCTYPE, which HTML does not allow inside a page
    svg = svg[svg.index("<svg") :]
    # matplotlib gives the same identifiers to the parts of every drawing, and a page holds many
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    # without a size of its own, a drawing is scaled to its column by the style sheet
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    # the page gives each variable a value for light and for dark paper
    svg = re.sub(r"#([0-9a-f]{6})\b(?=[;\"])", r"var(--c\1)", svg)
    # text like that of the page around it
    svg = re.sub(r"font-family: [^;\"]+", "font-family: inherit", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(words)}"', 1)


def colour_rules(drawings: str) -> dict[str, tuple[str, str]]:
    """Return the variable of every colour in the drawings, with its values on light and on dark paper."""
    used = sorted(set(re.findall(r"var\(--c([0-9a-f]{6})\)", drawings)))
    return {
        f"--c{code}": (f"#{code}", _DARK[f"#{code}"]) if f"#{code}" in _DARK else on_papers(f"#{code}")
        for code in used
    }
