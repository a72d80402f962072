"""What the README shows is run."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\n```\n(.*?)```)?", README.read_text(), re.DOTALL)


def test_there_are_snippets() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("code,printed", BLOCKS)
def test_snippets_run(code: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    if printed:
        assert said.getvalue() == printed


def test_every_module_stands_in_the_tree() -> None:
    tree = README.read_text().split("## The tree")[1]
    source = README.parent / "src" / "radii"
    for path in source.iterdir():
        if path.suffix == ".py" and not path.name.startswith("__"):
            assert path.name in tree, f"{path.name} is missing from the README's tree"
        elif path.is_dir() and (path / "__init__.py").exists():
            assert f"{path.name}/" in tree


def test_links_lead_somewhere() -> None:
    for page in [README, *README.parent.glob("docs/**/*.md"), *README.parent.glob("results/**/README.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
