"""What attacks found, beside the votes: lengths of perturbations as CSV rows, and perturbed images as one picture.

The picture is for the eye alone: its images are cut to [0, 1] and rounded to 8 bits, and large ones are made smaller.
"""

import csv
import hashlib
import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from radii.certificates.certify import Certificates
from radii.data.decoding import FORMATS, decode
from radii.errors import InputError
from radii.report.export import slug
from radii.report.plots.sheet import MOST_PICTURES, cut, small_picture, tiled
from radii.storage import atomic

ATTACKS = "attacks"
"""The folder beside a votes file in which `radii report --attacks` looks for the files of `radii attack --out`."""

BESIDE = "sha256 of the CSV file"
"""Name of the text in a picture that binds it to its CSV file."""

ATTACK_COLUMNS = ["index", "label", "certified", "found"]

TOLERANCE = 1e-7
"""Relative difference up to which a radius in a file is that of the certificates.

Other processors change radii by less than 1e-12 (`make test-portable`).
"""


def attacks_name(votes: Path, norm: str, k: int) -> str:
    """Return the name of the file about attacks on a votes file in one norm and k."""
    return f"{slug(votes.stem)}-{norm}-top{k}.csv"


def attacks_text(certificates: Certificates, rows: np.ndarray, found: np.ndarray) -> str:
    """Return the file about the attacked `rows` of some certificates, numbers with all their digits.

    `found`: `(rows,)`, the lengths of the shortest perturbations that removed the label from the top k, or infinity.
    """
    lines = [",".join(ATTACK_COLUMNS)]
    radii = certificates.radius[rows].tolist()
    for row, radius, length in zip(rows, radii, found.tolist(), strict=True):
        lines.append(f"{certificates.index[row]},{certificates.label[row]},{radius},{length}")
    return "\n".join(lines) + "\n"


def sheet_bytes(text: str, found: np.ndarray, perturbed: np.ndarray) -> bytes | None:
    """Return the perturbed images `(rows, *shape)` of which one was `found` as a PNG picture, in the order of the rows.

    It names the digest of `text`, the CSV file beside it. None if there are no such images, if they are no pictures, or
    without Pillow, since nothing depends on pictures. Of more than `MOST_PICTURES`, the first ones.
    """
    shown = perturbed[np.isfinite(found)][:MOST_PICTURES]
    if not len(shown) or not _are_pictures(shown.shape[1:]) or find_spec("PIL") is None:
        return None
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    content, about = io.BytesIO(), PngInfo()
    about.add_text(BESIDE, _digest(text.encode()))
    rounded = (np.clip(shown, 0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(tiled([small_picture(image) for image in rounded])).save(content, "png", pnginfo=about)
    return content.getvalue()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _texts_of(content: bytes) -> dict[Any, Any]:
    """Return the texts in a picture that `decode` accepted."""
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
        picture.load()
        return dict(picture.info)


def _are_pictures(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in (1, 3)


def pictures_beside(
    votes: Path,
    certificates: Mapping[tuple[str, int], Certificates],
    found: Mapping[tuple[str, int], np.ndarray],
) -> dict[tuple[str, int], dict[int, np.ndarray]]:
    """Return pictures of the perturbed images stored beside a votes file, by norm and k, then by position.

    Parameters
    ----------
    votes, certificates
        As for `found_beside`.
    found
        What `found_beside` returned.

    Returns
    -------
    dict
        Pictures `(height, width)` or `(height, width, 3)`, uint8. Attacks by older versions left none.

    Raises
    ------
    InputError
        If a picture is damaged, or not that of these attacks.
    """
    pictures = {}
    for (norm, k), lengths in found.items():
        path = (votes.parent / ATTACKS / attacks_name(votes, norm, k)).with_suffix(".png")
        if path.is_file():
            pictures[norm, k] = read_pictures(path, certificates[norm, k], lengths)
    return pictures


def read_pictures(path: Path, certificates: Certificates, found: np.ndarray) -> dict[int, np.ndarray]:
    """Return the pictures in one file by position; raise `InputError` if it is not that of these attacks."""
    index = certificates.index[np.isfinite(found)][:MOST_PICTURES].tolist()
    content, listed = (atomic.openable(file).read_bytes() for file in (path, path.with_suffix(".csv")))
    if index and _are_pictures(certificates.shape):
        like = small_picture(np.zeros(certificates.shape, np.uint8))
        size = tiled([like] * len(index)).shape[:2]
        sheet, _ = decode(content, str(path), 3 * size[0] * size[1], size, upright=False)
        pictures = cut(sheet[..., 0] if like.ndim == 2 else sheet, len(index), like.shape)
        if pictures is not None and _texts_of(content).get(BESIDE) == _digest(listed):
            return dict(zip(index, pictures, strict=True))
    raise InputError(
        f"{path} does not show what {path.with_suffix('.csv')} lists: attack again, or remove it"
    )


def found_beside(
    votes: Path, certificates: Mapping[tuple[str, int], Certificates]
) -> dict[tuple[str, int], np.ndarray]:
    """Return the results of attacks stored beside a votes file, for each norm and k that was attacked.

    Parameters
    ----------
    votes : path of the votes file
    certificates : from these votes, by norm and k

    Returns
    -------
    dict
        By norm and k: `(images,)`, the length of the shortest perturbation found that removes the label from the top
        k, infinite where none was found. Empty where nothing was attacked.

    Raises
    ------
    InputError
        If a file is about other certificates, for example under another alpha.
    """
    folder, results = votes.parent / ATTACKS, {}
    for (norm, k), certified in certificates.items():
        path = folder / attacks_name(votes, norm, k)
        # radii attack may have been run for some of the norms and k only
        if path.is_file():
            results[norm, k] = read_found(path, certified)
    return results


def read_found(path: Path, certificates: Certificates) -> np.ndarray:
    """Return the lengths in one file, `(images,)`; raise `InputError` if it is about other certificates."""
    try:
        header, *lines = csv.reader(atomic.openable(path).read_text(encoding="utf-8").splitlines())
        numbers = np.array(
            [(int(index), int(label), float(radius), float(length)) for index, label, radius, length in lines]
        ).reshape(-1, 4)
        # infinity stands for no perturbation; one of length 0 would be the certified image itself
        valid = header == ATTACK_COLUMNS and not np.isnan(numbers).any() and (numbers[:, 3] > 0).all()
    # of whole numbers beyond 64 bits, numpy makes an array that is no numbers
    except (ValueError, TypeError, csv.Error):
        valid = False
    if not valid:
        raise InputError(f"{path} is not what radii attack writes: index, label, certified, found")
    # a file is bound to its certificates by their labels and radii, since it records neither alpha nor plan
    row_of = {int(index): row for row, index in enumerate(certificates.index)}
    # -1 where the certificates lack the image, which is rejected below
    rows = np.array([row_of.get(int(index), -1) for index in numbers[:, 0]], dtype=np.int64)
    if not (
        (rows >= 0).all()
        and len(np.unique(rows)) == len(rows)
        and np.array_equal(certificates.label[rows], numbers[:, 1])
        and np.allclose(certificates.radius[rows], numbers[:, 2], rtol=TOLERANCE, atol=0)
    ):
        raise InputError(
            f"{path} is about other certificates than these votes give at alpha = {certificates.alpha:g}: attack again"
        )
    lengths = np.full(len(certificates), np.inf)
    lengths[rows] = numbers[:, 3]
    return lengths
