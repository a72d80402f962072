"""Certified accuracy against radius: the noises side by side, or one noise with k as the parameter."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.noises import Noise
from radii.report.accuracy import accuracy_curve, empirical_curve, same_question
from radii.report.formatting import NORM_NAMES
from radii.report.plots.labels import Curve, draw_attacked, draw_curves
from radii.report.plots.style import (
    INK,
    PAPER,
    SOFT,
    Drawing,
    caption_text,
    frame,
    look,
    more_lines,
    noise_colour,
    own_style,
    run_colours,
    shades,
)
from radii.report.published import Published, of_question

_MARKERS = "oDs^vP<>hXd*"
_LINE, _HEAD = 0.0183, 0.0357
"""Inches that one line of the key takes, and its heading, per point of its text."""


def key_height(published: Sequence[Published]) -> float:
    """Return the height in inches of the key of these rows below the axes, in `look().key_columns` columns."""
    now = look()
    return now.key * (_HEAD + _LINE * -(-len(published) // now.key_columns)) if published else 0.0


def draw_points(
    axes: Axes,
    published: Sequence[Published],
    scale: float,
    colours: Sequence[str] = (),
    title: str = "published by others",
) -> list[Line2D]:
    """Draw a hollow mark for each radius within the axes, and a key below them, of height `key_height`.

    `scale`: steps of the axis in one image unit. `colours`: of each row, by default that of its noise. `title`: of the
    key.
    """
    # marks are not clipped, so that they are whole on the edge; those beyond it would lie outside the axes
    last = axes.get_xlim()[1]
    marks: list[Line2D] = []
    # markers repeat when there are more rows
    drawn = zip(published, colours or [noise_colour(row.noise) for row in published], strict=True)
    for (row, colour), marker in zip(drawn, cycle(_MARKERS), strict=False):
        points = [(radius * scale, share) for radius, share in row.accuracy.items() if radius * scale <= last]
        if points:
            style: dict[str, Any] = {"color": colour, "markerfacecolor": PAPER, "linestyle": "none"}
            x, y = zip(*points, strict=True)
            marks += axes.plot(
                x, y, marker=marker, markersize=4.2, zorder=3, clip_on=False, label=row.name, **style
            )
    if marks:
        _key(axes, marks, title)
    return marks


def _key(axes: Axes, marks: Sequence[Artist], title: str) -> None:
    """Draw the key of the marks, just above the caption."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches()
    now = look()
    style: dict[str, Any] = {"fontsize": now.key, "labelcolor": INK, "frameon": False}
    style |= {
        "handlelength": 1.2,
        "handletextpad": 0.4,
        "columnspacing": 1.5 if now.named else 2.5,
        "labelspacing": 0.3,
    }
    style |= {"borderpad": 0.0, "borderaxespad": 0.0, "alignment": "left", "title_fontsize": now.small}
    # above the caption, if there is one
    caption = figure.caption if isinstance(figure, Drawing) else ""
    corner = (0.09 / width, (0.5 + more_lines(caption, width) if now.named else 0.03) / height)
    key = figure.legend(
        handles=marks,
        loc="lower left",
        bbox_to_anchor=corner,
        ncols=now.key_columns,
        title=title,
        **style,
    )
    key.get_title().set_color(SOFT)


_SHARE = "share of all images with the true label certified up to the radius"
_SHARE_K = "share of all images with the true label certified among the top k up to the radius"
_DASHED = " · dashed: majority vote under the attacks tried"
_MOST_STEPS = 600
_MOST_ROWS = 8
"""Published rows in a figure: the key of more would be larger than the figure, and tables have them all."""


@own_style()
def accuracy_by_noise(
    certificates: Mapping[str, Certificates],
    published: Sequence[Published] = (),
    *,
    attacks: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Drawing:
    """Draw certified accuracy against radius, a curve for each named set of certificates of one norm and k.

    Parameters
    ----------
    certificates : by name
    published : rows, of which those of the same norm and k are drawn as points; of many, those that are the best at
        some radius
    attacks : by name, as far as attacked: `(images,)`, the length of the shortest perturbation found, infinite without
        one; drawn dashed as in `radii.report.accuracy.empirical_curve`

    Returns
    -------
    Drawing
        A figure that notebooks show.
    """
    norm, unit, k = same_question(certificates.values())
    kinds = {certified.noise.title for certified in certificates.values()}
    # a noise that all runs share is named in the title, since the names of the curves may not tell it
    alone = f", {kinds.pop()} noise" if len(kinds) == 1 else ""
    title = f"Certified {'' if k == 1 else f'top-{k} '}accuracy, {NORM_NAMES[norm]}{alone}"
    known, caption = of_question(published, norm, k, unit), caption_text(certificates.values())
    rows = foremost(known)
    key = "published by others" + ": the best at some radius" * (len(rows) < len(known))
    figure, axes = frame(
        title,
        _SHARE,
        radius_label(norm, unit),
        caption + _DASHED * bool(attacks),
        below=key_height(rows),
    )
    colours = dict(zip(certificates, run_colours(certificates.values()), strict=True))
    curves = [Curve(name, colours[name], *step_path(certified)) for name, certified in certificates.items()]
    _limit(axes, curves, norm)
    draw_attacked(
        axes,
        [
            Curve(name, colours[name], *attacked_path(certificates[name], lengths))
            for name, lengths in attacks.items()
        ],
    )
    draw_curves(axes, curves, draw_points(axes, rows, axis_scale(norm), title=key))
    return figure


@own_style()
def accuracy_by_k(
    certificates: Sequence[Certificates],
    published: Sequence[Published] = (),
    *,
    name: str = "",
    attacks: Mapping[int, np.ndarray] = MappingProxyType({}),
) -> Drawing:
    """Draw certified top-k accuracy against radius with k as the parameter, for one noise and one norm.

    Parameters
    ----------
    certificates : one set for each k
    published : rows, drawn as points where their authors give several k for the same noise and norm
    name : of the run, where its noise alone does not tell it from others
    attacks : by k, as in `accuracy_by_noise`; a k that was not attacked has no dashed curve

    Returns
    -------
    Drawing
        A figure that notebooks show.
    """
    ranked = sorted(certificates, key=lambda certified: certified.k)
    noise, norm = _one_noise(ranked), ranked[0].norm
    subject = _short(name) if name else f"{noise.title} noise, {noise.level_text}"
    title = f"Certified top-k accuracy, {NORM_NAMES[norm]}, {subject}"
    unit, colours = ranked[0].unit, shades(noise_colour(noise.name), len(ranked))
    shade = dict(zip((certified.k for certified in ranked), colours, strict=True))
    # a point needs the colour of a curve, so rows of other k are left out
    rows = [row for row in _ranks_published(published, norm, noise.name, unit) if row.k in shade]
    caption = caption_text(ranked) + _DASHED * bool(attacks)
    figure, axes = frame(title, _SHARE_K, radius_label(norm, unit), caption, below=key_height(rows))
    curves = [
        Curve(f"k = {certified.k}", colour, *step_path(certified))
        for certified, colour in zip(ranked, colours, strict=True)
    ]
    _limit(axes, curves, norm)
    # from the largest area to the smallest, each on top of those that contain it
    for curve in reversed(curves):
        axes.fill(*_area(curve), color=curve.colour, alpha=0.16, linewidth=0)
    by_k = {certified.k: certified for certified in ranked}
    draw_attacked(
        axes,
        [Curve(f"k = {k}", shade[k], *attacked_path(by_k[k], lengths)) for k, lengths in attacks.items()],
    )
    named = [replace(row, name=f"k = {row.k}, {row.name}") for row in rows]
    draw_curves(axes, curves, draw_points(axes, named, axis_scale(norm), [shade[row.k] for row in rows]))
    return figure


def _short(name: str, most: int = 28) -> str:
    """Return the end of a long name, where paths differ, so that it fits a title."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _ranks_published(published: Sequence[Published], norm: str, noise: str, unit: str) -> list[Published]:
    """Return the rows of one norm and noise from sources that give some k above 1."""
    rows = [row for row in published if (row.norm, row.noise, row.unit) == (norm, noise, unit)]
    # a source with k = 1 alone belongs beside other noises, not beside other k
    deep = {row.source for row in rows if row.k > 1}
    return [row for row in rows if row.source in deep]


def _area(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the area under a curve that ends at zero."""
    return np.append(curve.x, curve.x[0]), np.append(curve.y, 0.0)


def step_path(certificates: Certificates) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the certified accuracy as a step function, `(points,)` each, in the units of the axis.

    l0 takes whole numbers only: there each number has a tread of its own, centred on it.
    """
    radii, shares = _thinned(*accuracy_curve(certificates))
    if certificates.norm == "l0":
        counts = np.arange(int(radii[-1]) + 1)
        # the share of a step holds up to its radius, inclusive: that of the first radius of at least the count
        treads = shares[np.searchsorted(radii, counts)]
        edges = np.arange(len(counts) + 1) - 0.5
        return np.repeat(edges, 2)[1:], np.append(np.repeat(treads, 2), 0.0)
    # upright steps: a slanted line between the points would show accuracies that are not certified
    heights = np.concatenate([shares[:1], np.repeat(shares[1:], 2), [0.0]])
    return np.repeat(radii, 2) * axis_scale(certificates.norm), heights


def attacked_path(certificates: Certificates, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of `empirical_curve` as a step function, `(points,)` each, in the units of the axis."""
    radii, shares = empirical_curve(certificates.correct, lengths)
    if certificates.norm == "l0":
        # the tread of a number is centred on it, and the last one goes on
        counts = np.arange(int(radii[-1]) + 1)
        treads = shares[np.searchsorted(radii, counts, side="right") - 1]
        edges = np.repeat(np.arange(len(counts)) - 0.5, 2)[1:]
        return edges, np.repeat(treads, 2)[:-1]
    return np.repeat(radii, 2)[1:] * axis_scale(certificates.norm), np.repeat(shares, 2)[:-1]


def foremost(rows: Sequence[Published], most: int = _MOST_ROWS) -> list[Published]:
    """Return the rows; of more than `most` those with the largest share at some radius."""
    if len(rows) <= most:
        return list(rows)
    best: dict[float, float] = {}
    for row in rows:
        for radius, share in row.accuracy.items():
            best[radius] = max(share, best.get(radius, 0.0))
    return [row for row in rows if any(share == best[radius] for radius, share in row.accuracy.items())]


def _thinned(radii: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `_MOST_STEPS` steps, finer than the eye can see; of merged ones the lowest stays."""
    if len(radii) <= _MOST_STEPS:
        return radii, shares
    # two steps of a cell may stay, so there are half as many cells; radius 0 has one of its own
    cells = np.ceil(radii / radii[-1] * (_MOST_STEPS // 2 - 1))
    ends = cells[1:] != cells[:-1]
    # the first of a cell stays as well: without it a step would move left across the gap before the cell.
    kept = np.append(ends, True) | np.append(True, ends)
    return radii[kept], shares[kept]


def axis_scale(norm: str) -> float:
    """Return the steps of the radius axis per image unit: linf is drawn in grey levels of 1/255."""
    return 255.0 if norm == "linf" else 1.0


def radius_label(norm: str, unit: str) -> str:
    """Return the name of a radius axis, with its unit."""
    name = NORM_NAMES[norm]
    if norm == "l0":
        return f"{name} radius (changed {unit}s)"
    return f"{name} radius (pixel values in [0, 1])"


def ticks_in_grey_levels(axis_ticks: Axes, which: str) -> None:
    """Write the ticks of an linf axis as `2/255`."""
    axis = axis_ticks.xaxis if which == "x" else axis_ticks.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}/255" if value else "0"))


def _one_noise(certificates: Iterable[Certificates]) -> Noise:
    """Return the noise that all certificates share; top-k curves of several would not be comparable."""
    questions = {(certified.noise, certified.norm, certified.unit) for certified in certificates}
    if len(questions) != 1:
        raise InputError("top-k curves need certificates of one noise, norm and unit, and of one k each")
    return questions.pop()[0]


def _limit(axes: Axes, curves: Sequence[Curve], norm: str) -> None:
    """Set the limits: 0 to 100 % upwards, to the right as far as anything is certified."""
    # an l0 axis shows at least the treads of 0 and 1
    first, least = (-0.5, 1.5) if norm == "l0" else (0.0, 0.0)
    last = max(least, *(curve.x[-1] for curve in curves))
    # 2 % more, or half of the last upright line would be cut off; of equal limits matplotlib warns
    axes.set_xlim(first, last + 0.02 * (last - first) if last > first else 1.0)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    # ticks at whole grey levels, unless the axis has too few of them
    whole = norm == "l0" or (norm == "linf" and last > 4)
    axes.xaxis.set_major_locator(
        MaxNLocator(
            8 if norm == "l0" else 6, steps=[1, 2, 5, 10] if whole else [1, 2, 2.5, 5, 10], integer=whole
        )
    )
    if norm == "linf":
        ticks_in_grey_levels(axes, "x")
