"""Images to show: chosen by what was certified about them, drawn as small pictures."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from radii.certificates import Certificates
from radii.errors import InputError
from radii.plots.strip import as_picture, labels_text
from radii.report.runs import Run
from radii.results import NORM_NAMES, radius_text

MOST_RUNS = 4
"""Columns under one picture; more would not fit a phone."""


@dataclass(frozen=True, eq=False)
class Examples:
    """`images`, `(m, channels, height, width)` uint8, at the positions `index`, `(m,)`, of the data set."""

    images: np.ndarray
    index: np.ndarray
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or len(self.images) != len(self.index):
            raise InputError("examples are uint8 images (m, channels, height, width) and their m positions")

    def places(self, certificates: Certificates) -> list[int]:
        """The rows of `certificates` that are about these images."""
        row = {int(index): place for place, index in enumerate(certificates.index)}
        missing = [int(index) for index in self.index if int(index) not in row]
        if missing:
            raise InputError(f"the certificates say nothing about the images at {missing} of the data set")
        return [row[int(index)] for index in self.index]


def choose_examples(certificates: Certificates, count: int = 8) -> list[int]:
    """Rows worth showing: certified images from the largest radius to the smallest, a wrong one, an abstention."""
    one = certificates
    wrong = np.flatnonzero(~one.correct & ~one.abstained)[:1]
    silent = np.flatnonzero(one.abstained)[:1]
    # Equal radii, as those of l0 often are, go by the probability of the label.
    order = np.lexsort((-one.lower, -one.radius))
    ranked = order[(one.correct & ~one.abstained)[order]]
    room = max(count - len(wrong) - len(silent), 0)
    spread = np.linspace(0, len(ranked) - 1, min(room, len(ranked))).round().astype(int)
    return [int(row) for row in np.concatenate([ranked[spread], wrong, silent])][:count]


def example_cards(examples: Examples, runs: Sequence[Run], norms: Sequence[str]) -> list[dict[str, Any]]:
    """For each image its picture and, for the first runs, the certified label and a radius in each norm."""
    shown = runs[:MOST_RUNS]
    firsts = [next(iter(run.certificates.values())) for run in shown]
    cards = []
    for which, image in enumerate(examples.images):
        places = [examples.places(one)[which] for one in firsts]
        texts = [labels_text(one, row, examples.classes) for one, row in zip(firsts, places, strict=True)]
        true = texts[0][0]
        rows = [{"name": NORM_NAMES[norm], "cells": _radii(shown, norm, places)} for norm in norms]
        alt = f"test image {int(examples.index[which])}, true label {true}"
        labels = [found for _, found in texts]
        picture = picture_uri(image)
        cards.append({"picture": picture, "alt": alt, "true": true, "labels": labels, "rows": rows})
    return cards


def _radii(runs: Sequence[Run], norm: str, places: Sequence[int]) -> list[str]:
    """One radius a run, rounded down; a dash where there is none."""
    cells = []
    for run, place in zip(runs, places, strict=True):
        ranks = run.ranks(norm)
        held = ranks and not ranks[0].abstained[place]
        cells.append(radius_text(ranks[0].radius[place], norm) if held else "–")
    return cells


def picture_uri(image: np.ndarray) -> str:
    """A small image as PNG inside an address, so that the page loads nothing."""
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, as_picture(image), format="png", cmap="gray", vmin=0, vmax=255)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
