"""NPY files as numpy.save writes them: one array of numbers or words, read without Python's parser and without pickles.

numpy itself reads their headers as Python expressions. For a hostile header the parser prints thousands of warnings and
raises errors of any type, and numpy allocates the array that the header claims before it has the numbers.
"""

import math
import re

import numpy as np

MAGIC = b"\x93NUMPY"
LENGTH = {1: 2, 2: 4, 3: 4}
"""Bytes of the length of the header, by the version of the format."""

LONGEST = 10_000
"""Characters of the longest header, as numpy limits it: longer products of its numbers would take seconds."""

VALUE = r"""(?:['"]([<>|=]?[biufcSU]\d{1,9})['"]|(True|False)|\(([\d,\s]*)\))"""
ENTRY = rf"""['"](descr|fortran_order|shape)['"]\s*:\s*{VALUE}\s*(?:,\s*)?"""
HEADER = re.compile(rf"\{{\s*(?:{ENTRY}){{3}}\}}\s*")
"""A dictionary of three entries; the format lets writers choose their order."""


def read_array(content: bytes) -> np.ndarray:
    """Return the array in an NPY file, read-only; raise `ValueError` for anything else.

    The array is a view of `content`, which must hold the numbers and nothing after them: a header that claims a huge
    shape allocates nothing.
    """
    size = LENGTH.get(content[6]) if content.startswith(MAGIC) and len(content) > 6 else None
    if size is None:
        raise ValueError("its first bytes are not those of NPY")
    start = 8 + size
    end = start + int.from_bytes(content[8:start], "little")
    header = content[start:end].decode("latin-1")
    wrong = ValueError(f"its header is {header[:80]!r}")
    if len(header) > LONGEST or not HEADER.fullmatch(header):
        raise wrong
    fields = {name: kind or order or shape for name, kind, order, shape in re.findall(ENTRY, header)}
    try:
        flat = np.frombuffer(content, np.dtype(fields["descr"]), offset=end)
        shape = tuple(int(number) for number in fields["shape"].split(",") if number.strip())
        if math.prod(shape) != len(flat):
            raise ValueError(f"it holds {len(flat)} numbers, but its header is {header[:80]!r}")
        return flat.reshape(shape, order="F" if fields["fortran_order"] == "True" else "C")
    except (KeyError, TypeError) as error:  # a name that is missing, or a type that numpy does not have
        raise wrong from error
