"""The words by which votes know their images: `NAME SPLIT, which of them`, with a digest for images of one's own."""

import re
from typing import NamedTuple

# what comes first may hold anything, a comma or the name of a split too: it is a path; so the last fit is the right one
FORM = re.compile(
    r"(?P<name>.+) (?P<split>train|test|all)(?: sha256:(?P<digest>[0-9a-f]{16}))?, (?P<part>.+)", re.DOTALL
)


class Described(NamedTuple):
    """Which images: those in `part` of a split of a data set; `digest`: of the whole split, if they are one's own."""

    name: str
    split: str
    digest: str
    part: str


def describe(name: str, split: str, digest: str, part: str) -> str:
    """For example `digits test, every 2nd of 355` or `photos test sha256:0123456789abcdef, all`."""
    return f"{whole_split(name, split, digest)}, {part}"


def whole_split(name: str, split: str, digest: str = "") -> str:
    """The same words without the part."""
    return f"{name} {split} sha256:{digest}" if digest else f"{name} {split}"


def read_description(words: str) -> Described | None:
    """What `describe` was told; None for other words."""
    found = FORM.fullmatch(words)
    return Described(found["name"], found["split"], found["digest"] or "", found["part"]) if found else None


def data_of(words: str) -> str:
    """The data set and split in the words of votes, with its digest: what two runs must share to be compared."""
    found = read_description(words)
    return whole_split(found.name, found.split, found.digest) if found else words.partition(",")[0]
