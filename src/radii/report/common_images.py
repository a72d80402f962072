"""Runs on the same images: others are compared on the images that they have in common, or not at all."""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import reduce

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.runs import Run


def on_common_images(runs: Sequence[Run], common: bool = False) -> list[Run]:
    """Return runs on the same images, in one order.

    Parameters
    ----------
    runs
        Runs on one data set.
    common
        Whether to keep the common images where runs are about different ones.

    Returns
    -------
    list of Run
        The runs themselves if they are about the same images, else what they say about the common ones.

    Raises
    ------
    InputError
        If runs are about different images and `common` is False, or no image is in all of them.
    """
    index = reduce(np.intersect1d, [run.index for run in runs])
    different = next((run for run in runs if not np.array_equal(run.index, runs[0].index)), None)
    if different is None:
        return list(runs)
    if not len(index):
        raise InputError("no image is in all runs: compare runs on the same images")
    if not common and any(len(run.index) > len(index) for run in runs):
        raise InputError(
            f"{runs[0].name} is about {len(runs[0].index):,} images and {different.name} about "
            f"{len(different.index):,}, of which {len(index):,} are in all runs: report on those with --common"
        )
    return [_run_on(run, index) for run in runs]


def _run_on(run: Run, index: np.ndarray) -> Run:
    """Return what a run says about the images at these positions of the data set."""
    row_of = {position: row for row, position in enumerate(run.index.tolist())}
    rows = np.array([row_of[position] for position in index.tolist()])
    kept = set(index.tolist())
    return replace(
        run,
        certificates={question: take(one, rows) for question, one in run.certificates.items()},
        votes=run.votes and run.votes[rows],
        attacks={question: lengths[rows] for question, lengths in run.attacks.items()},
        perturbed={
            question: {position: one for position, one in pictures.items() if position in kept}
            for question, pictures in run.perturbed.items()
        },
    )


def take(certificates: Certificates, rows: np.ndarray) -> Certificates:
    """Return the certificates of some images."""
    values = {field.name: getattr(certificates, field.name) for field in fields(certificates)}
    # every array has a row per image
    taken = {name: value[rows] for name, value in values.items() if isinstance(value, np.ndarray)}
    data = certificates.data and replace(certificates.data, part=f"{len(rows)} images in common")
    return replace(certificates, **{**taken, "data": data})
