"""The pictures of attacked images beside votes, as `radii attack` writes them and `radii report` shows them.

They are for the eye alone: images are cut to [0, 1] and rounded to 8 bits, and large ones are made smaller.
"""

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
from radii.report.attacked import ATTACKS, attacks_name
from radii.report.plots.sheet import MOST_PICTURES, cut, grid, small_picture, tiled
from radii.storage import atomic

BESIDE = "sha256 of the CSV file"
"""Name of the text in a picture that binds it to its CSV file."""


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
        rows, columns = grid(len(index))
        size = rows * like.shape[0], columns * like.shape[1]
        sheet, _ = decode(content, str(path), 3 * size[0] * size[1], size, upright=False)
        pictures = cut(sheet[..., 0] if like.ndim == 2 else sheet, len(index), like.shape)
        if pictures is not None and _texts_of(content).get(BESIDE) == _digest(listed):
            return dict(zip(index, pictures, strict=True))
    raise InputError(
        f"{path} does not show what {path.with_suffix('.csv')} lists: attack again, or remove it"
    )
