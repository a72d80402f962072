"""Published accuracies as points: between them nothing is known."""

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from radii.plots.style import PAPER, noise_colour
from radii.published import Published

_MARKERS = "oDs^vP<>hXd*"


def draw_points(axes: Axes, published: Sequence[Published], scale: float) -> list[Artist]:
    """A hollow mark for each radius within the axes, in the colour of the noise; what a key can show of them.

    `scale`: steps of the axis in one image unit.
    """
    last = axes.get_xlim()[1]
    handles: list[Artist] = []
    for row, marker in zip(published, _MARKERS * (1 + len(published) // len(_MARKERS)), strict=False):
        points = [(radius * scale, share) for radius, share in row.accuracy.items() if radius * scale <= last]
        if points:
            style: dict[str, Any] = {"color": noise_colour(row.noise), "markerfacecolor": PAPER}
            x, y = zip(*points, strict=True)
            handles += axes.plot(
                x, y, marker, markersize=4.2, zorder=3, clip_on=False, label=row.name, **style
            )
    return handles
