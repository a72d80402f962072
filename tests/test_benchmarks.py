"""Benchmarks run: each on so little work that its numbers mean nothing, since nobody else would see one break."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import radii
from radii.engine import Job, LocalExecutor

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Their modules, for one test: their names are short, and not theirs alone."""
    monkeypatch.syspath_prepend(str(FOLDER))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (FOLDER / f"{name}.py").is_file():
            del sys.modules[name]


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def rows(section: str) -> list[list[str]]:
    """The cells of the tables in a section, without their heads."""
    lines = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    return [line.split(" | ") for line in lines if "---" not in line]


def test_all_of_them_are_in_the_suite() -> None:
    suite = load("run")
    shared = {"run", "measure", "baseline"}
    assert {*suite.SECTIONS, suite.LAST} == {path.stem for path in FOLDER.glob("*.py")} - shared


def test_sections_stay_when_others_are_measured_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    suite, page = load("run"), tmp_path / "page.md"
    before = suite.stored(suite.PAGE.read_text())
    assert suite.page_of(before) == suite.PAGE.read_text() and "passes" in before
    page.write_text(suite.page_of({"engine": "## The engine\n\nold", "passes": "## Passes\n\nold"}))
    monkeypatch.setattr(suite, "PAGE", page)
    monkeypatch.setitem(suite.SECTIONS, "engine", lambda: "## The engine\n\nnew\n")
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "engine"])
    suite.main()
    found = suite.stored(page.read_text())
    assert list(found) == ["passes", "engine"] and found["passes"] == "## Passes\n\nold"
    assert found["engine"].startswith("## The engine\n\nnew\n\n20") and "torch" in found["engine"]


def test_scale() -> None:
    scale = load("scale")
    found = scale.run(2 * scale.EACH)
    assert set(found) == {*scale.STEPS, "memory", "file"} and min(found.values()) > 0


def test_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load("engine")
    monkeypatch.setattr(engine, "IMAGES", 2)
    here = LocalExecutor(Job(engine.load, radii.fixed(40, 20)))
    assert 0 < engine.share_outside(here) < 1


def test_exhaustive(monkeypatch: pytest.MonkeyPatch) -> None:
    exhaustive = load("exhaustive")
    monkeypatch.setattr(exhaustive, "SIGMAS", (0.05,))
    head, row = rows(exhaustive.section("small-cnn", rounds=1))
    assert row[:2] == ["0.05", "44"] and len(head) == len(row)


def test_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = load("sampling")
    monkeypatch.setattr(sampling, "has_bfloat16", lambda device: False)  # fusing layers takes half a minute
    found = rows(sampling.section("small-cnn", copies=64, rounds=1))
    assert found[1][0].startswith("float32") and {"laplace", "gaussian", "uniform"} <= {
        one[0] for one in found
    }


def test_training() -> None:
    _, row = rows(load("training").section("small-cnn", batch=16, rounds=1, steps=1, compile=False))
    assert row[0] == "small-cnn, batch 16"


def test_arithmetic() -> None:
    arithmetic = load("arithmetic")
    votes = arithmetic.votes(20, 5, radii.Laplace(0.5), (3, 8, 8))
    assert min(arithmetic.pace(votes, "l1", 2)) > 0


def test_rules() -> None:
    rules = load("rules")
    assert float(rules.ratio(radii.Gaussian(0.5), "l1", 0.9)) == pytest.approx(1, abs=0.05)
    assert float(rules.cost(radii.Gaussian(0.5), "l1")) > 0


def test_memory() -> None:
    memory = load("memory")
    assert 0 < memory.run(memory.MODEL) <= memory.run(memory.BYTES)
    assert [len(one) for one in memory.images_of(memory.FLOATS)] == 2 * [memory.IMAGES]


def test_serve() -> None:
    found = rows(load("serve").section(40))
    assert len(found) == 5 and all(int(one[2]) + int(one[3]) == int(one[1]) == 40 for one in found[1:])


def test_passes() -> None:
    """The sequential plan on stored votes; the two stages take minutes."""
    passes = load("passes")
    votes = radii.load_votes(passes.VOTES)
    law, p = passes.probabilities(votes)
    assert len(passes.asked(votes, p, [1])) == 6
    radius, samples = passes.simulated(votes, law, radii.fixed(1000, 0), passes.BOUNDS)
    assert len(radius) == len(passes.BOUNDS) and samples == 1000


def test_end_to_end_takes_runs_that_are_there() -> None:
    assert (load("end_to_end").RUN / "votes.parquet").is_file()


def test_pages_of_reports_are_built_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    report = load("report")
    # a browser is not at hand everywhere
    monkeypatch.setattr(report, "answers", lambda page: {})
    found = report.run(12, 3, 2, (1,))
    assert found["bytes"] > 100_000 and found["build"] > 0 and found["certify"] > 0
