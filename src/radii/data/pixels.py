"""Arrays of images, in any usual layout and range, as pixels of a data set."""

import numpy as np

from radii.errors import InputError

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
