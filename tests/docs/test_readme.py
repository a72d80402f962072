"""What the README shows is run."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from commands import fine

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", README.read_text(), re.DOTALL)
COMMANDS = re.findall(r"```sh\n(radii .*?)```", README.read_text(), re.DOTALL)


def test_there_are_snippets() -> None:
    assert len(BLOCKS) == 1


def test_it_is_short() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= 150 and all(len(line) <= 100 for line in lines)


@pytest.mark.parametrize("code,printed", BLOCKS)
def test_snippets_run(code: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    if printed:
        assert said.getvalue() == printed


def test_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = COMMANDS
    said = [fine(*shlex.split(line)[1:]) for line in block.splitlines()]
    for table in ("certified accuracy", "certified top-3 accuracy"):
        assert f"ℓ∞: {table} at a radius of at least" in said[-1]


def test_every_entry_stands_in_the_tree() -> None:
    tree = (README.parent / "docs" / "architecture.md").read_text()
    for path in (README.parent / "src" / "radii").iterdir():
        if path.suffix == ".py" and not path.name.startswith("__"):
            assert path.name in tree
        elif (path / "__init__.py").exists():
            assert f"  {path.name}/" in tree
