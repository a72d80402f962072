"""docs/ci.md: its commands and the steps of its workflow run, and its numbers are right."""

import json
import shlex
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

import pages
from commands import fine
from radii.report.paired import difference_lower

BLOCKS = [block.text for block in pages.blocks(pages.read("docs/ci.md"))]
PAGE = " ".join(pages.read("docs/ci.md").split())


def run_all(commands: str) -> None:
    for line in commands.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "radii"
        fine(*arguments)


def test_the_workflow_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    baseline, workflow, single, compared = BLOCKS
    run_all(baseline)
    steps = yaml.safe_load(workflow)["jobs"]["gate"]["steps"]
    # a test installs nothing
    commands = [step["run"] for step in steps if "run" in step]
    assert commands[0] == "pip install 'radii[data]'" and len(commands) == 4
    run_all("\n".join(commands[1:]))
    assert json.loads(Path("gate.json").read_text())["passed"]
    suite = ElementTree.parse("gate.xml").getroot()
    assert [case.get("name") for case in suite.iter("testcase")] == ["at-least", "baseline"]
    run_all(single)
    (check,) = json.loads(Path("gate.json").read_text())["checks"]
    assert check["name"] == "at-least" and check["estimate"] > check["lower_bound"] > check["needed"] == 0.8
    run_all(compared)
    assert Path("flips.csv").read_text().startswith("norm,k,radius,index,only\n")


def test_the_numbers_of_the_page() -> None:
    def bound(flips: int, images: int) -> float:
        return float(difference_lower(np.array(flips), np.array(flips), images, 0.05))

    needed = next(images for images in range(1, 1000) if bound(0, images) >= -0.02)
    assert f"passes a margin of 0.02 from {needed} images on" in PAGE
    assert (
        f"10 % of 1000 images, half in favour of each, the lower bound is {-100 * bound(50, 1000):.1f} points"
        in PAGE
    )
