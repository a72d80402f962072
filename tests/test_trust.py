"""The source never runs what comes from outside: no pickles, no code from text, no shell, no archive beyond its folder.

One exception is not in this list because it reads no file: worker processes talk through the pipes of multiprocessing,
which pickle between processes that this program started itself (SECURITY.md).
"""

import ast
from pathlib import Path

import pytest

import radii

ROOT = Path(radii.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "code",
}
"""What turns bytes into objects or code of any kind."""

CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "pandas.read_pickle",
    "torch.hub.load",
}
NEEDED = {
    "torch.load": ("weights_only", True),
    "shutil.unpack_archive": ("filter", "data"),
    ".extractall": ("filter", "data"),
    ".extract": ("filter", "data"),
}
"""Calls that are safe with one argument only: functions, and methods of whatever object."""

FORBIDDEN = ("allow_pickle", "shell")
"""Arguments that no call may have, or may not be seen to be without."""


def name_of(node: ast.expr) -> str:
    """`a.b.c` of a call, `.c` of something that has no name."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imported(tree: ast.AST) -> dict[str, str]:
    """What names that are imported mean: `{"run": "subprocess.run", "np": "numpy"}`."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                found[one.asname or one.name.split(".")[0]] = (
                    one.name if one.asname else one.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return found


def dangers(text: str) -> list[str]:
    """What a module does that it must not, in words."""
    tree = ast.parse(text)
    known = imported(tree)
    found = [f"imports {name}" for name in modules_of(tree) if name.split(".")[0] in MODULES]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        first, _, rest = name_of(node.func).partition(".")
        name = known.get(first, first) + (f".{rest}" if rest else "")
        given = {one.arg: getattr(one.value, "value", ...) for one in node.keywords}
        if name in CALLS:
            found.append(f"calls {name}")
        method = f".{node.func.attr}" if isinstance(node.func, ast.Attribute) else ""
        argument, value = NEEDED.get(name) or NEEDED.get(method, ("", None))
        if argument and given.get(argument) != value:
            found.append(f"calls {name} without {argument}={value!r}")
        found += [f"calls {name} with {one}" for one in FORBIDDEN if given.get(one, False) is not False]
    return found


def modules_of(tree: ast.AST) -> set[str]:
    """The full names of all that is imported, at the top or later."""
    found = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    return found | {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_what_comes_from_outside(path: Path) -> None:
    assert dangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import pickle", "imports pickle"),
        ("def f():\n    from yaml import load", "imports yaml"),
        ("import torch\ntorch.load(path)", "calls torch.load without weights_only=True"),
        ("from torch import load as read\nread(path, weights_only=False)", "calls torch.load without"),
        ("import torch as t\nt.load(path, weights_only=flag)", "calls torch.load without"),
        ("eval(text)", "calls eval"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "calls numpy.load with allow_pickle"),
        ("tar.extractall(part)", "calls tar.extractall without filter='data'"),
        (
            "tarfile.open(path).extractall(part, filter='fully_trusted')",
            "calls .extractall without filter='data'",
        ),
        ("import subprocess\nsubprocess.run(text, shell=True)", "calls subprocess.run with shell"),
        ("from os import system\nsystem(text)", "calls os.system"),
    ],
)
def test_what_must_not_be_is_seen(text: str, what: str) -> None:
    assert any(what in one for one in dangers(text))


def test_what_may_be_is_not() -> None:
    text = "import torch\ntorch.load(path, weights_only=True)\ntar.extractall(part, filter='data')"
    assert dangers(text + "\ntorch.compile(model)\nmodel.eval()\nextract(archive, folder)") == []
