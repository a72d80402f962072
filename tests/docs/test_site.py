"""`make docs`: no warning, every page and public name is there, and no page asks the network for anything."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from typer.main import get_command

import pages
import radii
import radii.attacks
import radii.data
import radii.models
from patience import HANG
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


def page_of(markdown: str, folder: Path) -> tuple[int, str, str]:
    """Build one page with the site's settings for Markdown and mathematics: status, warnings, HTML."""
    settings = re.findall(r"^(?:myst_|html_math).*$", pages.read("docs/conf.py"), re.MULTILINE)
    path = f"import sys; sys.path.insert(0, {str(pages.ROOT / 'docs' / 'extensions')!r})"
    (folder / "conf.py").write_text("\n".join([path, 'extensions = ["myst_parser", "mathml"]', *settings]))
    (folder / "index.md").write_text(f"# Title\n\n{markdown}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "sphinx", "-nWEq", folder, folder / "html"], capture_output=True, text=True
    )
    page = folder / "html" / "index.html"
    return ended.returncode, ended.stderr, page.read_text() if page.exists() else ""


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


def objects() -> list[str]:
    """Full names of all public functions and classes, and of the losses; plain values are told on other pages."""
    public = (radii, radii.data, radii.models, radii.attacks)
    named = [
        f"{module.__name__}.{name}"
        for module in public
        for name in module.__all__
        if callable(getattr(module, name))
    ]
    return [*named, *(f"radii.training.losses.{function.__name__}" for function in LOSSES.values())]


def test_every_public_object_has_a_page_with_its_source(site: Path) -> None:
    index = (site / "docs" / "api.html").read_text()
    found = dict(re.findall(r'href="(api/[^"#]+)#([^"]+)"', index))
    page_of = {name: page for page, name in found.items()}
    assert len({page.lower() for page in found}) == len(found), "some file systems do not tell these apart"
    for name in objects():
        text = (site / "docs" / page_of[name]).read_text()
        assert f'id="{name}"' in text and f"<title>{name} - radii</title>" in text
        source = re.search(r'href="(?:\.\./)+(_modules/[^"#]+)#[^"]+"><span class="viewcode-link">', text)
        assert source and (site / source[1]).is_file(), name


def test_plain_values_are_in_the_index_of_the_api(site: Path) -> None:
    index = (site / "docs" / "api.html").read_text()
    plain = [name for name in radii.__all__ if not callable(getattr(radii, name))]
    assert plain and all(f'id="radii.{name}"' in index for name in plain)


def test_docstrings_are_marked_up(site: Path) -> None:
    for page in (site / "docs" / "api").iterdir():
        text = re.sub(r"<pre>.*?</pre>", "", page.read_text(), flags=re.DOTALL)
        assert "`" not in re.sub(r"<[^>]+>", "", text), page.name
    text = (site / "docs" / "api" / "radii.certify.html").read_text()
    assert "<strong>Guarantee:</strong>" in text and "– Norm of the perturbations." in text
    assert '<a class="reference internal" href="radii.bounds.html#radii.bounds"' in text
    assert "<math>" in (site / "docs" / "api" / "radii.tradeoff.html").read_text()


def test_titles_tell_pages_apart(site: Path) -> None:
    titles = {page: re.findall(r"<title>(.*?)</title>", page.read_text())[0] for page in site.rglob("*.html")}
    del titles[site / "index.html"]  # leads to docs/index.html
    assert len(set(titles.values())) == len(titles) and all(titles.values())


def test_search_leads_to_the_right_pages(site: Path) -> None:
    text = (site / "searchindex.js").read_text()
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    expected = {
        "alpha": ["docs/api/radii.certify", "docs/guarantees", "docs/math/statistics"],
        "linf": ["docs/api/radii.certified_radius", "docs/rules", "docs/which-noise"],
    }
    for word, wanted in expected.items():
        # words of headings have a table of their own
        pages_with = {
            index["docnames"][page]
            for table in ("terms", "titleterms")
            for page in np.atleast_1d(index[table].get(word, []))
        }
        assert set(wanted) <= pages_with, word


def test_every_command_is_there(site: Path) -> None:
    text = (site / "docs" / "commands.html").read_text()
    for name, command in get_command(app).commands.items():
        assert f'id="radii-{name}"' in text
        assert all(f">{one.opts[-1]}<" in text for one in command.params if one.opts[-1].startswith("--"))


def test_notebooks_show_their_figures(site: Path) -> None:
    for name in pages.found("notebooks/*.ipynb"):
        assert ".svg" in (site / name).with_suffix(".html").read_text(), name


FORMULAS = r"""
$\frac{\sigma}{2}$, $\tfrac12$, $\sqrt{d}$, $\lVert\delta\rVert_2 \le r$, $x \in \mathbb{R}^d$, $p_{\text{lower}}$,
$\operatorname{sign}(x)$ and $\Phi^{-1}(\underline{p_A})$, at a price of $5 a time and $2 more.

$$
\sum_{i=1}^d \int_0^1 f(t)\,dt = \begin{cases} 1 & x > 0 \\ 0 & \text{otherwise} \end{cases}
$$

$$
\begin{aligned} a &= b \\ &\le \operatorname*{arg\,max}_c p_c \end{aligned}
$$
"""


def test_formulas_become_mathml(tmp_path: Path) -> None:
    status, said, page = page_of(FORMULAS, tmp_path)
    assert (status, said) == (0, "")
    assert page.count("<math>") == 8 and page.count('<math display="block">') == 2
    assert page.count("<mfrac") == 2 and page.count("<mtable") == 2 and "$5 a time and $2 more" in page
    assert "mathjax.js" not in page.lower() and "window.MathJax" not in page


@pytest.mark.parametrize("formula", [r"\fraction{a}{b}", r"\frac{a}", r"\left( a", "a & b"])
def test_a_formula_that_cannot_be_converted_fails_the_build(formula: str, tmp_path: Path) -> None:
    status, said, _ = page_of(f"Of ${formula}$.", tmp_path)
    assert status == 1 and "index.md:3" in said and repr(formula) in said


# in Chromium, by `make test-browser` ----------------------------------------------------------------


def paths(site: Path) -> list[str]:
    """All pages but the one that only leads to the first."""
    found = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    return sorted(found - {"index.html"})


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served: over `file:`, browsers forbid what search and copying need."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def opened(chromium: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens an empty page; at the end nothing has gone wrong, and nothing came from elsewhere."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def opened(**settings: Any) -> Any:
        context = chromium.new_context(**settings)
        context.set_default_timeout(1000 * HANG)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == [], "the console is empty"
    assert [url for url in asked if not url.startswith((address, "data:"))] == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible(opened: Callable[..., Any], site: Path, address: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page, found = opened(color_scheme=scheme, viewport={"width": 1200, "height": 900}), []
    part: Any = None
    # the colours are all that differs in the dark
    rules = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
    # pages of source code differ in their code alone, and take long: two of them stand for all
    sources = [path for path in paths(site) if path.startswith("_modules/radii")]
    for path in [path for path in paths(site) if path not in sources[2:]]:
        page.goto(address + path)
        options = {"resultTypes": ["violations"], **rules}
        violations = Axe().run(page, part, options).response["violations"]
        part = {"exclude": [[".sidebar-drawer"]]}  # the menu is the same on all pages
        grave = [one for one in violations if one["impact"] in ("critical", "serious")]
        found += [(path, one["id"], one["nodes"][0]["html"][:90]) for one in grave]
    assert found == []


@pytest.mark.browser
def test_nothing_sticks_out_on_a_phone(opened: Callable[..., Any], site: Path, address: str) -> None:
    page = opened(viewport={"width": 390, "height": 800})
    for path in paths(site):
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


@pytest.mark.browser
@pytest.mark.parametrize(("word", "name"), [("alpha", "radii.certify"), ("linf", "radii.certified_radius")])
def test_search_finds(opened: Callable[..., Any], address: str, word: str, name: str) -> None:
    page = opened()
    page.goto(f"{address}search.html?q={word}")
    page.locator("#search-results li a", has_text=name).first.click()
    page.wait_for_url(f"**/docs/api/{name}.html*")
    assert page.title() == f"{name} - radii"


@pytest.mark.browser
def test_code_is_copied_without_prompts(opened: Callable[..., Any], address: str) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    page.goto(f"{address}docs/api/radii.reachable_radius.html")
    block = page.locator(".highlight").last
    block.hover()
    block.locator("button.copybtn").click()
    page.locator("button.copybtn.success").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert (
        copied.startswith("import radii\nnoise = radii.Gaussian(sigma=0.25)\nround(") and ">>>" not in copied
    )
