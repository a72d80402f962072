"""`make docs`: no warning, every page and public name is there, and no page asks the network for anything."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.main import get_command

import pages
import radii
import radii.attacks
import radii.data
import radii.models
from radii.cli import app
from radii.training.losses import LOSSES

FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href", "object": "data"}
"""Elements that a browser fetches, by the attribute that says from where."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command of `make docs` in a process of its own: autodoc rewrites signatures."""
    (options,) = re.findall(r"-m sphinx (.*) docs/_build/html", pages.read("Makefile"))
    folder = tmp_path_factory.mktemp("site")
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", *options.split(), folder / "html", "-d", folder / "doctrees"],
        cwd=pages.ROOT,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    return folder / "html"


class Addresses(HTMLParser):
    """Where a page sends a browser by itself, without a click."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attributes if name == FETCHED.get(tag) and value]


def test_pages_ask_for_files_that_are_there_and_never_the_network(site: Path) -> None:
    count = 0
    for page in site.rglob("*.html"):
        for address in Addresses(page).found:
            parts, count = urlsplit(address), count + 1
            assert not parts.netloc and parts.scheme in ("", "data"), f"{page.name} asks {address}"
            assert parts.scheme or not parts.path or (page.parent / parts.path).is_file(), (
                f"{page.name}: {address}"
            )
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text()), sheet.name
    assert count > 100


def test_every_page_is_there(site: Path) -> None:
    others = ["SECURITY.md", *pages.found("results/*/README.md"), *pages.found("notebooks/*.ipynb")]
    for page in [*pages.found("docs/**/*.md"), *others]:
        assert (site / page).with_suffix(".html").is_file(), page
    assert "docs/index.html" in (site / "index.html").read_text()


def test_every_public_name_is_there(site: Path) -> None:
    text = (site / "docs" / "api.html").read_text()
    for module in (radii, radii.data, radii.models, radii.attacks):
        # functions and classes; plain values of submodules are told on other pages
        for name in module.__all__:
            if module is radii or callable(getattr(module, name)):
                assert f'id="{module.__name__}.{name}"' in text, name
    assert all(f'id="radii.training.losses.{function.__name__}"' in text for function in LOSSES.values())


def test_docstrings_are_marked_up(site: Path) -> None:
    text = (site / "docs" / "api.html").read_text()
    assert "`" not in re.sub(r"<[^>]+>", "", text) and "<strong>Guarantee:</strong>" in text
    assert '<span class="pre">labels=&quot;set&quot;</span>' in text


def test_every_command_is_there(site: Path) -> None:
    text = (site / "docs" / "commands.html").read_text()
    for name, command in get_command(app).commands.items():
        assert f'id="radii-{name}"' in text
        assert all(f">{one.opts[-1]}<" in text for one in command.params if one.opts[-1].startswith("--"))


def test_notebooks_show_their_figures(site: Path) -> None:
    for name in pages.found("notebooks/*.ipynb"):
        assert ".svg" in (site / name).with_suffix(".html").read_text(), name
