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


ORIENTATION = 0x0112
"""The number of the EXIF tag that says how a camera was held."""
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What Pillow calls the way from the stored picture to the upright one, by its orientation; 1 is upright."""


def stack(
    pictures: Iterable[tuple[str, bytes]], count: int, most: int, upright: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """`count` pictures, each with its name, as uint8 `(count, height, width, channels)`, and which of them were turned.

    Grey if all are, else all in colour. `most`: the bytes that all of them together may take; a picture that takes more
    than its share by its first bytes is refused before it is decoded. `upright`: as `decode`.
    """
    pixels, first, grey = np.empty((0, 0, 0, 3), np.uint8), "", True
    turned = np.zeros(count, dtype=bool)
    for row, (where, content) in enumerate(pictures):
        picture, turned[row] = decode(content, where, most // count, upright=upright)
        if not row:
            pixels, first = np.empty((count, *picture.shape[:2], 3), np.uint8), where
        if picture.shape[:2] != pixels.shape[1:3]:
            raise InputError(
                f"all images must have one size; {first} has {size_text(pixels.shape[1:])}, {where} "
                f"{size_text(picture.shape)}: resize them first"
            )
        pixels[row] = picture
        grey = grey and picture.shape[2] == 1
    return (pixels[..., :1] if grey else pixels), turned


def size_text(shape: Sequence[int]) -> str:
    """Height and width in words, the first two numbers of `shape`."""
    return f"{shape[0]} x {shape[1]}"


def decode(
    content: bytes, where: str, most: int, size: tuple[int, int] | None = None, upright: bool = True
) -> tuple[np.ndarray, bool]:
    """One picture as uint8 `(height, width, channels)`, 1 or 3 of them, and whether it was turned.

    One that takes more than `most` bytes, or has another `size`, if that is given, is refused by its first bytes.
    `upright`: turn it as its EXIF orientation says, as viewers do; False keeps it as it is stored.
    """
    pillow = _pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(io.BytesIO(content), formats=FORMATS) as picture:
                stored = picture.height, picture.width
                # which side is up is known when all is decoded
                if size not in (None, stored, stored[::-1]):
                    raise _another_size(where, size, stored)
                if 3 * picture.width * picture.height > most:
                    raise _bomb(where, f"{size_text(stored)} pixels")
                picture.load()
                turn = TURNS.get(_orientation(pillow, picture)) if upright else None
                shown = picture.transpose(pillow.Transpose[turn]) if turn else picture
                if size not in (None, (shown.height, shown.width)):
                    raise _another_size(where, size, (shown.height, shown.width))
                return plain(shown, where), turn is not None
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


def _orientation(pillow: Any, picture: Any) -> int:
    """The orientation by EXIF, 1 to 8; 1 where it says nothing, or nothing that can be read."""
    exif = pillow.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif.load(picture.info.get("exif", b""))
            return int(exif.get(ORIENTATION, 1))
    except Exception:  # whatever a parser stumbles over: the picture itself is whole
        return 1


def _another_size(where: str, expected: Sequence[int] | None, found: Sequence[int]) -> InputError:
    assert expected is not None
    return InputError(
        f"{where} must have {size_text(expected)} pixels, height x width; got {size_text(found)}: resize it"
    )


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


CHANNELS = (1, 3)


def as_pixels(images: np.ndarray, where: str) -> np.ndarray:
    """Images `(n, height, width)` with or without 1 or 3 channels, first or last, as `(n, channels, height, width)`.

    Bytes stay what they are, and floats in [0, 1] that are all whole multiples of 1/255 become bytes; other floats in
    [0, 1] become float32. Any other range is refused: noise is measured in it.
    """
    if images.ndim not in (3, 4) or not images.size:
        raise InputError(
            f"the images in {where} must have the shape (n, height, width), or channels too; got {images.shape}"
        )
    pixels = _with_channels(_in_range(np.asarray(images), where), where)
    return np.require(pixels, requirements=("C", "W"))


def _with_channels(images: np.ndarray, where: str) -> np.ndarray:
    if images.ndim == 3:
        return images[:, None]
    first, last = images.shape[1] in CHANNELS, images.shape[3] in CHANNELS
    if first == last:
        raise InputError(
            f"the images in {where} must have 1 or 3 channels, either before height and width or after; "
            f"got the shape {images.shape}"
        )
    return images if first else images.transpose(0, 3, 1, 2)


def _in_range(images: np.ndarray, where: str) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise InputError(
            f"the images in {where} must be bytes (uint8), or floats in [0, 1]; got {images.dtype}: convert them"
        )
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # said this way round, NaN fails too
        raise InputError(
            f"the images in {where} must lie in [0, 1]; found {low:g} to {high:g}: {_advice(low, high)}"
        )
    return _as_bytes(images)


def _advice(low: float, high: float) -> str:
    if -1 <= low < 0 and high <= 1:
        return "if -1 is black, give (images + 1) / 2"
    if low >= 0 and 1 < high <= 255:
        return "if 255 is white, divide them by 255"
    return (
        "undo their normalisation, which belongs into the model"
        if np.isfinite(low + high)
        else "remove what is no number"
    )


def _as_bytes(images: np.ndarray) -> np.ndarray:
    """Floats as the bytes from which they were made, if all of them were; else as float32."""
    exact = images.astype(images.dtype if images.dtype.itemsize >= 4 else np.float32, copy=False)
    levels = np.rint(exact * 255).astype(np.uint8)
    if np.array_equal(levels / exact.dtype.type(255), exact):
        return levels
    return exact.astype(np.float32, copy=False)
