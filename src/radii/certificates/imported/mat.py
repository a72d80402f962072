"""MAT-files of version 5 with rows of float64, as `scipy.io.savemat` writes them: the radii of MACER's code.

That code (Zhai et al. 2020, RuntianZ/macer, rs/certify.py) saves a row `hard` of l2 radii, of the classifier smoothed
by votes, and `soft`, of the one smoothed by mean softmax. Radii are -1 where the prediction is wrong or abstains.
Nothing else in MAT-files is read: no compression, structure or object. A file needs little more memory than its bytes.
"""

import struct

import numpy as np

from radii.errors import InputError

HEADER = 128
"""Bytes before the first array; the last four are version 1.0 and the order of bytes, little-endian."""
# types of elements and the class of arrays of float64, as numbered in MathWorks' description of MAT-files, level 5
INT8, INT32, UINT32, FLOAT64, MATRIX = 1, 5, 6, 9, 14
DOUBLE = 6


def read_mat(content: bytes, path: object) -> dict[str, np.ndarray]:
    """Return the rows of numbers in a MAT-file by name; raise `InputError` for other content."""
    if content[HEADER - 4 : HEADER] != b"\x00\x01IM":
        raise InputError(f"{path} is no little-endian MAT-file of version 5: save it by scipy.io.savemat")
    arrays: dict[str, np.ndarray] = {}
    # a view: copies of the rest for each array would take long for many small ones
    rest = memoryview(content)[HEADER:]
    try:
        while rest:
            matrix, rest = _element(rest, MATRIX)
            name, row = _row(matrix)
            if name in arrays:
                raise ValueError("two arrays of one name")
            arrays[name] = row
    # struct.error where the content is cut
    except (ValueError, struct.error) as error:
        raise InputError(
            f"{path} must hold whole, uncompressed rows of float64, as scipy.io.savemat writes them"
        ) from error
    return arrays


def _row(matrix: memoryview) -> tuple[str, np.ndarray]:
    """Return the name of an array and its numbers, `(numbers,)`."""
    flags, rest = _element(matrix, UINT32)
    shape, rest = _element(rest, INT32)
    name, rest = _element(rest, INT8)
    numbers, rest = _element(rest, FLOAT64)
    # the lowest byte is the class, the next tells complex, global and logical arrays
    kind, _ = struct.unpack("<II", flags)
    rows, columns = struct.unpack("<ii", shape)
    if kind != DOUBLE or rows != 1 or 8 * columns != len(numbers) or rest:
        raise ValueError("no row of float64")
    return bytes(name).decode("ascii"), np.frombuffer(numbers, dtype="<f8").astype(np.float64)


def _element(content: memoryview, kind: int) -> tuple[memoryview, memoryview]:
    """Return the data of the first element, which must be of a kind, and what follows it."""
    found, size = struct.unpack_from("<II", content)
    start = 8
    # up to four bytes stand within the tag, whose upper half is then their number
    if found >> 16:
        found, size, start = found & 0xFFFF, found >> 16, 4
        if size > 4:
            raise ValueError("too long for a tag")
    data = content[start : start + size]
    if found != kind or len(data) < size:
        raise ValueError("another element, or a part of one")
    # elements begin at multiples of eight bytes
    return data, content[8 if start == 4 else start + size + -size % 8 :]
