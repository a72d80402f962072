"""Decoding of image files within memory limits, and the layout and range of pixels."""

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from radii.errors import InputError, missing_extra

# Without this list, Pillow tries every decoder that it has; that of EPS starts Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm")
MODES = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB"}
"""Accepted modes of Pillow, and the 8-bit grey or colour mode that each is converted to.

Mode I;16 is missing, because Pillow clips its values to 255 instead of scaling them.
"""
CHANNELS = (1, 3)

# The usual script of progressive images has ten. Each scan goes over all pixels, and an empty one takes 12 bytes: 1 MB
# of them took 8 seconds at 224 x 224 pixels.
MOST_SCANS = 100
"""Scans of a JPEG image."""
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
"""The beginning of a segment of a JPEG image, which states its length; the codes that are left out state none."""
SCAN, END = b"\xff\xda", b"\xff\xd9"

ORIENTATION = 0x0112
"""The EXIF tag that records how the camera was held."""
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""Pillow's name of the transformation that turns a stored picture upright, for each orientation; 1 is upright.

Names, not values of its enumeration, since Pillow may not be installed. It rotates counterclockwise.
"""


def stack(
    pictures: Iterable[tuple[str, bytes]], count: int, most: int, upright: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` pictures as uint8 `(count, height, width, channels)`, and which of them were turned, `(count,)`.

    Each comes with its name for messages. All are grey, or all are converted to colour. `most`: bytes that all of them
    may unpack to; a picture that exceeds its share is rejected before it is decoded. `upright`: as in `decode`.
    """
    pixels, first, grey = np.empty((0, 0, 0, 3), np.uint8), "", True
    turned = np.zeros(count, dtype=bool)
    for row, (where, content) in enumerate(pictures):
        picture, turned[row] = decode(content, where, most // count, upright=upright)
        # the first picture tells the size; three channels, because the last picture may be the only one in colour
        if not row:
            pixels, first = np.empty((count, *picture.shape[:2], 3), np.uint8), where
        if picture.shape[:2] != pixels.shape[1:3]:
            raise InputError(
                f"all images must have one size; {first} has {size_text(pixels.shape[1:])}, {where} "
                f"{size_text(picture.shape)}: resize them first"
            )
        # a grey picture is repeated in all channels, as Pillow's conversion to RGB does
        pixels[row] = picture
        grey = grey and picture.shape[2] == 1
    return (pixels[..., :1] if grey else pixels), turned


def decode(
    content: bytes, where: str, most: int, size: tuple[int, int] | None = None, upright: bool = True
) -> tuple[np.ndarray, bool]:
    """Return a picture as uint8 `(height, width, channels)`, with 1 or 3 channels, and whether it was turned.

    Raises `InputError` if it unpacks to more than `most` bytes or is not of the `size`, height and width, before it is
    decoded where its header shows that. `upright`: turn it by its EXIF orientation, as viewers do.
    """
    pillow = _pillow()
    try:
        with warnings.catch_warnings():
            # its warnings quote damaged metadata, on which nothing depends: images could fill a log with them
            warnings.simplefilter("ignore")
            # Pillow warns above 89 million pixels, and raises its error only above twice as many
            warnings.simplefilter("error", pillow.DecompressionBombWarning)
            with pillow.open(io.BytesIO(content), formats=FORMATS) as picture:
                stored = picture.height, picture.width
                # the orientation is read after decoding, so either order of height and width may still be right
                if size not in (None, stored, stored[::-1]):
                    raise _another_size(where, size, stored)
                # three bytes per pixel, since `stack` stores grey pictures in colour; load() allocates, open() does not
                if 3 * picture.width * picture.height > most:
                    raise _bomb(where, f"{size_text(stored)} pixels")
                if (scans := _scans(content)) > MOST_SCANS:
                    raise InputError(
                        f"{where} must have at most {MOST_SCANS} scans; got {scans}: save it again"
                    )
                picture.load()
                # after load(): in PNG, EXIF may follow the pixels
                turn = TURNS.get(_orientation(pillow, picture)) if upright else None
                shown = picture.transpose(pillow.Transpose[turn]) if turn else picture
                if size not in (None, (shown.height, shown.width)):
                    raise _another_size(where, size, (shown.height, shown.width))
                return pixels_of(shown, where), turn is not None
    except (pillow.DecompressionBombWarning, pillow.DecompressionBombError):
        raise _bomb(where, "an image larger than Pillow opens") from None
    except (InputError, MemoryError):
        raise
    except Exception as error:  # decoders raise errors of many types on damaged files
        # UnidentifiedImageError quotes only the address of a buffer in memory
        why = "" if isinstance(error, pillow.UnidentifiedImageError) else f" ({error})"
        raise InputError(
            f"{where} is not a whole image in {', '.join(FORMATS)}{why}: replace or remove it"
        ) from error


def pixels_of(picture: Any, where: str) -> np.ndarray:
    """Return a Pillow image as uint8 `(height, width, channels)`; reject transparent pixels."""
    if picture.mode not in MODES:
        raise InputError(
            f"{where} must be an 8-bit image, grey or in colour; got mode {picture.mode}: convert it"
        )
    # as RGBA, transparency is found wherever it is: in a band, in a palette, or as one transparent colour of PNG
    if picture.has_transparency_data and picture.convert("RGBA").getextrema()[3][0] < 255:
        raise InputError(f"{where} has transparent pixels: put it on a background first")
    array = np.asarray(picture.convert(MODES[picture.mode]))
    return array[..., None] if array.ndim == 2 else array


def _scans(content: bytes) -> int:
    """Return the number of scans of a JPEG image, 0 of others."""
    scans, at = 0, 2
    # not a count of their markers: thumbnails, and films that cameras append, hold these bytes by chance
    while content.startswith(b"\xff\xd8") and (found := MARKER.search(content, at)) and found[0] != END:
        scans += found[0] == SCAN
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    return scans


def _orientation(pillow: Any, picture: Any) -> int:
    """Return the EXIF orientation, normally 1 to 8; 1 if there is none that can be read."""
    # not by getexif(), which also takes orientations from XMP: votes record what was turned by EXIF
    exif = pillow.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif.load(picture.info.get("exif", b""))
            return int(exif.get(ORIENTATION, 1))
    except Exception:  # damaged EXIF raises errors of many types; the picture itself is whole
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


def size_text(shape: Sequence[int]) -> str:
    """Return `HEIGHT x WIDTH`, the first two numbers of `shape`."""
    return f"{shape[0]} x {shape[1]}"


def as_pixels(images: np.ndarray, where: str) -> np.ndarray:
    """Return images as pixels `(n, channels, height, width)`, uint8 or float32 in [0, 1].

    `images`: `(n, height, width)`, or with 1 or 3 channels first or last. Floats that are all multiples of 1/255 become
    bytes, others float32. Raises `InputError` for any other range, because it is the unit of sigma and the radii.
    """
    if images.ndim not in (3, 4) or not images.size:
        raise InputError(
            f"the images in {where} must have the shape (n, height, width), or channels too; got {images.shape}"
        )
    # the range first: bytes made of floats take a quarter of the memory to transpose and copy
    pixels = _with_channels(_in_range(np.asarray(images), where), where)
    # contiguous for hashing, writable for torch, which warns of read-only arrays
    return np.require(pixels, requirements=("C", "W"))


def _with_channels(images: np.ndarray, where: str) -> np.ndarray:
    if images.ndim == 3:
        return images[:, None]
    # both are possible for images that are 1 or 3 pixels high or wide, and the wrong one would mix up their pixels
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
    if not (low >= 0 and high <= 1):  # written so that NaN fails too
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
        "undo their normalisation, which belongs in the model"
        if np.isfinite(low + high)
        else "remove what is not a number"
    )


def _as_bytes(images: np.ndarray) -> np.ndarray:
    """Return floats as bytes if all are multiples of 1/255, else as float32."""
    # in the precision of the images, in which they were divided; float16 is too coarse to recognise multiples
    exact = images.astype(images.dtype if images.dtype.itemsize >= 4 else np.float32, copy=False)
    levels = np.rint(exact * 255).astype(np.uint8)
    if np.array_equal(levels / exact.dtype.type(255), exact):
        return levels
    return exact.astype(np.float32, copy=False)
