"""What is published: the wheel holds the package and no more, the sdist the repository; what describes them is true."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
import trove_classifiers
import yaml

import radii
from radii.report.html.page import PROGRAM

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "radii"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LEFT_BEHIND = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".venv"}
CODE_AND_DATA = {".py", ".toml", ".json", ".css", ".html", ".js", ".bib"}


def build(root: Path, target: str, out: Path, umask: int = -1, **variables: str) -> Path:
    """The wheel or sdist of the project in a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    subprocess.run(
        command, cwd=root, check=True, capture_output=True, umask=umask, env=os.environ | variables
    )
    return next(out.iterdir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"radii-{radii.__version__}"


def files_below(folder: Path) -> set[str]:
    """Names of all files, without what Python leaves behind."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if not LEFT_BEHIND & set(path.parts)}


def test_the_wheel_holds_the_package_and_no_more(wheel):
    about = f"radii-{radii.__version__}.dist-info"
    inside = {name for name in ZipFile(wheel).namelist() if not name.startswith(about)}
    assert inside == {f"radii/{name}" for name in files_below(SOURCE)}
    others = {name for name in inside if Path(name).suffix not in CODE_AND_DATA}
    assert others == {"radii/py.typed"}
    assert wheel.name == f"radii-{radii.__version__}-py3-none-any.whl"


def test_the_wheel_holds_every_file_that_the_code_names(wheel):
    """The other way round: what the modules say in quotes, and documents that are found by their endings."""
    named = set()
    for path in SOURCE.rglob("*.py"):
        texts = [one.value for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.Constant)]
        for text in filter(lambda one: isinstance(one, str), texts):
            if re.fullmatch(r"[a-z_.]+\.(json|css|html|js|bib|toml)", text) and (path.parent / text).exists():
                named.add((path.parent / text).relative_to(SOURCE.parent).as_posix())
    assert {
        "radii/noises/theory/directions.json",
        "radii/noises/theory/dimension_free.json",
        "radii/report/html/page.css",
    } <= named
    for folder in ("training/recipes", "report/published"):
        named |= {f"radii/{folder}/{path.name}" for path in (SOURCE / folder).glob("*.toml")}
    named |= {f"radii/report/html/program/{part}.js" for part in PROGRAM}
    data = {
        name
        for name in ZipFile(wheel).namelist()
        if re.search(r"^radii/.*\.(json|css|html|js|bib|toml)$", name)
    }
    assert data == named


def test_the_wheel_says_what_it_is(wheel):
    about = f"radii-{radii.__version__}.dist-info"
    with ZipFile(wheel) as archive:
        said = Parser().parsestr(archive.read(f"{about}/METADATA").decode())
        assert archive.read(f"{about}/entry_points.txt").decode().split() == [
            "[console_scripts]",
            "radii",
            "=",
            "radii.__main__:main",
        ]
        assert archive.read(f"{about}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert (said["Name"], said["Version"], said["Requires-Python"]) == ("radii", radii.__version__, ">=3.11")
    assert said["License-Expression"] == "Apache-2.0" and said.get_all("Project-URL") is None
    assert {"data", "report", "cluster", "onnx", "dev"} <= set(said.get_all("Provides-Extra"))
    assert set(PROJECT["classifiers"]) <= trove_classifiers.classifiers - set(
        trove_classifiers.deprecated_classifiers
    )


def in_git(*which: str) -> set[str] | None:
    """Files that git knows of; None without git, as in an unpacked sdist."""
    listed = subprocess.run(["git", "ls-files", *which], cwd=ROOT, capture_output=True, text=True)
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()} or None


def test_the_sdist_is_the_repository_and_builds_the_same_wheel(wheel, unpacked, tmp_path):
    inside = files_below(unpacked) - {"PKG-INFO"}
    kept = in_git() or files_below(ROOT) - {"PKG-INFO"}
    new = in_git("--others", "--exclude-standard") or set()
    assert kept <= inside <= kept | new, sorted(kept ^ inside)
    again = build(unpacked, "wheel", tmp_path / "wheel")
    assert again.name == wheel.name and again.read_bytes() == wheel.read_bytes()


def test_another_place_gives_the_same_bytes(wheel, sdist, unpacked, tmp_path):
    """Files written in reverse order, at another time, with other permissions, built under another umask."""
    for path in sorted(unpacked.rglob("*"), reverse=True):
        if path.is_file():
            copy = tmp_path / "elsewhere" / path.relative_to(unpacked)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
            copy.chmod(path.stat().st_mode & 0o700)
            os.utime(copy, (10**9, 10**9))
    for target, first in (("wheel", wheel), ("sdist", sdist)):
        out = tmp_path / target
        again = build(tmp_path / "elsewhere", target, out, umask=0o077, TZ="Asia/Tokyo", PYTHONHASHSEED="1")
        assert again.name == first.name and again.read_bytes() == first.read_bytes(), target


# what describes it ---------------------------------------------------------------------------------

CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
KEYS = {"cff-version", "message", "type", "title", "abstract", "version", "license", "authors", "keywords"}
"""Of the Citation File Format 1.2.0, besides the day of a release."""

RELEASES = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_citation_is_of_this_version():
    assert CITATION.keys() - {"date-released"} == KEYS and CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software" and CITATION["license"] == PROJECT["license"]
    assert str(CITATION["version"]) == PROJECT["version"] == radii.__version__
    assert [one["name"] for one in CITATION["authors"]] == [one["name"] for one in PROJECT["authors"]]
    assert CITATION["keywords"] == PROJECT["keywords"]


def test_the_changelog_is_kept_by_version():
    parts = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (unreleased|\d{4}-\d\d-\d\d)", one) for one in RELEASES]
    assert parts and all(parts), f"a release is '## [1.2.3] - 2026-12-31' or '- unreleased': {RELEASES}"
    versions = [tuple(map(int, one[1].split("."))) for one in parts]
    assert versions == sorted(set(versions), reverse=True) and parts[0][1] == radii.__version__
    assert all(one[2] != "unreleased" for one in parts[1:])
    assert str(CITATION.get("date-released", "unreleased")) == parts[0][2]
    kinds = re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
