"""Read the versions and SHA-256 that constraints files pin."""

import re
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).parents[1]
EVERYTHING = ROOT / "constraints.txt"
DEFAULT = ROOT / "constraints-default.txt"


class Pin(NamedTuple):
    """A requirement with one version, and the SHA-256 of the files that may be installed for it."""

    requirement: Requirement
    hashes: list[str]

    @property
    def version(self) -> str:
        """Return the version, which is the only one that satisfies the requirement."""
        (only,) = self.requirement.specifier
        return only.version


def read_pins(path: Path) -> dict[NormalizedName, Pin]:
    """Return the pins of a constraints file by normalized name."""
    found = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        if not line.startswith("#"):
            requirement, *hashes = re.split(r"\s+--hash=sha256:", line.strip())
            pin = Pin(Requirement(requirement), hashes)
            found[canonicalize_name(pin.requirement.name)] = pin
    return found
