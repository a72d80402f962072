"""The figures of a report: files beside the page, and drawings inside it that follow its colours."""

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
from radii.report.accuracy import same_question, tabulate
from radii.report.export import write_whole
from radii.report.formatting import NORM_NAMES, round_text
from radii.report.html.examples import Examples
from radii.report.html.runs import Run, by_name
from radii.report.plots import (
    accuracy_by_k,
    accuracy_by_noise,
    image_strip,
    png_bytes,
    radius_by_probability,
    svg_text,
)
from radii.report.plots.style import GRID, INK, PAPER, SOFT, lighter
from radii.report.published import Published, of_question

DARK = {PAPER: "#17191d", INK: "#e6e8eb", SOFT: "#9aa2ad", GRID: "#2d3137"}


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its drawing, what it shows in words, and its file."""

    svg: str
    words: str
    file: str


def norm_pictures(
    runs: Sequence[Run], norm: str, published: Sequence[Published], folder: Path
) -> list[Picture]:
    """The noises compared, with what others published, and what theory allows them."""
    compared, name = by_name(runs, norm), NORM_NAMES[norm]
    first = next(iter(compared.values()))
    known: dict[str, Any] = {"unit": first.unit, "n": first.n, "alpha": first.alpha}
    theory = radius_by_probability(equal_noises(runs, norm), norm, first.shape, **known)
    words = f"Certified {name} radius against the lower bound on the label's probability, at equal sigma."
    return [
        _keep(
            accuracy_by_noise(compared, published),
            f"accuracy-{norm}",
            _compared_words(compared, norm, published),
            folder,
        ),
        _keep(theory, f"radius-{norm}", words, folder),
    ]


def rank_pictures(
    runs: Sequence[Run], norm: str, published: Sequence[Published], folder: Path
) -> list[Picture]:
    """Each run that has several k, with k as the parameter."""
    pictures, counts = [], Counter(run.noise for run in runs)
    for run in runs:
        ranks = run.ranks(norm)
        if len(ranks) > 1:
            places = ", ".join(str(one.k) for one in ranks)
            words = f"Certified top-k accuracy against {NORM_NAMES[norm]} radius, {run.name}, k = {places}."
            figure = accuracy_by_k(ranks, published, name=run.name if counts[run.noise] > 1 else "")
            pictures.append(_keep(figure, f"topk-{norm}-{run.slug}", words, folder))
    return pictures


def equal_noises(runs: Sequence[Run], norm: str) -> list[Noise]:
    """One noise of each kind that has a rule for `norm`, all at the level that most runs use."""
    counts = Counter((run.noise.level_name, run.noise.level) for run in runs if norm in run.noise.rules)
    name, level = max(counts, key=lambda one: (counts[one], one))
    fitting = (run.noise for run in runs if norm in run.noise.rules and run.noise.level_name == name)
    return list(dict.fromkeys(noise.at_level(level) for noise in fitting))


def keep_strips(runs: Sequence[Run], norms: Sequence[str], examples: Examples, folder: Path) -> list[str]:
    """A strip of example images for each run, as files; their addresses."""
    files = []
    for run in runs:
        shown = {norm: run.ranks(norm)[0] for norm in norms if run.ranks(norm)}
        places = examples.places(next(iter(shown.values())))
        figure = image_strip(examples.images, shown, places, examples.classes)
        files.append(_file(figure, f"examples-{run.slug}", folder))
    return files


def _keep(figure: Figure, name: str, words: str, folder: Path) -> Picture:
    return Picture(inline(svg_text(figure), name, words), words, _file(figure, name, folder))


def _file(figure: Figure, name: str, folder: Path) -> str:
    write_whole(folder / "figures" / f"{name}.png", png_bytes(figure))
    return f"figures/{name}.png"


def _compared_words(compared: Mapping[str, Certificates], norm: str, published: Sequence[Published]) -> str:
    """What the comparison shows, for those who do not see it: each curve at three radii, and the published points."""
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
    return f"Certified accuracy against {NORM_NAMES[norm]} radius: {'; '.join(curves)}."


def inline(svg: str, name: str, words: str) -> str:
    """A drawing as a part of a page: names of its own, the colours of the page, words for its readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    svg = re.sub(r"#([0-9a-f]{6})\b(?=[;\"])", r"var(--c\1)", svg)
    svg = re.sub(r"font-family: [^;\"]+", "font-family: inherit", svg)
    svg = re.sub(r"\n\s*", "\n", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(words)}"', 1)


def colour_rules(drawings: str) -> dict[str, tuple[str, str]]:
    """For every colour in the drawings its variable, with its value on light and on dark paper."""
    used = sorted(set(re.findall(r"var\(--c([0-9a-f]{6})\)", drawings)))
    return {f"--c{code}": (f"#{code}", DARK.get(f"#{code}") or _on_dark(f"#{code}")) for code in used}


def run_colour_rules(colours: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The variable of each run, `--run0` and so on, with its colour on light and on dark paper."""
    return {f"--run{number}": (colour, _on_dark(colour)) for number, colour in enumerate(colours)}


def _on_dark(colour: str) -> str:
    return lighter(colour, 0.28)
