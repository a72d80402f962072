"""The identity of the images of votes: data set, split and part of it, and a fingerprint of each image."""

import re
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from radii.errors import without_keys


@dataclass(frozen=True)
class ImageIdentity:
    """The data set that images come from, and which of its images they are.

    Parameters
    ----------
    name
        Name of the data set, or path of your own images.
    split : "train", "test" or "all"
        Split that the images are from; empty where it is not known.
    digest
        Digest of pixels and labels of the whole split, for your own images, which may change under their name.
    part
        Which images of the split these are, in words.
    turned
        Whether any picture of the split was turned upright as its EXIF orientation demands.

    Examples
    --------
    >>> import radii
    >>> print(radii.ImageIdentity("digits", "test", part="every 2nd of 355"))
    digits test, every 2nd of 355
    """

    name: str
    split: str = ""
    digest: str = ""
    part: str = ""
    turned: bool = False

    def __post_init__(self) -> None:
        # the address of a data set may hold a key, and votes files are passed on
        object.__setattr__(self, "name", without_keys(self.name))

    def __str__(self) -> str:
        """Return for example `photos test sha256:0123456789abcdef (turned by EXIF), every 2nd of 1000`."""
        digest = f"sha256:{self.digest}{' (turned by EXIF)' * self.turned}" if self.digest else ""
        split = " ".join(word for word in (self.name, self.split, digest) if word)
        return f"{split}, {self.part}" if self.part else split

    @property
    def whole(self) -> "ImageIdentity":
        """The whole split, which two runs must share to be compared."""
        return replace(self, part="")


# a path comes first and may itself hold a comma or the name of a split, so it is matched greedily
SENTENCE = re.compile(
    r"(?P<name>.+) (?P<split>train|test|all)"
    r"(?: sha256:(?P<digest>[0-9a-f]{16})(?P<turned> \(turned by EXIF\))?)?, (?P<part>.+)",
    re.DOTALL,
)

# The words of files up to format 4. They become those of today, so that old votes and new ones add up: `data` must be
# equal for that.
EXCLUDED = re.compile(r"all but (?P<images>[\d, ]+) of (?P<of>.+)")


def parse_identity(sentence: str) -> ImageIdentity | None:
    """Return the identity that a file of format 4 or older holds as one sentence; None for an empty one."""
    match = SENTENCE.fullmatch(sentence)
    # a sentence of another form is kept whole, as a name: votes remain readable, and differ from all others
    if match is None:
        return ImageIdentity(sentence) if sentence else None
    name, split, digest, turned, part = match.groups(default="")
    return ImageIdentity(name, split, digest, EXCLUDED.sub(r"\g<of> without \g<images>", part), bool(turned))


def fingerprints(images: np.ndarray) -> np.ndarray:
    """Return a number for each image of `(n, *shape)` in [0, 1], int64 `(n,)`: BLAKE2b of its pixels as float32.

    Guarantee: equal images have equal numbers, whether bytes were divided by 255 in float32 or in float64. Two
    different images have equal numbers with probability 2^-64, unless an adversary searched for them.
    """
    # float32, in which bytes divided by 255 in either precision are the same numbers. Little-endian here and below: the
    # same pixels have the same number on every machine. Adding 0 makes 0.0 of -0.0, which is equal but has other bytes.
    pixels = np.ascontiguousarray(images, dtype="<f4") + np.float32(0)
    digests = b"".join(blake2b(image.tobytes(), digest_size=8).digest() for image in pixels)
    return np.frombuffer(digests, dtype="<i8").astype(np.int64)
