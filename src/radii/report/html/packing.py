"""Arrays of numbers as short texts for the program of the page: bytes in base64, each array once."""

import base64

import numpy as np

EXACT_UP_TO = 150_000
"""Radii that a page keeps with all their digits; more of them are rounded to 24 binary digits, to the safe side."""


class Packs:
    """The arrays of a page: each is stored once, and referred to by its number.

    A text is a letter for the type of the numbers (B, H, I: unsigned, of 1, 2 and 4 bytes; f, d: floating point, of 4
    and 8 bytes), followed by the numbers in base64, the lowest byte first.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def add(self, values: np.ndarray) -> int:
        """Return the number of an array of whole numbers of at least 0, or of floating-point numbers."""
        if values.dtype.kind != "f":
            most = int(values.max(initial=0))
            values = values.astype(np.uint8 if most < 2**8 else np.uint16 if most < 2**16 else np.uint32)
        # the lowest byte first, whatever the order of this machine
        content = values.astype(values.dtype.newbyteorder("<")).tobytes()
        text = values.dtype.char + base64.b64encode(content).decode()
        # the status of an image is often the same in every norm
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]

    def add_lengths(self, lengths: np.ndarray, *, exact: bool, up: bool = False) -> list[int]:
        """Return the numbers of one or two arrays: the lengths, or their distinct values and the place of each.

        Parameters
        ----------
        lengths : radii, or lengths of perturbations; NaN or infinity for none
        exact : keep all digits; otherwise 24 binary ones
        up : round up, for lengths that are upper bounds; radii are rounded down
        """
        distinct, places = np.unique(lengths.astype(np.float64), return_inverse=True)
        # numbers of pixels, and radii that a plan decided
        if len(distinct) <= 256:
            return [self.add(distinct), self.add(places)]
        return [self.add(lengths.astype(np.float64) if exact else _rounded(lengths, up))]


def _rounded(lengths: np.ndarray, up: bool) -> np.ndarray:
    """Return lengths as float32, none of them larger than it was; with `up` none smaller."""
    near = lengths.astype(np.float32)
    beyond = near < lengths if up else near > lengths
    return np.where(beyond, np.nextafter(near, np.float32(np.inf if up else -np.inf)), near)
