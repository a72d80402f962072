"""The image in a request: its size is checked before it is decoded, and nothing is unpickled."""

from collections.abc import Mapping

import numpy as np

from radii.data.decoding import as_pixels, decode
from radii.errors import InputError, without_keys
from radii.storage.npy import read_array

NPY = "application/x-npy"
BODY = "the body"  # its name in messages

OVERHEAD = 2**20
"""Bytes of a body beside its pixels: headers, and the metadata of cameras."""


PPM_HEADER = 2**12
"""Bytes of a PPM image beside its numbers. Pillow reads its comments one byte after the other: a megabyte takes a
second."""

PPM_NUMBER = 4
"""Bytes of a number of up to 255 as text, with a space; as bytes, numbers take one."""


class Rejected(Exception):
    """A request that gets no answer: its HTTP status, a sentence, and headers."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(without_keys(sentence))
        self.status, self.headers = status, dict(headers or {})


def largest_body(features: int) -> int:
    """Return the largest number of bytes of a body with one image of so many features."""
    return OVERHEAD + 8 * features  # float64 takes eight bytes


def read_image(body: bytes, content_type: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the image in a body: uint8 pixels, or float32 in [0, 1], of `shape`, (channels, height, width).

    Reads image files of the kinds that data sets may have, and single arrays that numpy.save wrote. A grey image
    becomes a colour image if `shape` has three channels. Raises `InputError` for anything else.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not body:
        raise Rejected(400, "the body is empty: post the bytes of one image")
    if kind.startswith("image/"):
        largest = PPM_HEADER + PPM_NUMBER * 3 * shape[1] * shape[2]
        if body.startswith(b"P") and len(body) > largest:
            raise InputError(
                f"a PPM image must have at most {largest} bytes for this size; got {len(body)}: leave out comments"
            )
        picture, _ = decode(body, BODY, 3 * shape[1] * shape[2], (shape[1], shape[2]))
        grey = shape[0] == 3 and picture.shape[2] == 1
        image = np.repeat(picture, 3, axis=2) if grey else picture
    elif kind == NPY:
        try:
            image = read_array(body)
        except ValueError as error:
            raise InputError(
                f"the body is not an array of numbers as numpy.save writes it ({error}): save it again"
            ) from error
    else:
        raise Rejected(
            415,
            f"the Content-Type must be image/png, image/jpeg or that of another image file, or {NPY}; "
            f"got {kind or 'none'}",
        )
    pixels = as_pixels(image[None], BODY)[0]
    if pixels.shape != shape:
        raise InputError(
            f"an image must have the shape {shape}, channels, height and width; got {pixels.shape}: "
            "resize or convert it"
        )
    return pixels
