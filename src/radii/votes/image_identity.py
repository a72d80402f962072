"""The words by which votes know their images: `NAME SPLIT, which of them`, with a digest for images of one's own."""

import re
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

# what comes first may hold anything, a comma or the name of a split too: it is a path; so the last fit is the right one
FORM = re.compile(
    r"(?P<name>.+) (?P<split>train|test|all)"
    r"(?: sha256:(?P<digest>[0-9a-f]{16})(?P<turned> \(turned by EXIF\))?)?, (?P<part>.+)",
    re.DOTALL,
)


class Described(NamedTuple):
    """Which images: those in `part` of a split of a data set; `digest`: of the whole split, if they are one's own.

    `turned`: pictures of the split were turned upright, as their EXIF orientation says.
    """

    name: str
    split: str
    digest: str
    part: str
    turned: bool = False


def describe(name: str, split: str, digest: str, part: str, turned: bool = False) -> str:
    """For example `digits test, every 2nd of 355` or `photos test sha256:0123456789abcdef (turned by EXIF), all`."""
    return f"{whole_split(name, split, digest, turned)}, {part}"


def whole_split(name: str, split: str, digest: str = "", turned: bool = False) -> str:
    """The same words without the part."""
    words = f" sha256:{digest}{' (turned by EXIF)' * turned}" if digest else ""
    return f"{name} {split}{words}"


def read_description(words: str) -> Described | None:
    """What `describe` was told; None for other words."""
    found = FORM.fullmatch(words)
    if found is None:
        return None
    name, split, digest, turned, part = found.groups(default="")
    return Described(name, split, digest, part, bool(turned))


def data_of(words: str) -> str:
    """The data set and split in the words of votes, with its digest: what two runs must share to be compared."""
    found = read_description(words)
    if found is None:
        return words.partition(",")[0]
    return whole_split(found.name, found.split, found.digest, found.turned)


BYTES = 8


def fingerprints(images: np.ndarray) -> np.ndarray:
    """Of images `(n, *shape)` in [0, 1]: int64 `(n,)`, BLAKE2b of 8 bytes of their pixels as float32.

    Guarantee: equal images have equal numbers, whether bytes over 255 were divided in float32 or in float64. Two that
    differ have different ones but for a chance of 2^-64; who wants two alike can search for them.
    """
    pixels = np.ascontiguousarray(images, dtype="<f4") + np.float32(0)  # of zero there are two
    found = b"".join(blake2b(one.tobytes(), digest_size=BYTES).digest() for one in pixels)
    return np.frombuffer(found, dtype="<i8").astype(np.int64)
