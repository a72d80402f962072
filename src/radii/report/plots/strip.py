"""A strip of test images, each with its labels and its certified radius in each norm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.formatting import NORM_NAMES, radius_text
from radii.report.plots.style import INK, PAPER, SMALL, SOFT, TEXT, caption_text, own_style, write_caption

_TILE, _GAP, _NAMES, _LINE = 1.02, 0.1, 0.86, 0.19
"""Inches: width of an image, gap between images, width of the names of the lines, height of a line."""


@own_style()
def image_strip(
    images: np.ndarray,
    certificates: Mapping[str, Certificates],
    rows: Sequence[int],
    classes: Sequence[str] = (),
) -> Figure:
    """Return a figure of images side by side, each with its labels and its certified radius in each norm below.

    Parameters
    ----------
    images : `(m, channels, height, width)`, uint8
    certificates : by norm, all of the same images
    rows : of the m images in each set of certificates
    classes : names of the labels
    """
    if len(images) != len(rows) or images.dtype != np.uint8:
        raise InputError("image_strip needs one uint8 image for each row")
    radii = {norm: [_radius_cell(certified, row) for row in rows] for norm, certified in certificates.items()}
    first = next(iter(certificates.values()))
    labels = [labels_text(first, row, classes) for row in rows]
    width = _NAMES + len(rows) * (_TILE + _GAP) + 0.05
    height = 0.52 + _TILE + (2 + len(radii)) * _LINE + 0.4
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    title = f"Examples, {first.noise.title} noise, top {first.k}"
    _write(figure, 0.09, height - 0.24, title, size=TEXT + 1.2, weight="bold")
    for column, image in enumerate(images):
        left = _NAMES + column * (_TILE + _GAP)
        axes = figure.add_axes(
            (left / width, (height - 0.42 - _TILE) / height, _TILE / width, _TILE / height)
        )
        # limits of grey, or imshow would stretch the contrast of each image; the pixels stay as they were certified
        axes.imshow(as_picture(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_axis_off()
    lines = {
        "true label": [true for true, _ in labels],
        "certified": [label for _, label in labels],
        **{NORM_NAMES[norm] + f" {first.unit}s" * (norm == "l0"): cells for norm, cells in radii.items()},
    }
    top = height - 0.42 - _TILE - 0.2
    for line, (name, cells) in enumerate(lines.items()):
        _write(figure, 0.09, top - line * _LINE, name, size=SMALL, color=SOFT)
        for column, cell in enumerate(cells):
            _write(figure, _NAMES + column * (_TILE + _GAP), top - line * _LINE, cell, size=SMALL + 0.4)
    write_caption(figure, caption_text(certificates.values()))
    return figure


def as_picture(image: np.ndarray) -> np.ndarray:
    """Return `(channels, height, width)` as matplotlib draws it: `(height, width)` or `(height, width, 3)`."""
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


def labels_text(certificates: Certificates, row: int, classes: Sequence[str] = ()) -> tuple[str, str]:
    """Return the true and the certified label of an image; "(wrong)" follows a certified label that is not true."""
    known = certificates.true_label
    true = "unknown" if known is None else class_name(int(known[row]), classes)
    # true labels are fixed beforehand: the votes confirm them or not, and nothing is predicted
    if not certificates.certified[row]:
        return true, str(certificates.status[row])
    label = ", ".join(class_name(int(label), classes) for label in np.atleast_1d(certificates.label[row]))
    wrong = known is not None and not certificates.correctly_certified[row]
    return true, f"{label} (wrong)" if wrong else label


def class_name(label: int, classes: Sequence[str]) -> str:
    """Return the name of a label, or its number where classes have no names."""
    return classes[label] if classes else str(label)


def _radius_cell(certificates: Certificates, row: int) -> str:
    """Return a radius, rounded down, or a dash where nothing is certified."""
    return radius_text(certificates.radius[row], certificates.norm) if certificates.certified[row] else "–"


def _write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Write text at a position in inches from the bottom left."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, **{"color": INK, **style})
