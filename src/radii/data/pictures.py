"""Image files, decoded: bytes of PNG, JPEG and the like in, pixels out, within bounds."""

import io
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from radii.errors import InputError, missing_extra

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm")
PLAIN = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB"}
"""Modes of Pillow that are read, and what they become: 8-bit grey or colour, without transparency."""


def stack(pictures: Iterable[tuple[str, bytes]], count: int, most: int) -> np.ndarray:
    """`count` pictures, each with its name, as uint8 `(count, height, width, channels)`.

    Grey if all are, else all in colour. `most`: the bytes that all of them together may take; a picture that takes more
    than its share by its first bytes is refused before it is decoded.
    """
    pixels, first, grey = np.empty((0, 0, 0, 3), np.uint8), "", True
    for row, (where, content) in enumerate(pictures):
        picture = decode(content, where, most // count)
        if not row:
            pixels, first = np.empty((count, *picture.shape[:2], 3), np.uint8), where
        if picture.shape[:2] != pixels.shape[1:3]:
            raise InputError(
                f"all images must have one size; {first} has {size_text(pixels.shape[1:])}, {where} "
                f"{size_text(picture.shape)}: resize them first"
            )
        pixels[row] = picture
        grey = grey and picture.shape[2] == 1
    return pixels[..., :1] if grey else pixels


def size_text(shape: Sequence[int]) -> str:
    """Height and width in words, the first two numbers of `shape`."""
    return f"{shape[0]} x {shape[1]}"


def decode(content: bytes, where: str, most: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """One picture as uint8 `(height, width, channels)`, 1 or 3 of them.

    One that takes more than `most` bytes, or has another `size`, if that is given, is refused by its first bytes.
    """
    pillow = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(io.BytesIO(content), formats=FORMATS) as picture:
                if size not in (None, (picture.height, picture.width)):
                    raise InputError(
                        f"{where} must have {size_text(size)} pixels, height x width; got "
                        f"{size_text((picture.height, picture.width))}: resize it"
                    )
                if 3 * picture.width * picture.height > most:
                    raise _bomb(where, f"{size_text((picture.height, picture.width))} pixels")
                picture.load()
                return plain(picture, where)
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError):
        raise _bomb(where, "an image larger than Pillow opens") from None
    except InputError:
        raise
    except Exception as error:  # whatever a decoder stumbles over, the file is broken
        # where a buffer lies in memory is nobody's business
        why = "" if isinstance(error, pillow.UnidentifiedImageError) else f" ({error})"
        raise InputError(
            f"{where} is no whole image of the kinds {', '.join(FORMATS)}{why}: replace or remove it"
        ) from error


def plain(picture: Any, where: str) -> np.ndarray:
    """An image of Pillow as uint8 `(height, width, channels)`: grey or colour, nothing transparent."""
    if picture.mode not in PLAIN:
        raise InputError(
            f"{where} must be an 8-bit image, grey or in colour; got mode {picture.mode}: convert it"
        )
    if picture.has_transparency_data and picture.convert("RGBA").getextrema()[3][0] < 255:
        raise InputError(f"{where} has transparent pixels: put it on a background first")
    array = np.asarray(picture.convert(PLAIN[picture.mode]))
    return array[..., None] if array.ndim == 2 else array


def _bomb(where: str, size: str) -> InputError:
    return InputError(
        f"{where} would unpack to {size}, far more than its bytes can hold of a real image: remove it"
    )


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("reading images", "data", error) from error
    return Image
