"""Every command and snippet of README and docs is run by some test, or says why not; every link leads somewhere."""

import contextlib
import inspect
import io
import re
import shlex
import warnings
from pathlib import Path
from pkgutil import resolve_name

import pytest
from typer.main import get_command

import pages
import test_ci_page
import test_data_commands
import test_given_models
import test_others_page
import test_own_noise_page
import test_readme
import test_scaling_page
import test_serving_page
import test_votes_page
import test_which_noise
from commands import fine
from radii.cli import app
from radii.errors import RadiiWarning
from radii.training.losses import LOSSES, options_of

HERE = ["docs/start.md", "docs/training.md", "docs/faq.md", "docs/paper.md"]
"""Pages that are gone through here, each in a folder of its own."""
ELSEWHERE = {
    "docs/ci.md": test_ci_page.BLOCKS,
    "README.md": [*(code for code, _ in test_readme.BLOCKS), *test_readme.COMMANDS],
    "docs/data.md": [*test_data_commands.BLOCKS, *test_data_commands.SNIPPETS],
    "docs/models.md": [
        *test_given_models.FILES.values(),
        *(code for code, _ in test_given_models.SNIPPETS),
        *test_given_models.BLOCKS,
    ],
    "docs/others.md": [*test_others_page.BLOCKS, *test_others_page.SNIPPETS],
    "docs/own-noise.md": test_own_noise_page.CODE,
    "docs/scaling.md": [text for parts in test_scaling_page.BLOCKS.values() for _, text in parts],
    "docs/serving.md": [*test_serving_page.BLOCKS, *test_serving_page.SNIPPETS],
    "docs/votes-file.md": [test_votes_page.SNIPPET],
    "docs/which-noise.md": test_which_noise.BLOCKS,
}
"""What other tests run of other pages."""
SHOWN = ("text", "json", "{toctree}", "{eval-rst}", "{glossary}")
"""Blocks with nothing to run: what was printed, and what the site is made of."""
LINKED = [*pages.PAGES, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", *pages.found("results/*/README.md")]
COMMANDS = get_command(app).commands
NOW = [page for page in pages.PAGES if page != "docs/log.md"]
"""Pages that speak of what is there; the log speaks of its days."""
SPANS = [(page, span) for page in NOW for span in pages.spans(pages.read(page))]

ARITHMETIC = sorted(
    {span for _, span in SPANS if re.match(r"radii (plan|noises) --(?!tightness)[^A-Z]+$", span)}
)
"""Whole commands that need no file; looking for attacks (`--tightness`) takes a minute."""


# what is run --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    for block in pages.blocks(pages.read(page)):
        run = page in HERE or block.text in ELSEWHERE.get(page, [])
        why = f"{page}: nothing runs this, and no comment says why not:\n```{block.kind}\n{block.text}"
        assert block.kind in SHOWN or run or block.reason, why


def words(text: str) -> list[list[str]]:
    """The words of each line, without numbers, which differ from machine to machine."""
    return [found for line in text.splitlines() if (found := re.findall(r"[^\W\d_]+", line))]


def printed(code: str) -> str:
    """What a snippet prints."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore", RadiiWarning)  # some processors round a product as its batch has it
        exec(code, {})
    return said.getvalue()


@pytest.mark.parametrize("page", HERE)
def test_pages_from_top_to_bottom(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said, last = "", ""
    for kind, text, reason in pages.blocks(pages.read(page)):
        language, _, file = kind.partition(" file=")
        if reason:
            continue
        if file:
            Path(file).write_text(text)
        elif language == "sh":
            lines = [shlex.split(line, comments=True) for line in text.splitlines()]
            assert all(line[0] == "radii" for line in lines)
            said = "".join(fine(*line[1:]) for line in lines)
        elif language == "python":
            said = printed(text)
        elif last == "python":
            assert said == text
        else:
            rest = iter(words(said))
            assert all(line in rest for line in words(text)), said
        last = language


@pytest.mark.parametrize("line", ARITHMETIC)
def test_arithmetic_among_the_words_runs(line: str) -> None:
    assert fine(*line.split()[1:])


# what is said -------------------------------------------------------------------------------------


def options(command: str) -> set[str]:
    parameters = COMMANDS[command].params
    return {name for one in parameters for name in (*one.opts, *one.secondary_opts)} | {"--help"}


def test_commands_among_the_words_exist() -> None:
    every = set().union(*map(options, COMMANDS)) | {"--version"}
    lines = [
        (page, line)
        for page in NOW
        for block in pages.blocks(pages.read(page))
        for line in (block.text.splitlines() if block.kind == "sh" else ())
    ]
    for page, line in [*SPANS, *lines]:
        given = re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", line)
        if found := re.match(r"radii ([a-z]+)", line):
            assert found[1] in COMMANDS and set(given) <= options(found[1]), f"{page}: {line}"
        elif line.startswith("--"):
            assert set(given) <= every, f"{page}: {line}"


def test_targets_of_make_exist() -> None:
    makefile = pages.read("Makefile")
    for page, span in SPANS:
        for target in shlex.split(span)[1:] if span.startswith("make ") else []:
            assert "=" in target or re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page}: {span}"


def test_options_of_methods_are_those_of_the_page() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|(.*)\|.*\|.*$", pages.read("docs/training.md"), re.MULTILINE)
    told = {name: dict(re.findall(r"`(\w+)` ([\d.]+)", cells)) for name, cells in rows if name in LOSSES}
    assert told == {loss: {name: f"{value:g}" for name, value in options_of(loss).items()} for loss in LOSSES}


def test_every_theorem_is_listed() -> None:
    rows = pages.read("docs/math/index.md").splitlines()
    for page in pages.found("docs/math/*.md"):
        name = Path(page).name
        here = [row for row in rows if f"]({name}" in row]
        assert here or name == "index.md", f"{name} is not listed"
        for title in re.findall(r"^\*\*((?:Theorem|Lemma)[^*]*)\*\*", pages.read(page), re.MULTILINE):
            assert any(row.startswith(f"| **{title}**") for row in here), f"{page}: {title}"


@pytest.mark.parametrize("page", NOW)
def test_names_of_the_package_exist(page: str) -> None:
    """Dotted names anywhere, and after "In the code" also the names in the modules that are named there."""
    text = pages.read(page)
    for span in pages.spans(text):
        if re.fullmatch(r"radii(\.\w+)+", span) and not span.endswith((".toml", ".json")):
            resolve_name(span)
    for paragraph in re.findall(r"^\*\*In the code\.\*\*.*?(?=^$|\Z)", text, re.MULTILINE | re.DOTALL):
        spans = pages.spans(paragraph)
        defined = {
            name
            for span in spans
            if span.startswith(("radii.", "tools/"))
            for name in re.findall(r"^(?: *(?:def|class) |)([A-Za-z_]\w*)\b", source_of(span), re.MULTILINE)
        }
        assert {name for name in spans if re.fullmatch(r"\w+", name)} <= defined, page


def source_of(name: str) -> str:
    """Return the text of the module that holds an object, or of a file of tools/."""
    if "/" in name:
        return pages.read(name)
    value = resolve_name(name)
    return inspect.getsource(value if inspect.ismodule(value) else inspect.getmodule(value))


# where links lead ---------------------------------------------------------------------------------


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_somewhere(page: str) -> None:
    for link in pages.links(pages.read(page)):
        file, _, anchor = link.partition("#")
        target = (pages.ROOT / page).parent / file if file else pages.ROOT / page
        assert target.is_file(), f"{page} links to {link}"
        assert not anchor or anchor in pages.anchors(target.read_text()), f"{page} links to {link}"


def test_a_wrong_page_would_be_noticed() -> None:
    page = "# A title: `x`\n\n[a](b.md#c) `[no](link)` `radii\nvote`\n\n"
    page += "<!-- not run: why -->\n```sh\nls\n```\n```\n[x](y)\n```\n"
    assert pages.anchors(page) == {"a-title-x"} and pages.links(page) == ["b.md#c"]
    assert pages.blocks(page) == [("sh", "ls\n", "why"), ("", "[x](y)\n", "")]
    assert pages.spans(page) == ["x", "[no](link)", "radii vote"]
