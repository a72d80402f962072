"""Images of one's own, in whichever form they are there."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from radii.data import arrays, folders, idx, tables
from radii.data.base import ALL, SPLITS, DataSet, make_data, split_evenly
from radii.data.form import Form, Found
from radii.data.pixels import as_pixels
from radii.errors import InputError, check_name

FORMS = (folders.FORM, arrays.NPZ, arrays.NPY, tables.FORM, idx.FORM)
DIGITS = 16
"""Of a digest in words: as many as tell apart what was not made to deceive."""


def form_of(path: Path) -> Form:
    """The one form that fits what is there."""
    if not path.exists():
        raise InputError(f"there is no file or folder {path} of images")
    fitting = [form for form in FORMS if form.fits(path)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(f"{path} is {_either(fitting, 'and')} at once: keep one of them there")
    raise InputError(f"{path} holds no images in a form that is read here: expected {_either(FORMS, 'or')}")


def _either(forms: Iterable[Form], word: str) -> str:
    *some, last = [form.words for form in forms]
    return f"{', '.join(some)} {word} {last}"


def splits_in(path: Path) -> tuple[str, ...]:
    """The splits to choose from; "all" where the files do not tell any apart and every fifth image is a test image."""
    return form_of(path).splits(path) or (*SPLITS, ALL)


def load(name: str, path: Path, split: str, upright: bool = True) -> DataSet:
    """The images of a split at `path`, which are called `name`; `upright`: pictures turned as EXIF says."""
    form = form_of(path)
    kept = form.splits(path)
    check_name(f"split of {path}", split, kept or (*SPLITS, ALL))
    read = form.read if upright or form.read_stored is None else form.read_stored
    found = read(path, split if kept else ALL)
    count = len(found.images) if found.images.ndim else 0
    if count != len(found.labels):
        raise InputError(f"{path} has {count} images and {len(found.labels)} labels: each image needs one")
    return make_own(name, split, found if kept or split == ALL else _part(found, split, path), str(path))


def _part(whole: Found, split: str, path: Path) -> Found:
    rows = split_evenly(whole.labels, split)
    if not len(rows):
        raise InputError(
            f"{path} has no five images of any class, so no test images: take all of them, --split all"
        )
    turned = None if whole.turned is None else whole.turned[rows]
    return replace(whole, images=whole.images[rows], labels=whole.labels[rows], turned=turned)


def make_own(name: str, split: str, found: Found, where: str) -> DataSet:
    """What was found, checked, as a data set that knows its own digest."""
    pixels = as_pixels(found.images, where)
    known = digest(pixels, found.labels)
    data = make_data(name, split, pixels, found.labels, found.classes, known, found.named)
    return replace(data, turned=found.turned is not None and bool(found.turned.any()))


def digest(pixels: np.ndarray, labels: np.ndarray) -> str:
    """What identifies images in words: the beginning of a SHA-256 over kind, shape and bytes of pixels, and labels."""
    total = hashlib.sha256(f"{pixels.dtype}\0{pixels.shape}\0".encode())
    total.update(pixels.data)
    total.update(labels.astype("<i8").tobytes())
    return total.hexdigest()[:DIGITS]
