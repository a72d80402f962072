"""Data for the program of the page: for every image its status, radii, votes and attacks, by run, norm and k."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.report.formatting import NORM_NAMES, unit_text
from radii.report.html.examples import MOST_BARS, Examples
from radii.report.html.packing import EXACT_UP_TO, Packs
from radii.report.html.run_styles import run_styles
from radii.report.html.thumbnails import sprite_sheet
from radii.report.paired import share_interval
from radii.report.plots.sheet import small_picture
from radii.report.runs import Run, ks_of

STATUSES = ("certified", "open", "refuted", "abstained", "certified wrongly")
"""The status of an image in the data: its place here, plus `CORRECT` where the prediction is right."""

MOST_PERTURBED = 2_000_000
"""Characters of perturbed images on one page, which takes 5 MB at most; a sheet that would exceed it is left out."""

CORRECT = 8


def explorer_data(
    runs: Sequence[Run],
    norms: Sequence[str],
    classes: Sequence[str] = (),
    thumbnails: Examples | None = None,
) -> dict[str, Any]:
    """Return the certificates of all images, ready for JSON; numbers stand for arrays in `packs` (`Packs`).

    Radii are in image units, NaN where the true label is not certified. `images`: those of any run, by position
    in the data set; `rows` of a run: its images among these. `found`: lengths of the shortest perturbations by
    which attacks removed labels, infinite where none did; `perturbed`: pictures of these images. `votes`: the
    classes with the most votes, their votes, those of the true label, and of all.
    """
    labels = _labels(runs)
    index = sorted(labels)
    row_of = {position: row for row, position in enumerate(index)}
    packs = Packs()
    exact = sum(len(certified) for run in runs for certified in run.all) <= EXACT_UP_TO
    series = [
        _series(number, run, certified, packs, exact)
        for number, run in enumerate(runs)
        for certified in run.all
    ]
    _add_pictures(series, runs)
    return {
        "images": {
            "index": packs.add(np.array(index)),
            "label": packs.add(np.array([labels[position] for position in index])),
        },
        "classes": list(classes),
        "norms": [_norm(runs, norm) for norm in norms],
        "ks": ks_of(runs),
        "statuses": STATUSES,
        "runs": [
            {
                "name": run.name,
                "dash": style.dash,
                "marker": style.marker,
                "rows": packs.add(np.array([row_of[position] for position in run.index.tolist()])),
                "votes": _votes(run, packs),
            }
            for run, style in zip(runs, run_styles(runs), strict=True)
        ],
        "series": series,
        "lowest": {images: packs.add(_lowest_shares(images)) for images in _sizes(runs)},
        "sheet": thumbnails and _sheet_of(thumbnails),
        "packs": packs.texts,
    }


def _sizes(runs: Sequence[Run]) -> list[int]:
    """Return all numbers of images of which the page shows shares: those of a run, and of each class in it."""
    classes = (np.unique(run.labels, return_counts=True)[1].tolist() for run in runs)
    return sorted({len(run.index) for run in runs}.union(*classes))


def _lowest_shares(images: int) -> np.ndarray:
    """Return the lower ends of the 95 % intervals of all shares of `images`, in millionths, rounded down."""
    # the upper end of a share is 1 minus the lower end of the rest
    return np.floor(1e6 * share_interval(np.arange(images + 1), images)[:, 0]).astype(np.int64)


def _sheet_of(thumbnails: Examples) -> dict[str, Any] | None:
    return sprite_sheet([small_picture(image) for image in thumbnails.images], thumbnails.index.tolist())


def _add_pictures(series: Sequence[dict[str, Any]], runs: Sequence[Run]) -> None:
    """Add sheets of perturbed images to the series, up to `MOST_PERTURBED` characters in all."""
    left = MOST_PERTURBED
    for one in series:
        pictures = runs[one["run"]].perturbed.get((one["norm"], one["k"]), {})
        # lossless: artefacts of compression would look like the perturbation
        sheet = sprite_sheet(list(pictures.values()), list(pictures), lossless=True)
        if sheet and len(sheet["uri"]) <= left:
            one["perturbed"] = sheet
            left -= len(sheet["uri"])


def _labels(runs: Sequence[Run]) -> dict[int, int]:
    """Return the true label of each image, by its position in the data set."""
    # `check_runs` found one data set, so runs agree on the labels that they share
    labels: dict[int, int] = {}
    for run in runs:
        labels |= dict(zip(run.index.tolist(), run.labels.tolist(), strict=True))
    return labels


def _norm(runs: Sequence[Run], norm: str) -> dict[str, Any]:
    unit = next(certified.unit for run in runs for certified in run.by_k(norm))
    return {"key": norm, "name": NORM_NAMES[norm], "unit": unit_text(norm, unit)}


def _votes(run: Run, packs: Packs) -> dict[str, Any] | None:
    """Return the classes with the most votes for each image, or None where only certificates are known."""
    if run.votes is None:
        return None
    counts, rows = run.votes.counts, np.arange(len(run.votes))[:, None]
    # of equally frequent classes the one with the smaller label, on every machine
    first = np.argsort(-counts, axis=1, kind="stable")[:, :MOST_BARS]
    return {
        "labels": packs.add(first),
        "counts": packs.add(counts[rows, first]),
        "own": packs.add(counts[rows[:, 0], run.labels]),
        "total": packs.add(counts.sum(axis=1)),
        "each": first.shape[1],
    }


def _series(number: int, run: Run, certificates: Certificates, packs: Packs, exact: bool) -> dict[str, Any]:
    """Return the radii of one set of certificates, and lengths of perturbations where it was attacked."""
    norm, k = certificates.norm, certificates.k
    held = certificates.correctly_certified
    radii = np.where(held, certificates.radius, np.nan)
    series: dict[str, Any] = {
        "run": number,
        "norm": norm,
        "k": k,
        "radii": packs.add_lengths(radii, exact=exact),
        "status": packs.add(_status(certificates)),
    }
    if (norm, k) in run.attacks:
        # rounded up: a perturbation that is found bounds the robust radius from above
        series["found"] = packs.add_lengths(run.attacks[norm, k], exact=exact, up=True)
    return series


def _status(certificates: Certificates) -> np.ndarray:
    """Return the status of each image as a number."""
    places = {status: STATUSES.index(status) for status in certificates.statuses}
    status = np.array([places[status] for status in certificates.status.tolist()], dtype=np.int64)
    # a predicted label that is not the true one
    wrongly = certificates.certified & ~certificates.correctly_certified
    return np.where(wrongly, STATUSES.index("certified wrongly"), status) + CORRECT * certificates.correct


def script_json(values: dict[str, Any]) -> str:
    """Return JSON that can stand inside a page: without "<" nothing in it ends the element."""
    # NaN is no JSON, and one would stop the whole program; letters stay as they are, since the page is UTF-8
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def attack_sentences(run: Run, norm: str) -> list[str]:
    """Return the results of attacks on a run in one norm, a sentence for each k that was attacked."""
    return [
        _attack_sentence(certified, run.attacks[norm, certified.k])
        for certified in run.by_k(norm)
        if (norm, certified.k) in run.attacks
    ]


def _attack_sentence(certificates: Certificates, lengths: np.ndarray) -> str:
    # images of radius 0 are not attacked, and have no ratio
    held = certificates.correctly_certified & (certificates.radius > 0)
    removed = held & np.isfinite(lengths)
    inside = removed & (lengths <= certificates.radius)
    changed = "changed {} of {} certified predictions"
    if certificates.k > 1:
        changed = "removed {} of {} certified labels from the top {}"
    if not removed.any():
        return "attacks " + changed.format("none", held.sum(), certificates.k)
    # the median, since a few long perturbations would move the mean
    ratio = np.median(lengths[removed] / certificates.radius[removed])
    where = f"{inside.sum()} within their radius" if inside.any() else "none within its radius"
    return (
        f"attacks {changed.format(removed.sum(), held.sum(), certificates.k)}, {where}; "
        f"the median length is {ratio:.2f} certified radii"
    )
