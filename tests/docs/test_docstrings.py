"""Docstrings of public objects are in numpydoc form, document each parameter, and have examples that run."""

import ast
import doctest
import inspect
import re
import textwrap
from typing import Any

import pytest

import radii
import radii.attacks
import radii.data
import radii.models

PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (radii, radii.data, radii.models, radii.attacks)
    for name in module.__all__
    if callable(getattr(module, name))
}
NO_EXAMPLE = {
    "radii.Certificates",
    "radii.MissingExtra",
    "radii.RoutedCertificates",
    "radii.attacks.Attacks",
    "radii.attacks.Effort",
}
"""Made by other objects, whose examples show them."""
SECTIONS = ["Parameters", "Returns", "Raises", "Notes", "References", "Examples"]
VERBS = ["Adapt", "Build", "Certify", "Compute", "List", "Load", "Read", "Return", "Search", "Tell"]
"""First words about functions; the docstring of a class begins with a noun."""


def sections(docstring: str) -> dict[str, str]:
    """The text of each section by its title, and what comes before them by ""."""
    parts = re.split(r"^(\w+)\n-+\n", docstring, flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], map(str.strip, parts[::2]), strict=True))


def entries(section: str) -> dict[str, str]:
    """Indented descriptions by the names above them."""
    parts = re.split(r"^(\S.*)\n", section + "\n", flags=re.MULTILINE)[1:]
    return {head.split(" : ")[0]: text.strip() for head, text in zip(parts[::2], parts[1::2], strict=True)}


def parameters(found: Any) -> list[str]:
    """The names in the signature of a function or class, as docstrings write them."""
    given = inspect.signature(found).parameters.values()
    return [f"*{one.name}" if one.kind is one.VAR_POSITIONAL else one.name for one in given]


def raises(found: Any) -> bool:
    """Whether a function, or what makes an object of a class, raises an error or calls a check by itself."""
    makers = (
        [vars(found).get(name) for name in ("__init__", "__post_init__")]
        if inspect.isclass(found)
        else [found]
    )
    for maker in makers:
        # what a dataclass generates has no source
        if maker is not None and maker.__code__.co_filename != "<string>":
            for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(maker)))):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if isinstance(node, ast.Raise) or called.lstrip("_").startswith("check_"):
                    return True
    return False


def faults(found: Any, docstring: str) -> list[str]:
    """The parts of a docstring that are missing, empty or out of order."""
    parts = sections(docstring)
    is_class = inspect.isclass(found)
    described = [entries(parts.get(title, "")) for title in SECTIONS[:3]]
    summary = parts[""].split("\n\n")[0]
    tests = {
        "summary": "\n" not in summary and summary.endswith((".", "?")),
        "verb": (summary.split()[0] in VERBS) != is_class,
        "order": list(parts)[1:] == [title for title in SECTIONS if title in parts],
        "Parameters": list(described[0]) == parameters(found),
        "Returns": bool(described[1]) != is_class,
        "Raises": bool(described[2]) or not raises(found),
        "descriptions": all(text for section in described for text in section.values()),
    }
    return [name for name, passed in tests.items() if not passed]


@pytest.mark.parametrize("name", sorted(name for name in PUBLIC if not inspect.isabstract(PUBLIC[name])))
def test_docstrings_document_everything(name: str) -> None:
    docstring = inspect.getdoc(PUBLIC[name]) or ""
    # an error is raised for its reader, who does not call it
    ignored = {"Parameters"} if name in ("radii.UnknownName", "radii.MissingExtra") else set()
    assert set(faults(PUBLIC[name], docstring)) <= ignored
    assert "Examples" in sections(docstring) or name in NO_EXAMPLE


@pytest.mark.parametrize(
    ("part", "other", "fault"),
    [
        ("Certify every image", "Every image", "verb"),
        ("every image of", "every\nimage of", "summary"),
        ("alpha : probability", "beta : probability", "Parameters"),
        ("    Error probability per image.\n", "", "descriptions"),
        ("Returns\n", "Gives\n", "Returns"),
        ("Raises\n", "Errors\n", "Raises"),
        ("Notes\n", "Remarks\n", "order"),
    ],
)
def test_what_a_docstring_lacks_is_found(part: str, other: str, fault: str) -> None:
    docstring = inspect.getdoc(radii.certify) or ""
    assert part in docstring and not faults(radii.certify, docstring)
    assert fault in faults(radii.certify, docstring.replace(part, other))


def test_objects_without_an_example_are_public() -> None:
    assert PUBLIC.keys() >= NO_EXAMPLE


def test_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    for name, found in PUBLIC.items():
        for test in finder.find(found, name, globs={}):
            runner.run(test)
    assert runner.tries > 100 and not runner.failures, capsys.readouterr().out
