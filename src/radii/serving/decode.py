"""The image in a request: its size is checked before it is decoded, and nothing is unpickled."""

from collections.abc import Mapping
from io import BytesIO

import numpy as np

from radii.data.decoding import as_pixels, decode
from radii.errors import InputError, without_keys


class Refusal(Exception):
    """A request that cannot be answered: its status, its sentence, and headers that go with them."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(without_keys(sentence))
        self.status, self.headers = status, dict(headers or {})


NPY = "application/x-npy"
WHERE = "the body"
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
"""How numpy.save begins, by version."""

BESIDE = 2**20
"""Bytes that a body may have besides its pixels, which take eight at most: headers, and what cameras note."""


def largest_body(features: int) -> int:
    """Bytes of the largest body in which an image of so many features comes."""
    return BESIDE + 8 * features


def read_image(body: bytes, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """The image in a body of content type `kind`: uint8 pixels, or float32 in [0, 1], of `shape`.

    `shape`: (channels, height, width). Image files of any kind that data sets may have, or one array as numpy.save
    writes it; grey pictures become coloured where the model wants them so.
    """
    kind = kind.partition(";")[0].strip().lower()
    if not body:
        raise Refusal(400, "the body is empty: post the bytes of one image")
    if kind.startswith("image/"):
        picture, _ = decode(body, WHERE, 3 * shape[1] * shape[2], (shape[1], shape[2]))
        grey = shape[0] == 3 and picture.shape[2] == 1
        image = np.repeat(picture, 3, axis=2) if grey else picture
    elif kind == NPY:
        image = read_array(body)
    else:
        raise Refusal(
            415,
            f"the Content-Type must be image/png, image/jpeg or that of another image file, or {NPY}; "
            f"got {kind or 'none'}",
        )
    pixels = as_pixels(image[None], WHERE)[0]
    if pixels.shape != shape:
        raise InputError(
            f"an image must have the shape {shape}, channels, height and width; got {pixels.shape}: "
            "resize or convert it"
        )
    return pixels


def read_array(body: bytes) -> np.ndarray:
    """The array that numpy.save wrote; what its header says must be there in bytes."""
    file = BytesIO(body)
    try:
        shape, by_columns, kind = HEADERS[np.lib.format.read_magic(file)](file)
        flat = np.frombuffer(body, kind, offset=file.tell())
        return flat.reshape(shape, order="F" if by_columns else "C")
    # of Python's own parser, by which numpy reads headers, too
    except Exception as error:
        raise InputError(
            f"the body is no array of numbers as numpy.save writes it ({error}): save it again"
        ) from error
