"""Which classes are robust: certified accuracy and mean radius, class by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from radii.certificates import Certificates
from radii.plots.strip import class_name
from radii.report.content import percent
from radii.report.runs import Run
from radii.results import certified_radii
from radii.wording import radius_text

MOST_CLASSES = 100


def class_rows(runs: Sequence[Run], norm: str, classes: Sequence[str] = ()) -> dict[str, Any]:
    """For each class, by the mean radius of the first run: images, and for each run accuracy and mean radius.

    For the smallest k at hand. Of very many classes those with the smallest radii.
    """
    compared = [(run, run.ranks(norm)[0]) for run in runs if run.ranks(norm)]
    known = np.unique(np.concatenate([run.labels for run, _ in compared])).tolist()
    first, labels = certified_radii(compared[0][1]), compared[0][0].labels
    order = sorted(known, key=lambda label: first[labels == label].mean() if label in labels else np.inf)
    rows = [
        {
            "name": class_name(label, classes),
            "images": max(int((run.labels == label).sum()) for run, _ in compared),
            "cells": [cell for run, one in compared for cell in _cells(one, run.labels == label)],
        }
        for label in order[:MOST_CLASSES]
    ]
    return {"runs": [run.name for run, _ in compared], "rows": rows, "left": len(order) - len(rows)}


def _cells(certificates: Certificates, here: np.ndarray) -> list[str]:
    """Accuracy in percent and mean radius of the images marked in `here`."""
    if not here.any():
        return ["–", "–"]
    held = certificates.correct & ~certificates.abstained
    mean = float(certified_radii(certificates)[here].mean())
    return [percent(held[here].mean()), radius_text(mean, certificates.norm)]
