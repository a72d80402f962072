"""The threat model in SECURITY.md: every row names what holds an input, and tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import pages

SECTION = pages.read("SECURITY.md").split("\n## Threat model\n")[1].split("\n## ")[0]
HEAD, _, *ROWS = [line.strip("| ").split(" | ") for line in SECTION.splitlines() if line.startswith("|")]


@cache
def names_in(path: Path) -> set[str]:
    """Return the names of the test functions in a file."""
    tree = ast.parse(path.read_text())
    functions = (one for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    return {one.name for one in functions if one.name.startswith("test_")}


def missing(row: list[str]) -> list[str]:
    """Return the tests of a row that do not exist: `folder/test_x.py::test_y`, below tests/."""
    named = [span.split("::") for span in pages.spans(row[-1])]
    files = [(pages.ROOT / "tests" / file, test) for file, test in named]
    return [test for path, test in files if not path.is_file() or test not in names_in(path)]


def test_the_table_is_read() -> None:
    assert HEAD == ["Input", "Who can send it", "Worst case", "Held by", "Tests"]
    assert len(ROWS) >= 20 and len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_input_is_held_by_modules_and_tests_that_exist(row: list[str]) -> None:
    assert len(row) == len(HEAD) and all(cell.strip() for cell in row)
    modules = re.findall(r"`([\w/.-]+)`", row[3])
    held = (pages.ROOT / "src" / "radii", pages.ROOT)
    assert modules and all(any((where / one).exists() for where in held) for one in modules), row[3]
    assert pages.spans(row[-1]) and missing(row) == []


def test_a_test_that_does_not_exist_is_noticed() -> None:
    assert missing(["", "`test_threats.py::test_the_table_is_read`"]) == []
    assert missing(["", "`test_threats.py::test_gone`"]) == ["test_gone"]
    assert missing(["", "`test_gone.py::test_the_table_is_read`"]) == ["test_the_table_is_read"]
