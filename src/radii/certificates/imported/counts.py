"""Votes from tables of class counts, and from shares of all outcomes of splitting noise."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from radii.certificates.imported.arrays import only, whole_numbers
from radii.certificates.imported.stated import SEPARATE, STATED, UNIDENTIFIED, Stated
from radii.errors import InputError
from radii.noises import IndependentSplitting, Noise, Splitting
from radii.noises.base import GREY_LEVELS
from radii.votes import Votes
from radii.votes.plans.fixed import Exhaustive, Fixed

COUNTED = "Seed, software and devices are unknown: no noise sample can be drawn again."
NO_SELECTION = "There are no selection samples: only true labels can be certified."
SHIFTS = (
    "Published codes of splitting noise take floor(2 lambda 255) shifts, {shifts}, where radii rounds: sigma is set to "
    "{sigma:.6g}."
)


def votes_of_counts(
    arrays: Mapping[str, np.ndarray], path: Path, source: str, stated: Stated, notes: tuple[str, ...] = ()
) -> Votes:
    """Return votes of a table of class counts."""
    only(arrays, ("counts", "labels", "selection", "index", "classes"), path)
    if "counts" not in arrays:
        raise InputError(f"{path} must hold an array counts, (images, classes)")
    counts = whole_numbers(arrays["counts"], f"counts in {path}")
    if counts.ndim != 2 or not counts.size:
        raise InputError(f"counts in {path} must be a table (images, classes); got shape {counts.shape}")
    n = int(counts[0].sum())
    if stated.n not in (None, n):
        raise InputError(f"counts in {path} add up to {n} for the first image, but n = {stated.n} was stated")
    whole = {
        name: whole_numbers(arrays[name], f"{name} in {path}")
        for name in ("labels", "selection", "index")
        if name in arrays
    }
    selection = whole.get("selection", np.zeros_like(counts))
    if selection.ndim != 2 or len(selection) != len(counts):
        raise InputError(f"selection in {path} must be a table like counts; got shape {selection.shape}")
    noise, shifts = _noise_of_counts(stated.noise, n, path)
    listed = noise.outcomes is not None
    chosen = int(selection[0].sum())
    unchecked = [f"Imported from {source}.", STATED, UNIDENTIFIED, COUNTED]
    if not listed:
        unchecked.append(SEPARATE if chosen else NO_SELECTION)
    return Votes(
        counts=counts,
        selection=selection,
        labels=stated.true_labels(whole.get("labels")),
        index=whole.get("index", stated.index(len(counts))),
        noise=noise,
        shape=stated.shape,
        plan=Exhaustive(n) if listed else Fixed(n, chosen),
        draws=((0, n),),
        seed=0,
        # two imports never add up: their digests differ, or they hold the same samples
        model=f"unknown: imported from {source}",
        data=stated.data,
        classes=tuple(map(str, arrays["classes"].tolist())) if "classes" in arrays else (),
        software={},
        unchecked=(*unchecked, *(notes or shifts)),
    )


def counts_of_shares(shares: np.ndarray, noise: Noise, path: Path) -> np.ndarray:
    """Return the counts behind shares of all outcomes of a noise."""
    if noise.outcomes is None:
        raise InputError(
            f"{path} lacks prob_lb.npy, which {noise.name} noise needs: only shares of all outcomes of a noise are "
            "probabilities"
        )
    exact = shares / shares.sum(axis=1, keepdims=True) * noise.outcomes
    counts = np.round(exact)
    # shares are stored with 24 binary digits
    if not np.all(np.abs(exact - counts) < 0.01) or np.any(counts.sum(axis=1) != noise.outcomes):
        raise InputError(
            f"the shares in preds.npy of {path} are not those of {noise.outcomes} outcomes: "
            "is sigma the one that was used?"
        )
    return counts


def published_splitting(noise: Noise) -> tuple[Noise, tuple[str, ...]]:
    """Return splitting noise with as many shifts as published codes take at its sigma, and a sentence if they differ.

    One shift more would make cells wider, and radii larger, than those of the model. Other noise is returned as it is.
    """
    if not isinstance(noise, Splitting | IndependentSplitting):
        return noise, ()
    shifts = math.floor(2 * math.sqrt(3) * noise.sigma * GREY_LEVELS)
    if shifts == noise.shifts:
        return noise, ()
    sigma = shifts / (2 * math.sqrt(3) * GREY_LEVELS)
    return replace(noise, sigma=sigma), (SHIFTS.format(shifts=shifts, sigma=sigma),)


def _noise_of_counts(noise: Noise, n: int, path: Path) -> tuple[Noise, tuple[str, ...]]:
    """Return the noise of which counts add up to `n`, and a sentence if it is that of published codes."""
    # counts of all outcomes say how many there are: radii rounds their number, published codes cut it
    if noise.outcomes == n:
        return noise, ()
    published, note = published_splitting(noise)
    if published.outcomes not in (None, n):
        raise InputError(
            f"{noise.name} noise has {noise.outcomes} outcomes at this level, or {published.outcomes} in published "
            f"codes; counts in {path} add up to {n}"
        )
    return published, note
