"""Test images with what is certified about them: labels, and a radius in each norm."""

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


@own_style()
def image_strip(
    images: np.ndarray,
    certificates: Mapping[str, Certificates],
    places: Sequence[int],
    classes: Sequence[str] = (),
) -> Figure:
    """Images side by side, under each its labels and its certified radius in each norm.

    `images`: `(len(places), channels, height, width)` uint8. `certificates`: one set for each norm, all of
    the same images; `places` says which of their rows the images are. `classes`: names of the labels.
    """
    if len(images) != len(places) or images.dtype != np.uint8:
        raise InputError("image_strip needs one uint8 image for each place")
    rows = {norm: [_cell(one, place) for place in places] for norm, one in certificates.items()}
    first = next(iter(certificates.values()))
    labels = [labels_text(first, place, classes) for place in places]
    width = _NAMES + len(places) * (_TILE + _GAP) + 0.05
    height = 0.52 + _TILE + (2 + len(rows)) * _LINE + 0.4
    figure = Figure(figsize=(width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    title = f"Examples, {first.noise.title} noise, top {first.k}"
    _write(figure, 0.09, height - 0.24, title, size=TEXT + 1.2, weight="bold")
    for column, image in enumerate(images):
        left = _NAMES + column * (_TILE + _GAP)
        axes = figure.add_axes(
            (left / width, (height - 0.42 - _TILE) / height, _TILE / width, _TILE / height)
        )
        axes.imshow(as_picture(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_axis_off()
    top = height - 0.42 - _TILE - 0.2
    for line, (name, cells) in enumerate(_lines(labels, rows, first.unit)):
        _write(figure, 0.09, top - line * _LINE, name, size=SMALL, color=SOFT)
        for column, cell in enumerate(cells):
            _write(figure, _NAMES + column * (_TILE + _GAP), top - line * _LINE, cell, size=SMALL + 0.4)
    write_caption(figure, caption_text(certificates.values()))
    return figure


def as_picture(image: np.ndarray) -> np.ndarray:
    """`(channels, height, width)` as drawn: `(height, width)` or `(height, width, 3)`."""
    return image[0] if len(image) == 1 else image.transpose(1, 2, 0)


def labels_text(certificates: Certificates, place: int, classes: Sequence[str] = ()) -> tuple[str, str]:
    """The true and the certified label of one image, in words: a wrong one says so."""
    one = certificates
    true = "unknown" if one.true_label is None else class_name(int(one.true_label[place]), classes)
    if one.abstained[place]:
        return true, "not confirmed" if one.labels == "true" else "abstains"
    found = ", ".join(class_name(int(label), classes) for label in np.atleast_1d(one.label[place]))
    wrong = one.true_label is not None and not one.correct[place]
    return true, f"{found} (wrong)" if wrong else found


def class_name(label: int, classes: Sequence[str]) -> str:
    """The name of a label, or its number where there are no names."""
    return classes[label] if classes else str(label)


def _cell(certificates: Certificates, place: int) -> str:
    """A radius, rounded down, or a dash where the classifier abstained."""
    return (
        "–" if certificates.abstained[place] else radius_text(certificates.radius[place], certificates.norm)
    )


def _lines(
    labels: list[tuple[str, str]], rows: Mapping[str, list[str]], unit: str
) -> list[tuple[str, list[str]]]:
    """The lines of text under the images: a name each and one cell an image."""
    radii = [
        (f"{NORM_NAMES[norm]} {unit}s" if norm == "l0" else NORM_NAMES[norm], rows[norm]) for norm in rows
    ]
    return [
        ("true label", [true for true, _ in labels]),
        ("certified", [found for _, found in labels]),
        *radii,
    ]


def _write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Text at a place in inches from the bottom left."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, **{"color": INK, **style})
