"""Names at the right ends of curves; a key where there is no room for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, cycle
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from radii.report.plots.style import INK, PAPER, look, readable

DIRECT = "direct label"
_MARKERS = "osD^vP"
_GAP = 5.0  # pixels between a name and the end of its curve
_PAD = 3.0  # pixels from the middle of a mark to its edge, and between ends that the eye tells apart
_EDGE = 6.0  # pixels between a name and the edge of the figure
_LAST = 0.94  # of the width of the axes: names of curves that end beyond stand outside
_NARROWEST = 0.8  # of their width, to which axes may shrink for names outside


@dataclass(frozen=True, eq=False)
class Curve:
    """A line to be drawn: its name, its colour, and its corners `(points,)` in data units."""

    name: str
    colour: str
    x: np.ndarray
    y: np.ndarray


def draw_attacked(axes: Axes, curves: Sequence[Curve]) -> None:
    """Draw dashed curves without names, each from its last corner on to the edge of the axes.

    Draw them before those with names, which then keep clear of them.
    """
    edge = axes.get_xlim()[1]
    for curve in curves:
        x, y = np.append(curve.x, max(edge, curve.x[-1])), np.append(curve.y, curve.y[-1])
        axes.plot(x, y, color=curve.colour, linewidth=1.1, linestyle=(0, (4, 2)))


def draw_curves(axes: Axes, curves: Sequence[Curve], points: Sequence[Line2D] = ()) -> None:
    """Draw and name curves; set the limits of the axes first, names are placed by what they would cover.

    `points` were drawn before, and no name may cover them; beside them even a single curve needs its name.
    """
    style: dict[str, Any] = {"linewidth": 1.4, "solid_joinstyle": "miter"}
    lines = [
        axes.plot(curve.x, curve.y, color=curve.colour, label=curve.name, **style)[0] for curve in curves
    ]
    if (points or len(curves) > 1) and not _name_ends(axes, lines, points):
        if not look().named:
            _mark(lines)
        order = sorted(range(len(curves)), key=lambda number: -_area(curves[number]))
        _key(axes, [lines[number] for number in order])


def _mark(lines: Sequence[Line2D]) -> None:
    """Put marks along the curves of a paper that no name stands beside: its readers may have no colours."""
    for number, (line, marker) in enumerate(zip(lines, cycle(_MARKERS), strict=False)):
        line.set_marker(marker)
        line.set_markersize(3.2)
        # at steps of a share of the axes' diagonal, and those of several curves not side by side
        line.set_markevery((0.03 + 0.05 * (number % 4), 0.2))


def _key(axes: Axes, lines: Sequence[Artist]) -> None:
    """Draw a key where it covers no curve; if it must cover one, its text stays readable and the curve is seen."""
    size, between = (look().text, 0.5) if len(lines) <= 6 else (look().key, 0.2)
    style: dict[str, Any] = {"labelcolor": INK, "handlelength": 1.4, "fontsize": size}
    style |= {"labelspacing": between, "borderaxespad": 0.2, "facecolor": PAPER, "edgecolor": "none"}
    axes.legend(handles=lines, loc="best", framealpha=0.8, **style).set_zorder(4)


def _area(curve: Curve) -> float:
    """Return the area under a curve: the key lists the upper curve first."""
    return float(np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1])) / 2)


def _name_ends(axes: Axes, lines: Sequence[Line2D], points: Sequence[Line2D]) -> bool:
    """Write each name to the right of the end of its curve; return False, and write none, if one has no room."""
    before = axes.get_position()
    # written before they are placed: only a text in a figure has a size
    names = [_at_end(axes, line, str(line.get_label())) for line in lines]
    if _make_room(axes, names) and _place(axes, lines, names, points):
        return True
    for text in [text for text in axes.texts if text.get_label() == DIRECT]:
        text.remove()
    axes.set_position(before)
    return False


def _at_end(axes: Axes, line: Line2D, text: str, **options: Any) -> Annotation:
    """Write a text whose left edge, at half its height, is at the end of a curve."""
    style: dict[str, Any] = {"fontsize": look().text, "va": "center", "zorder": 5, "label": DIRECT}
    style |= {"color": readable(str(line.get_color())), "textcoords": "offset points"}
    end: Any = np.asarray(line.get_xydata())[-1]
    # outside the axes, too: names of curves that end at the edge stand there
    return axes.annotate(text, end, (0.0, 0.0), annotation_clip=False, **style, **options)


def _make_room(axes: Axes, names: Sequence[Annotation]) -> bool:
    """Narrow the axes until all names end within the figure; return whether they stay wide enough."""
    frame, position, last = axes.bbox, axes.get_position(), axes.figure.bbox.x1 - _EDGE
    width = before = frame.width
    for name in names:
        box = name.get_window_extent()
        # a curve that ends on the left edge has share 0, by which nothing can be divided
        share = max((box.x0 - frame.x0) / before, 0.1)
        # names inside move with the ends of their curves, names outside with the edge of the axes
        width = min(width, (last - _GAP - box.width - frame.x0) / (share if share < _LAST else 1.0))
    axes.set_position((position.x0, position.y0, position.width * width / before, position.height))
    return width >= _NARROWEST * before


def _place(
    axes: Axes, lines: Sequence[Line2D], names: Sequence[Annotation], points: Sequence[Line2D]
) -> bool:
    """Lift names, the lowest first, until they touch nothing; return False if one cannot stay at its curve."""
    frame = axes.bbox
    paths = [line.get_path().transformed(line.get_transform()) for line in lines]
    # names keep clear of curves without a name, too
    unnamed = [line for line in axes.lines if line not in lines and line not in points]
    around = paths + [line.get_path().transformed(line.get_transform()) for line in unnamed]
    marks = [axes.transData.transform(np.column_stack(row.get_data())) for row in points]
    taken = [Bbox([at - _PAD, at + _PAD]) for row in marks for at in row]
    boxes = [name.get_window_extent() for name in names]
    ends = [(box.x0, (box.y0 + box.y1) / 2) for box in boxes]
    # names of ends that the eye cannot tell apart would stand at either curve
    if any(np.hypot(x - other_x, y - other_y) < _PAD for (x, y), (other_x, other_y) in combinations(ends, 2)):
        return False
    # names are only lifted: from the lowest, each finds the ones below it in their final positions
    for number in sorted(range(len(ends)), key=lambda number: ends[number][1]):
        box, end = boxes[number], ends[number][0]
        outside = end > frame.x0 + _LAST * frame.width
        right = _GAP + (max(0.0, frame.x1 - end) if outside else 0.0)
        # above the line of the axis, and at most four heights up, farther from which no name is at its curve
        least = max(0.0, frame.y0 + 1 - box.y0)
        lifts = (
            up
            for up in np.arange(least, 4 * box.height)
            if _is_free(box.translated(right, up), around, taken)
        )
        if (up := next(lifts, None)) is None:
            return False
        taken.append(box.translated(right, up))
        _move(names[number], right, up)
        if not paths[number].intersects_bbox(
            Bbox.from_extents(end - 1, box.y0 + up, end + 1, box.y1 + up), False
        ):
            # beside the axes a line leads to the end of the curve; inside it would run among the curves
            if not outside:
                return False
            style = {"arrowstyle": "-", "linewidth": 0.7, "color": names[number].get_color()}
            leader = _at_end(axes, lines[number], "", arrowprops=style | {"shrinkA": 0, "shrinkB": 0})
            _move(leader, right - _PAD, up)
    return True


def _is_free(box: Bbox, paths: Sequence[Path], taken: Sequence[Bbox]) -> bool:
    """Return whether a name touches nothing, and is farther from the next curve on the right than from its own."""
    around = Bbox.from_extents(box.x0 - 1, box.y0 - 1, box.x1 + 1.5 * _GAP, box.y1 + 1)
    return not around.count_overlaps(taken) and not any(path.intersects_bbox(around, False) for path in paths)


def _move(text: Annotation, right: float, up: float) -> None:
    """Move a text by pixels of the figure as it is shown; files have other ones."""
    text.xyann = right * 72 / text.figure.dpi, up * 72 / text.figure.dpi
