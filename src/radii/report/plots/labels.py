"""Names beside the curves themselves, where there is room; a key where there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from radii.report.plots.style import INK, PAPER, SMALL, TEXT, readable

DIRECT = "direct label"
_PAD = 3.0  # pixels between a label and whatever it must not touch
_GAP = 4.0  # pixels between a label and its own curve
_MARK = 3.0  # pixels from the middle of a mark to its edge


@dataclass(frozen=True, eq=False)
class Curve:
    """A line to be drawn: its name, its colour, and its corners `(points,)` in data units."""

    name: str
    colour: str
    x: np.ndarray
    y: np.ndarray


def draw_curves(
    axes: Axes,
    curves: Sequence[Curve],
    *,
    rising: bool = False,
    inline: bool = False,
    points: Sequence[Line2D] = (),
) -> None:
    """Draw and name curves; set the limits of the axes first, labels are placed by what they cover.

    `inline` writes the names on the curves, along the diagonal that falling curves cross one after another.
    `points` were drawn before, and no label may cover them; beside them even a single curve needs its name.
    """
    lines = [
        axes.plot(
            curve.x, curve.y, color=curve.colour, linewidth=1.4, solid_joinstyle="miter", label=curve.name
        )[0]
        for curve in curves
    ]
    taken = _boxes_of(axes, points)
    if (
        (points or len(curves) > 1)
        and not (inline and _label_inline(axes, curves, taken))
        and not _label_beside(axes, curves, rising, taken)
    ):
        order = sorted(range(len(curves)), key=lambda place: -_area(curves[place]))
        handles: list[Artist] = [lines[place] for place in order]
        size, between = (TEXT, 0.5) if len(handles) <= 6 else (SMALL - 0.8, 0.2)
        style: dict[str, Any] = {"labelcolor": INK, "handlelength": 1.4, "fontsize": size}
        style |= {"labelspacing": between, "borderaxespad": 0.2, "facecolor": PAPER, "edgecolor": "none"}
        # where it covers no curve, and opaque for the case that there is no such place
        axes.legend(handles=handles, loc="best", framealpha=1.0, **style).set_zorder(4)


def _boxes_of(axes: Axes, points: Sequence[Line2D]) -> list[np.ndarray]:
    """The boxes `(left, bottom, right, top)` of marks, in pixels."""
    places = [axes.transData.transform(np.column_stack(mark.get_data())) for mark in points]
    return [np.concatenate([at - _MARK, at + _MARK]) for several in places for at in several]


def _label_inline(axes: Axes, curves: Sequence[Curve], taken: list[np.ndarray]) -> bool:
    """Put each name on its curve where it meets the rising diagonal; say no if they would touch anything."""
    frame = axes.bbox
    placed: list[Text] = []
    boxes: list[np.ndarray] = []
    for place, curve in enumerate(curves):
        path = _dense_path(axes, curve)
        along = (path - [frame.x0, frame.y0]) / [frame.width, frame.height]
        crossing = path[np.abs(along[:, 0] - along[:, 1]).argmin()]
        # The first says what is counted; after it the number is enough: "k = 1", "2", "3".
        name = curve.name.split()[-1] if place else curve.name
        x, y = axes.transData.inverted().transform(crossing)
        text = axes.text(x, y, name, ha="center", va="center")
        text.set(color=readable(curve.colour), fontsize=TEXT - 0.7, zorder=5, label=DIRECT)
        text.set_bbox({"boxstyle": "round,pad=0.15", "facecolor": PAPER, "edgecolor": "none"})
        half = _size(text) / 2
        placed.append(text)
        boxes.append(np.concatenate([crossing - half, crossing + half]))
    if any(_overlap(one, two) for place, one in enumerate(boxes) for two in boxes[:place] + taken):
        _remove(placed)
        return False
    return True


def _area(curve: Curve) -> float:
    """The area under a curve: the key lists the upper curve first."""
    return float(np.sum(np.diff(curve.x) * (curve.y[1:] + curve.y[:-1])) / 2)


def _remove(texts: Sequence[Text]) -> None:
    for text in texts:
        text.remove()


def _overlap(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two boxes `(left, bottom, right, top)` come closer than `_PAD`."""
    return bool((one[:2] < two[2:] + _PAD).all() and (two[:2] < one[2:] + _PAD).all())


def _label_beside(axes: Axes, curves: Sequence[Curve], rising: bool, taken: list[np.ndarray]) -> bool:
    """Put each name at the freest place along its curve; say no if one would cover something."""
    paths = [_dense_path(axes, curve) for curve in curves]
    placed: list[Text] = []
    boxes = list(taken)
    for place, (curve, path) in enumerate(zip(curves, paths, strict=True)):
        others = np.concatenate([np.empty((0, 2)), *paths[:place], *paths[place + 1 :]])
        text = axes.text(
            curve.x[0],
            curve.y[0],
            curve.name,
            color=readable(curve.colour),
            fontsize=TEXT,
            zorder=5,
            label=DIRECT,
        )
        placed.append(text)
        box = _freest_box(axes, _size(text), path, others, boxes, rising)
        if box is None:
            _remove(placed)
            return False
        boxes.append(box)
        left, bottom = axes.transData.inverted().transform(box[:2])
        text.set_position((left, bottom))
    return True


def _dense_path(axes: Axes, curve: Curve) -> np.ndarray:
    """Points of a curve in pixels, `(points, 2)`, two pixels apart or less, within the axes."""
    corners = axes.transData.transform(np.column_stack([curve.x, curve.y]))
    length = np.append(0.0, np.cumsum(np.hypot(*np.diff(corners, axis=0).T)))
    at = np.linspace(0, length[-1], max(2, int(length[-1] / 2)))
    path = np.column_stack([np.interp(at, length, corners[:, axis]) for axis in (0, 1)])
    frame = axes.bbox
    inside = (path >= [frame.x0 - 1, frame.y0 - 1]) & (path <= [frame.x1 + 1, frame.y1 + 1])
    return path[inside.all(axis=1)]


def _size(text: Text) -> np.ndarray:
    """Width and height of a text in pixels."""
    extent = text.get_window_extent()
    return np.array([extent.width, extent.height])


def _freest_box(
    axes: Axes, size: np.ndarray, path: np.ndarray, others: np.ndarray, taken: list[np.ndarray], rising: bool
) -> np.ndarray | None:
    """The box `(left, bottom, right, top)` beside `path` that is farthest from all else, or None."""
    best, most = None, 0.0
    anchors = path[:: max(1, len(path) // 120)]
    for place, anchor in enumerate(anchors):
        for above in (True, False):
            box = _box_beside(anchor, size, above, rising)
            if not _is_free(box, axes, path, others, taken):
                continue
            # Above and near the middle of the curve reads best, when there is as much room.
            central = 1 - abs(place / len(anchors) - 0.4)
            score = min(_distance(box, others), 24.0) + 6 * above + 6 * central
            if score > most:
                best, most = box, score
    return best


def _box_beside(anchor: np.ndarray, size: np.ndarray, above: bool, rising: bool) -> np.ndarray:
    """A box on the free side of a falling or rising curve: its corner is `_GAP` away from the curve."""
    side = np.array([-1.0 if rising else 1.0, 1.0]) * (1.0 if above else -1.0)
    corner = anchor + _GAP * side
    low = np.where(side > 0, corner, corner - size)
    return np.concatenate([low, low + size])


def _is_free(
    box: np.ndarray, axes: Axes, path: np.ndarray, others: np.ndarray, taken: list[np.ndarray]
) -> bool:
    """Whether a box lies within the axes and touches no curve and no other label."""
    frame = axes.bbox
    if box[0] < frame.x0 or box[1] < frame.y0 + _PAD or box[2] > frame.x1 or box[3] > frame.y1:
        return False
    if any(_overlap(box, other) for other in taken):
        return False
    centre = np.tile((box[:2] + box[2:]) / 2, 2)
    # The reader gives a name to the nearest curve, so its own must be the nearest by far.
    own = _distance(centre, path) + _GAP < _distance(centre, others)
    return own and _distance(box, path) >= _PAD and _distance(box, others) >= _GAP


def _distance(box: np.ndarray, points: np.ndarray) -> float:
    """Distance in pixels from a box to the nearest of `points`, `(points, 2)`; 0 where one lies inside."""
    beyond = np.maximum(np.maximum(box[:2] - points, points - box[2:]), 0.0)
    return float(np.hypot(*beyond.T).min(initial=np.inf))
