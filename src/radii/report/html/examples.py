"""Example images: chosen by their certificates, shown clean, as noise samples, and perturbed as far as is certified."""

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
from radii.report.html.content import styles
from radii.report.html.runs import Run
from radii.report.plots.strip import as_picture, class_name, labels_text
from radii.report.plots.style import own_style

MOST_RUNS = 4
"""Columns below a picture; more would not fit on a phone."""

MOST_BARS = 3
"""Classes whose votes are drawn."""

MOST_PERTURBED = 3
"""Images that are shown perturbed."""

HALVINGS = 60
"""Halvings of the interval that holds the step: at most 2^20 long, it is at most 2^-40 long after them."""

LONGEST = 2**20
"""A step so long takes practically every value to a face of the box: a longer one would change nothing more."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images to show on the page.

    Parameters
    ----------
    images : `(m, channels, height, width)`, uint8
    index : `(m,)`, their positions in the data set
    classes : names of the labels
    noisy : by the name of a run, a noise sample of each image, of the shape and type of `images`
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

    def rows_in(self, certificates: Certificates) -> list[int]:
        """Return the rows of `certificates` that are about these images."""
        row_of = {int(index): row for row, index in enumerate(certificates.index)}
        missing = [int(index) for index in self.index if int(index) not in row_of]
        if missing:
            raise InputError(f"the certificates say nothing about the images at {missing} of the data set")
        return [row_of[int(index)] for index in self.index]


def choose_examples(certificates: Certificates, count: int = 8) -> list[int]:
    """Return rows worth showing: an undecided image, a mistake, then certified ones in order of their radius.

    The mistake is the most confident one: another label has the most votes, and the true one is least probable.
    """
    held = certificates.correctly_certified
    mistaken = ~held & (certificates.status != ("open" if "open" in certificates.statuses else "abstained"))
    silent = np.flatnonzero(~held & ~mistaken)[:1]
    # of predicted labels, the bound is about the wrong one
    sure = -certificates.lower if "refuted" in certificates.statuses else certificates.lower
    wrong = np.flatnonzero(mistaken)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:1]
    # equal radii, which are frequent in l0, are ordered by the bound on the probability of the label
    order = np.lexsort((certificates.lower, certificates.radius))
    ranked = order[held[order]]
    # the failures come first in the count: a page that showed successes alone would mislead
    left = max(count - len(wrong) - len(silent), 0)
    spread = np.linspace(len(ranked) - 1, 0, min(left, len(ranked))).round().astype(int)[::-1]
    return [int(row) for row in np.concatenate([silent, wrong, ranked[spread]])][:count]


def example_cards(examples: Examples, runs: Sequence[Run], norms: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each image its picture and, for the first runs, a noise sample, votes, certified label and radii."""
    shown = runs[:MOST_RUNS]
    firsts = [run.all[0] for run in shown]
    rows_of = [examples.rows_in(certified) for certified in firsts]
    cards = []
    for number, image in enumerate(examples.images):
        rows = [of_run[number] for of_run in rows_of]
        texts = [
            labels_text(certified, row, examples.classes) for certified, row in zip(firsts, rows, strict=True)
        ]
        true, index = texts[0][0], int(examples.index[number])
        cards.append(
            {
                "picture": picture_uri(image),
                "alt": f"test image {index}, true label {true}",
                "true": true,
                "index": index,
                "noisy": _noise_samples(examples, shown, number),
                "bars": [_bars(run, row, examples.classes) for run, row in zip(shown, rows, strict=True)],
                "labels": [label for _, label in texts],
                "rows": [{"name": NORM_NAMES[norm], "cells": _radii(shown, norm, rows)} for norm in norms],
            }
        )
    return cards


def _noise_samples(examples: Examples, runs: Sequence[Run], number: int) -> list[dict[str, str]]:
    """Return a noise sample of an image from each run; nothing unless every run has them."""
    if not all(run.name in examples.noisy for run in runs):
        return []
    return [
        {
            "picture": picture_uri(examples.noisy[run.name][number]),
            "alt": f"the same under {run.noise.title} noise",
        }
        for run in runs
    ]


def _bars(run: Run, row: int, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the classes with the most votes, their shares in percent, and which one is true."""
    if run.votes is None:
        return []
    counts, total = run.votes.counts[row], max(int(run.votes.counts[row].sum()), 1)
    # of equally frequent classes the one with the smaller label, on every machine
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


def _radii(runs: Sequence[Run], norm: str, rows: Sequence[int]) -> list[str]:
    """Return a radius per run for its smallest k, rounded down; a dash where there is none."""
    cells = []
    for run, row in zip(runs, rows, strict=True):
        by_k = run.by_k(norm)
        held = by_k and by_k[0].certified[row]
        cells.append(radius_text(by_k[0].radius[row], norm) if held else "–")
    return cells


def perturbed_rows(examples: Examples, runs: Sequence[Run], norms: Sequence[str]) -> list[dict[str, Any]]:
    """Return a few images, each with a random perturbation per norm as large as the largest radius of any run."""
    looks = styles(runs)
    rows = []
    for number in _worth_perturbing(examples, runs, norms):
        image, index = examples.images[number] / 255.0, int(examples.index[number])
        cells = []
        for norm in norms:
            certified = [(run, run.by_k(norm)[0]) for run in runs if run.by_k(norm)]
            radii = [float(of_run.radius[examples.rows_in(of_run)[number]]) for _, of_run in certified]
            # the first of equal radii
            (run, best), radius = max(zip(certified, radii, strict=True), key=lambda pair: pair[1])
            text = radius_text(radius, norm)
            # seeded by the image, so that the same report is written again
            changed = perturbed(image, norm, radius, best.unit, seed=index)
            cells.append(
                {
                    # rounded, as astype alone would darken by half a grey level
                    "picture": picture_uri(np.round(255 * changed).astype(np.uint8)),
                    "alt": f"a perturbation of {NORM_NAMES[norm]} norm {text}",
                    "radius": text,
                    "run": run.name,
                    "style": looks[run.name],
                }
            )
        first = runs[0].all[0]
        true, _ = labels_text(first, examples.rows_in(first)[number], examples.classes)
        rows.append({"picture": picture_uri(examples.images[number]), "true": true, "cells": cells})
    return rows


def _worth_perturbing(examples: Examples, runs: Sequence[Run], norms: Sequence[str]) -> list[int]:
    """Return a few of the images that are certified in the most norms, up to the most robust one."""
    largest = np.zeros((len(norms), len(examples.images)))
    for norm, of_norm in zip(norms, largest, strict=True):
        for run in runs:
            for certified in run.by_k(norm)[:1]:
                np.maximum(of_norm, certified.radius[examples.rows_in(certified)], out=of_norm)
    counts = (largest > 0).sum(axis=0)
    fewest = np.sort(counts)[::-1][:MOST_PERTURBED].min(initial=len(norms))
    held = np.flatnonzero(counts >= max(1, fewest))
    # examples come in order of their radius: the first third hardly changes visibly
    picks = np.linspace(len(held) // 3, len(held) - 1, min(MOST_PERTURBED, len(held))).round().astype(int)
    return [int(held[pick]) for pick in dict.fromkeys(picks.tolist())]


def picture_uri(image: np.ndarray) -> str:
    """Return a small image as PNG in a data URI, so that the page loads nothing."""
    from matplotlib.image import imsave

    content = io.BytesIO()
    with own_style():
        # imsave takes the origin from the settings: those of a user could turn pictures upside down
        imsave(content, as_picture(image), format="png", cmap="gray", vmin=0, vmax=255)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def perturbed(image: np.ndarray, norm: str, radius: float, unit: str, seed: int = 0) -> np.ndarray:
    """Return `image`, `(channels, height, width)` in [0, 1], plus a random perturbation of norm `radius`.

    linf: every value changes by the radius. l2: a random direction. l1 and l0: random pixels change as far as the box
    [0, 1] allows. The result stays in the box: where it is too small for the radius, the perturbation is as long as
    it can be in its direction.
    """
    # a random perturbation is not an attack: it shows the size of a radius, not the worst case within it
    random = np.random.default_rng(seed)
    if norm in ("l0", "l1"):
        return _change_pixels(image, norm, radius, unit, random)
    direction = (
        random.standard_normal(image.shape) if norm == "l2" else random.choice([-1.0, 1.0], image.shape)
    )
    # away from the nearer face of the box wherever it would stop the perturbation
    target = image + np.sign(direction) * radius
    direction = np.where((target > 1) | (target < 0), -direction, direction)
    if norm == "linf":
        return np.clip(image + direction * radius, 0, 1)
    return _scaled(image, direction, radius)


def _scaled(image: np.ndarray, direction: np.ndarray, radius: float) -> np.ndarray:
    """Return the image at l2 distance `radius` along `direction`, clipped to the box."""

    def length(step: float) -> float:
        return float(np.linalg.norm(np.clip(image + step * direction, 0, 1) - image))

    upper = 1.0
    # the length never falls with the step, so that doubling brackets the radius and halving finds it
    while length(upper) < radius and upper < LONGEST:
        upper *= 2
    step, _ = bisect(lambda step: np.array(length(float(step)) <= radius), 0.0, upper, HALVINGS)
    return np.clip(image + step * direction, 0, 1)


def _change_pixels(
    image: np.ndarray, norm: str, radius: float, unit: str, random: np.random.Generator
) -> np.ndarray:
    """Change pixels, or single features in l0, in random order to the farther face until `radius` is used up."""
    channels, pixels = len(image), image[0].size
    flat = image.reshape(channels, pixels).astype(float)
    farthest = np.where(flat < 0.5, 1.0, 0.0)
    spots = [(slice(None), pixel) for pixel in random.permutation(pixels)]
    if norm == "l0" and unit == "feature":
        spots = [
            (slice(feature % channels, feature % channels + 1), feature // channels)
            for feature in random.permutation(flat.size)
        ]
    # as far as possible each, until the radius is used up; the last one by as much as is left
    left = radius
    for spot in spots:
        # at least half of the range for each value, so that the cost below is never 0
        change = farthest[spot] - flat[spot]
        cost = 1.0 if norm == "l0" else float(np.abs(change).sum())
        share = min(1.0, left / cost)
        if norm == "l0" and share < 1:
            # a unit counts as a whole however little it changes
            break
        flat[spot] += share * change
        left -= share * cost
        if left <= 0:
            break
    return np.clip(flat.reshape(image.shape), 0, 1)
