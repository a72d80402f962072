"""Pinned dependencies: the lock covers the default install with hashes, the bill of materials lists it."""

import json
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.version import Version

from pins import DEFAULT, EVERYTHING, ROOT, read_pins
from sbom import bill, installed, licences

LOCK = read_pins(DEFAULT)
PINS = read_pins(EVERYTHING)
NEEDED = installed("radii").keys() - {"radii"}


# the lock -----------------------------------------------------------------------------------------


def test_the_lock_covers_the_default_install() -> None:
    assert LOCK.keys() >= NEEDED
    here = {name: Version(distribution(name).version).public for name in NEEDED}
    assert here == {name: LOCK[name].version for name in NEEDED}
    # all else is for another platform, or for torch's build with CUDA
    assert all(LOCK[name].requirement.marker for name in LOCK.keys() - NEEDED)


def test_the_lock_and_the_constraints_pin_the_same_versions() -> None:
    assert {name: LOCK[name].version for name in NEEDED} == {name: PINS[name].version for name in NEEDED}
    both = LOCK.keys() & PINS.keys()
    assert {name: LOCK[name].version for name in both} == {name: PINS[name].version for name in both}


def test_every_line_of_the_lock_has_one_version_and_hashes() -> None:
    for name, pin in LOCK.items():
        assert [one.operator for one in pin.requirement.specifier] == ["=="], name
        assert pin.hashes and all(re.fullmatch(r"[0-9a-f]{64}", one) for one in pin.hashes), name


@pytest.mark.parametrize("path", [DEFAULT, EVERYTHING], ids=lambda path: path.name)
def test_constraints_name_no_index_or_host(path: Path) -> None:
    options = re.findall(r"--(\S+?)[=\s]", path.read_text())
    assert "://" not in path.read_text() and set(options) <= {"hash"}


# the bill of materials ----------------------------------------------------------------------------


def test_the_bill_is_valid_and_always_the_same() -> None:
    command = [sys.executable, str(ROOT / "tools" / "sbom.py")]
    first = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(first) is None
    assert json.dumps(bill(), indent=2) + "\n" == first


def test_an_invalid_bill_is_noticed() -> None:
    wrong = bill()
    wrong["components"][0].pop("name")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(wrong)) is not None


def test_the_bill_lists_the_default_install() -> None:
    made = bill()
    components = {one["name"]: one for one in made["components"]}
    assert components.keys() == NEEDED and made["metadata"]["component"]["name"] == "radii"
    for name, one in components.items():
        assert one["version"] == distribution(name).version
        assert one["purl"] == f"pkg:pypi/{name}@{one['version']}".replace("+", "%2B")
        assert one["licenses"], f"{name} states no licence"
        hashes = [each["content"] for ref in one.get("externalReferences", []) for each in ref["hashes"]]
        assert hashes == (LOCK[name].hashes if one["version"] == LOCK[name].version else [])
    refs = {made["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in components.values())}
    assert {one["ref"] for one in made["dependencies"]} == refs
    assert {ref for one in made["dependencies"] for ref in one["dependsOn"]} <= refs


def test_extras_of_dependencies_are_followed() -> None:
    needed = installed("radii[report]")
    assert {"matplotlib", "jinja2", "pandas", "numpy", "fonttools"} <= needed.keys()
    assert {"matplotlib", "pandas"} <= needed["radii"] and "matplotlib" not in installed("radii")


def test_licences_are_spdx_expressions_or_names() -> None:
    assert licences(distribution("numpy"))[0].keys() == {"expression"}
    assert licences(distribution("scipy")) == [{"license": {"name": "BSD License"}}]
