"""Pinned dependencies: locked with hashes, listed in a bill of materials, compared with known vulnerabilities."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import audit
from audit import LIST, vulnerable
from pins import DEFAULT, EVERYTHING, ROOT, Pin, read_pins
from sbom import bill, installed, licences

LOCK = read_pins(DEFAULT)
PINS = read_pins(EVERYTHING)
NEEDED = installed("radii").keys() - {"radii"}
USED = installed("radii[data,report,cluster,onnx,serve]").keys()


# the lock -----------------------------------------------------------------------------------------


def test_the_lock_covers_the_default_install() -> None:
    assert LOCK.keys() >= NEEDED
    here = {name: Version(distribution(name).version).public for name in NEEDED & PINS.keys()}
    assert here == {name: LOCK[name].version for name in here}
    # all else is for another platform, or for torch's build with CUDA
    assert all(LOCK[name].requirement.marker for name in LOCK.keys() - here.keys())


def test_the_lock_and_the_constraints_pin_the_same_versions() -> None:
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
    assert {"matplotlib", "jinja2", "pandas", "numpy", "fonttools", "starlette"} <= USED
    assert "matplotlib" not in NEEDED


def test_licences_are_spdx_expressions_or_names() -> None:
    assert licences(distribution("numpy"))[0].keys() == {"expression"}
    assert licences(distribution("scipy")) == [{"license": {"name": "BSD License"}}]


# known vulnerabilities ----------------------------------------------------------------------------


def test_no_pin_is_known_to_be_vulnerable(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main() == 0
    assert "0 vulnerable pins" in capsys.readouterr().out


def test_the_list_names_sources_and_packages_that_radii_installs() -> None:
    ghsa = "-".join(["GHSA", *["[23456789cfghjmpqrvwx]{4}"] * 3])
    for one in LIST["advisory"]:
        assert re.fullmatch(r"CVE-20\d\d-\d{4,}", one["id"]), one
        assert re.fullmatch(rf"{ghsa}|PYSEC-20\d\d-\d+|{one['id']}", one["source"]), one
        assert canonicalize_name(one["package"]) in USED and one.get("accepted", "a reason"), one
    told = " ".join((ROOT / "SECURITY.md").read_text().split())
    assert f"made on {LIST['made']} " in told
    assert f" on {len({one['package'] for one in LIST['advisory']})} packages that radii installs" in told


@pytest.mark.parametrize(
    ("version", "safe"), [("0.14.0", False), ("14.0.0", False), ("14.0.1", True), ("14.1.dev0", True)]
)
def test_versions_within_a_range_are_found(version: str, safe: bool) -> None:
    pins = {canonicalize_name("PyArrow"): Pin(Requirement(f"PyArrow=={version}"), [])}
    (advisory,) = [one for one in LIST["advisory"] if one["id"] == "CVE-2023-47248"]
    assert vulnerable(pins, [advisory]) == ([] if safe else [advisory])
    assert vulnerable({}, [advisory]) == []


def test_a_vulnerable_pin_fails_unless_a_reason_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pins.txt").write_text("jinja2==3.1.5\ntorch==2.13.0\n")
    monkeypatch.setattr(audit, "EVERYTHING", tmp_path / "pins.txt")
    assert audit.main() == 1
    said = capsys.readouterr().out
    assert "pins.txt: jinja2==3.1.5 has CVE-2025-27516 (GHSA-cpwx-vrp4-4pq7): pin another version" in said
    assert "torch==2.13.0 has CVE-2026-4538 (PYSEC-2026-139), accepted: " in said
    assert "1 vulnerable pins by" in said


def test_no_lower_bound_is_known_to_be_vulnerable() -> None:
    """Without the constraints, an installer may take the oldest version that is allowed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    bounds = {}
    for requirement in map(Requirement, lines):
        if requirement.name != project["name"]:
            (lowest,) = [one for one in requirement.specifier if one.operator == ">="]
            bounds[canonicalize_name(requirement.name)] = Pin(
                Requirement(f"{requirement.name}=={lowest.version}"), []
            )
    assert [one for one in vulnerable(bounds, LIST["advisory"]) if "accepted" not in one] == []
    # all packages of the list that the source imports are named there, not only by what depends on them
    assert bounds.keys() >= {
        "h11",
        "jinja2",
        "pillow",
        "pyarrow",
        "ray",
        "scikit-learn",
        "starlette",
        "torch",
    }
