"""Print a software bill of materials of the default install, as CycloneDX 1.6: python tools/sbom.py.

It lists what this environment has installed for `radii` without extras. It has no time stamp and no serial number, so
equal environments give equal bytes. Wheels carry compiled libraries of their own, which it does not list.
"""

import json
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from pins import DEFAULT, Pin, read_pins

PACKAGE = canonicalize_name("radii")
LICENCE = "License :: OSI Approved :: "


def installed(root: str) -> dict[NormalizedName, set[NormalizedName]]:
    """Return the packages that `root` needs here, itself among them, and what each of them requires."""
    needs: dict[NormalizedName, set[NormalizedName]] = {}
    queue, seen = [Requirement(root)], set()
    while queue:
        wanted = queue.pop()
        name = canonicalize_name(wanted.name)
        if (visit := (name, frozenset(wanted.extras))) in seen:
            continue
        seen.add(visit)
        required = [
            one
            for one in map(Requirement, distribution(name).requires or ())
            if not one.marker or any(one.marker.evaluate({"extra": extra}) for extra in {"", *wanted.extras})
        ]
        needs.setdefault(name, set()).update(canonicalize_name(one.name) for one in required)
        queue += required
    return needs


def reference(found: Distribution) -> str:
    """Return the package URL of an installed package; radii itself does not come from PyPI."""
    name = canonicalize_name(found.name)
    return f"pkg:{'generic' if name == PACKAGE else 'pypi'}/{name}@{found.version.replace('+', '%2B')}"


def licences(found: Distribution) -> list[dict[str, object]]:
    """Return the licence that the metadata states: an SPDX expression, or else a classifier."""
    if expression := found.metadata["License-Expression"]:
        return [{"expression": expression}]
    classifiers = found.metadata.get_all("Classifier") or []
    names = [one.removeprefix(LICENCE) for one in classifiers if one.startswith(LICENCE)]
    return [{"license": {"name": name}} for name in names]


def component(found: Distribution, pin: Pin | None) -> dict[str, object]:
    """Return an installed package as a component.

    The environment does not record which of the pinned files was installed, so all their hashes are listed as those of
    the distribution. Another build of the version, as `2.13.0+cpu`, has other files, and none of these hashes.
    """
    purl = reference(found)
    described: dict[str, object] = {
        "type": "library",
        "bom-ref": purl,
        "name": canonicalize_name(found.name),
        "version": found.version,
        "licenses": licences(found),
        "purl": purl,
    }
    if pin and pin.version == found.version:
        hashes = [{"alg": "SHA-256", "content": one} for one in pin.hashes]
        described["externalReferences"] = [{"type": "distribution", "url": purl, "hashes": hashes}]
    return described


def bill() -> dict[str, object]:
    """Return the bill of materials of the default install."""
    needs = installed(PACKAGE)
    found = {name: distribution(name) for name in sorted(needs)}
    pins = read_pins(DEFAULT)
    components = {name: component(found[name], pins.get(name)) for name in found}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": components.pop(PACKAGE)},
        "components": list(components.values()),
        "dependencies": [
            {
                "ref": reference(found[name]),
                "dependsOn": [reference(found[one]) for one in sorted(needs[name])],
            }
            for name in found
        ],
    }


if __name__ == "__main__":
    print(json.dumps(bill(), indent=2))
