"""Published accuracies as points: between them nothing is known."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from radii.plots.style import INK, PAPER, SMALL, SOFT, noise_colour
from radii.published import Published

_MARKERS = "oDs^vP<>hXd*"
_LINE, _HEAD = 0.128, 0.25
"""Inches that one line of the key takes, and its heading."""


def key_height(published: Sequence[Published]) -> float:
    """Inches that the key of these rows takes below the axes: two rows a line."""
    return _HEAD + _LINE * -(-len(published) // 2) if published else 0.0


def draw_points(
    axes: Axes, published: Sequence[Published], scale: float, colours: Sequence[str] = ()
) -> list[Line2D]:
    """A hollow mark for each radius within the axes, and a key below them in the room of `key_height`.

    `scale`: steps of the axis in one image unit. `colours`: of each row, by default that of its noise.
    """
    last = axes.get_xlim()[1]
    marks: list[Line2D] = []
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
        _key(axes, marks)
    return marks


def _key(axes: Axes, marks: Sequence[Artist]) -> None:
    """What the marks are, just above the caption."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.get_size_inches()
    style: dict[str, Any] = {"fontsize": SMALL - 0.8, "labelcolor": INK, "frameon": False}
    style |= {"handlelength": 1.2, "handletextpad": 0.4, "columnspacing": 1.5, "labelspacing": 0.3}
    style |= {"borderpad": 0.0, "borderaxespad": 0.0, "alignment": "left", "title_fontsize": SMALL}
    place = (0.09 / width, 0.5 / height)
    key = figure.legend(
        handles=marks, loc="lower left", bbox_to_anchor=place, ncols=2, title="published by others", **style
    )
    key.get_title().set_color(SOFT)
