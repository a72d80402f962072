"""Compare the pinned versions with the vulnerable ones of tools/advisories.toml: python tools/audit.py.

It needs no network. Fails if a pin is vulnerable and no reason is given why it may stay.
"""

import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name

from pins import DEFAULT, EVERYTHING, Pin, read_pins

LIST = tomllib.loads((Path(__file__).parent / "advisories.toml").read_text())


def vulnerable(pins: Mapping[NormalizedName, Pin], advisories: Iterable[dict]) -> list[dict]:
    """Return the advisories whose versions contain the pin of their package."""

    def concerns(advisory: dict) -> bool:
        pin = pins.get(canonicalize_name(advisory["package"]))
        ranges = map(SpecifierSet, advisory["vulnerable"])
        return pin is not None and any(one.contains(pin.version, prereleases=True) for one in ranges)

    return [one for one in advisories if concerns(one)]


def main() -> int:
    advisories = LIST["advisory"]
    found = 0
    for path in (EVERYTHING, DEFAULT):
        pins = read_pins(path)
        for one in vulnerable(pins, advisories):
            accepted = one.get("accepted")
            pin = f"{one['package']}=={pins[canonicalize_name(one['package'])].version}"
            print(f"{path.name}: {pin} has {one['id']} ({one['source']})", end="")
            print(f", accepted: {accepted}" if accepted else ": pin another version")
            found += not accepted
    packages = len({one["package"] for one in advisories})
    print(f"{found} vulnerable pins by {len(advisories)} advisories on {packages} packages of {LIST['made']}")
    return found > 0


if __name__ == "__main__":
    sys.exit(main())
