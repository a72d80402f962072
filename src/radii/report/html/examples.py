"""Images to show: chosen by what was certified about them, clean, under noise, and moved as far as is certified."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.noises.theory.bisection import bisect
from radii.report.formatting import NORM_NAMES, radius_text
from radii.report.html.content import colours
from radii.report.html.runs import Run
from radii.report.plots.strip import as_picture, class_name, labels_text
from radii.report.plots.style import own_style

ROUNDS = 60
"""Halvings of the interval that holds the step, after which it is known to the last bit."""


def moved(image: np.ndarray, norm: str, radius: float, unit: str, seed: int = 0) -> np.ndarray:
    """`image`, `(channels, height, width)` in [0, 1], after a random move of norm `radius` that stays in [0, 1].

    linf: every value moves by as much. l2: in a random direction. l1 and l0: random pixels change as far as they can.
    Where the box leaves no room for so long a move, it is as long as there is room along its way.
    """
    random = np.random.default_rng(seed)
    if norm in ("l0", "l1"):
        return _spent(image, norm, radius, unit, random)
    way = random.standard_normal(image.shape) if norm == "l2" else random.choice([-1.0, 1.0], image.shape)
    # towards the farther end of the box, wherever the nearer one would stop the move
    way = np.where((image + np.sign(way) * radius > 1) | (image + np.sign(way) * radius < 0), -way, way)
    if norm == "linf":
        return np.clip(image + way * radius, 0, 1)
    return _scaled(image, way, radius)


def _scaled(image: np.ndarray, way: np.ndarray, radius: float) -> np.ndarray:
    """As far along `way`, clipped to the box, as l2 length `radius` reaches."""

    def length(share: float) -> float:
        return float(np.linalg.norm(np.clip(image + share * way, 0, 1) - image))

    long = 1.0
    while length(long) < radius and long < 2**20:
        long *= 2
    share, _ = bisect(lambda share: np.array(length(float(share)) <= radius), 0.0, long, ROUNDS)
    return np.clip(image + share * way, 0, 1)


def _spent(image: np.ndarray, norm: str, radius: float, unit: str, random: np.random.Generator) -> np.ndarray:
    """Features in random order, or whole pixels, each moved to its farther end until `radius` is spent."""
    channels, pixels = len(image), image[0].size
    flat = image.reshape(channels, pixels).astype(float)
    far = np.where(flat < 0.5, 1.0, 0.0)
    order = random.permutation(pixels)
    spots = [(slice(None), spot) for spot in order]
    if norm == "l0" and unit == "feature":
        spots = [
            (slice(one % channels, one % channels + 1), one // channels)
            for one in random.permutation(flat.size)
        ]
    left = radius
    for spot in spots:
        step = far[spot] - flat[spot]
        cost = 1.0 if norm == "l0" else float(np.abs(step).sum())
        share = min(1.0, left / cost)
        if norm == "l0" and share < 1:
            break
        flat[spot] += share * step
        left -= share * cost
        if left <= 0:
            break
    return np.clip(flat.reshape(image.shape), 0, 1)


MOST_RUNS = 4
"""Columns under one picture; more would not fit a phone."""

MOST_BARS = 3
"""Classes whose votes are drawn."""

MOST_MOVED = 3
"""Images that are shown moved."""


@dataclass(frozen=True, eq=False)
class Examples:
    """`images`, `(m, channels, height, width)` uint8, at the positions `index`, `(m,)`, of the data set.

    `noisy`: by the name of a run, one copy of each image under its noise, of the same shape and type.
    """

    images: np.ndarray
    index: np.ndarray
    classes: tuple[str, ...] = ()
    noisy: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for images in (self.images, *self.noisy.values()):
            if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(self.index):
                raise InputError(
                    "examples are uint8 images (m, channels, height, width) and their m positions"
                )

    def places(self, certificates: Certificates) -> list[int]:
        """The rows of `certificates` that are about these images."""
        row = {int(index): place for place, index in enumerate(certificates.index)}
        missing = [int(index) for index in self.index if int(index) not in row]
        if missing:
            raise InputError(f"the certificates say nothing about the images at {missing} of the data set")
        return [row[int(index)] for index in self.index]


def choose_examples(certificates: Certificates, count: int = 8) -> list[int]:
    """Rows worth showing: an abstention, a wrong one, then certified images from the smallest radius to the largest."""
    one = certificates
    wrong = np.flatnonzero(~one.correct & ~one.abstained)[:1]
    silent = np.flatnonzero(one.abstained)[:1]
    # Equal radii, as those of l0 often are, go by the probability of the label.
    order = np.lexsort((one.lower, one.radius))
    ranked = order[(one.correct & ~one.abstained)[order]]
    room = max(count - len(wrong) - len(silent), 0)
    spread = np.linspace(len(ranked) - 1, 0, min(room, len(ranked))).round().astype(int)[::-1]
    return [int(row) for row in np.concatenate([silent, wrong, ranked[spread]])][:count]


def example_cards(examples: Examples, runs: Sequence[Run], norms: Sequence[str]) -> list[dict[str, Any]]:
    """For each image its picture and, for the first runs, a noisy copy, votes, the certified label and radii."""
    shown = runs[:MOST_RUNS]
    firsts = [run.all[0] for run in shown]
    rows_of = [examples.places(one) for one in firsts]
    cards = []
    for which, image in enumerate(examples.images):
        places = [rows[which] for rows in rows_of]
        texts = [labels_text(one, row, examples.classes) for one, row in zip(firsts, places, strict=True)]
        true = texts[0][0]
        cards.append(
            {
                "picture": picture_uri(image),
                "alt": f"test image {int(examples.index[which])}, true label {true}",
                "true": true,
                "index": int(examples.index[which]),
                "noisy": _noisy(examples, shown, which),
                "bars": [_bars(run, row, examples.classes) for run, row in zip(shown, places, strict=True)],
                "labels": [found for _, found in texts],
                "rows": [{"name": NORM_NAMES[norm], "cells": _radii(shown, norm, places)} for norm in norms],
            }
        )
    return cards


def _noisy(examples: Examples, runs: Sequence[Run], which: int) -> list[dict[str, str]]:
    """A noisy copy under the noise of each run; nothing where there are none."""
    if not all(run.name in examples.noisy for run in runs):
        return []
    return [
        {
            "picture": picture_uri(examples.noisy[run.name][which]),
            "alt": f"the same under {run.noise.title} noise",
        }
        for run in runs
    ]


def _bars(run: Run, row: int, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The classes with the most votes, and their shares in percent, the true one marked."""
    if run.votes is None:
        return []
    counts, total = run.votes.counts[row], max(int(run.votes.counts[row].sum()), 1)
    order = np.argsort(-counts, kind="stable")[:MOST_BARS]
    return [
        {
            "name": class_name(int(label), classes),
            "share": f"{100 * counts[label] / total:.3g}",
            "true": run.votes.labels is not None and int(label) == int(run.votes.labels[row]),
        }
        for label in order
        if counts[label]
    ]


def _radii(runs: Sequence[Run], norm: str, places: Sequence[int]) -> list[str]:
    """One radius a run, rounded down; a dash where there is none."""
    cells = []
    for run, place in zip(runs, places, strict=True):
        ranks = run.ranks(norm)
        held = ranks and not ranks[0].abstained[place]
        cells.append(radius_text(ranks[0].radius[place], norm) if held else "–")
    return cells


def moved_rows(examples: Examples, runs: Sequence[Run], norms: Sequence[str]) -> list[dict[str, Any]]:
    """A few images, and in each norm a random move of them as long as the largest radius that any run certifies."""
    shades = colours(runs)
    rows = []
    for which in _worth_moving(examples, runs, norms):
        image = examples.images[which] / 255.0
        cells = []
        for norm in norms:
            run, one, row = max(
                (
                    (run, ranks[0], examples.places(ranks[0])[which])
                    for run in runs
                    if (ranks := run.ranks(norm))
                ),
                key=lambda found: found[1].radius[found[2]],
            )
            radius = float(one.radius[row])
            after = moved(image, norm, radius, one.unit, seed=int(examples.index[which]))
            text = radius_text(radius, norm)
            cells.append(
                {
                    "picture": picture_uri(np.round(255 * after).astype(np.uint8)),
                    "alt": f"a change of {NORM_NAMES[norm]} size {text}",
                    "radius": text,
                    "run": run.name,
                    "colour": shades[run.name],
                }
            )
        true = labels_text(runs[0].all[0], examples.places(runs[0].all[0])[which], examples.classes)[0]
        rows.append({"picture": picture_uri(examples.images[which]), "true": true, "cells": cells})
    return rows


def _worth_moving(examples: Examples, runs: Sequence[Run], norms: Sequence[str]) -> list[int]:
    """Of the images that are certified in most norms by some run: a few, up to the most robust."""
    reached = np.zeros((len(norms), len(examples.images)))
    for norm, best in zip(norms, reached, strict=True):
        for run in runs:
            for one in run.ranks(norm)[:1]:
                np.maximum(best, one.radius[examples.places(one)], out=best)
    counts = (reached > 0).sum(axis=0)
    fewest = np.sort(counts)[::-1][:MOST_MOVED].min(initial=len(norms))
    held = np.flatnonzero(counts >= max(1, fewest))
    picks = np.linspace(len(held) // 3, len(held) - 1, min(MOST_MOVED, len(held))).round().astype(int)
    return [int(held[pick]) for pick in dict.fromkeys(picks.tolist())]


def picture_uri(image: np.ndarray) -> str:
    """A small image as PNG inside an address, so that the page loads nothing."""
    from matplotlib.image import imsave

    content = io.BytesIO()
    with own_style():
        imsave(content, as_picture(image), format="png", cmap="gray", vmin=0, vmax=255)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
