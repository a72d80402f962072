"""The house keeps its shape: 14 entries, imports that point down, and torch only where tensors are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import radii

ROOT = Path(radii.__file__).parent

# What each entry may import, from the lowest floor up: house rules, not a record of what happens to be so.
ALLOWED = {
    "errors": "",
    "storage": "errors",
    "noises": "errors storage",
    "models": "errors storage",
    "votes": "errors storage noises",
    "certificates": "errors storage noises votes",
    "data": "errors storage noises votes",
    "report": "errors storage noises votes certificates",
    "sampling": "errors storage noises votes certificates models data",
    "training": "errors storage noises votes models data",
    "engine": "errors storage noises votes certificates models data sampling",
    "attacks": "errors storage noises votes certificates models data sampling training",
    "serving": "errors storage noises votes certificates models data sampling",
    "cli": "errors storage noises votes certificates models data report sampling training engine attacks serving",
}
WITH_TORCH = {"models", "data", "sampling", "training", "engine", "attacks"}
MOST_ARROWS = 70
FILES = [path for path in ROOT.rglob("*.py") if path not in (ROOT / "__init__.py", ROOT / "__main__.py")]


def name_of(path: Path) -> str:
    """`votes.plans.fixed`, or `votes.plans` for its `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(nodes: list[ast.AST]) -> set[str]:
    """Full names that import statements among `nodes` may refer to."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top_level(tree: ast.Module) -> list[ast.AST]:
    """The statements that run when a module is imported, and those under TYPE_CHECKING."""
    return [
        inner for node in tree.body for inner in ([node, *node.body] if isinstance(node, ast.If) else [node])
    ]


def own_imports(path: Path, everywhere: bool) -> set[str]:
    """Modules of this package that a file imports, at its top or everywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = imports(list(ast.walk(tree)) if everywhere else top_level(tree))
    names = {name_of(file) for file in FILES}
    return {name.removeprefix("radii.") for name in found if name.startswith("radii.")} & names


def entry(name: str) -> str:
    return name.split(".")[0]


def test_the_entries_are_those_of_the_table() -> None:
    assert {entry(name_of(path)) for path in FILES} == set(ALLOWED) and len(ALLOWED) == 14


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    mine = entry(name_of(path))
    for other in {entry(name) for name in own_imports(path, everywhere=True)} - {mine}:
        assert other in ALLOWED[mine].split(), f"{mine} may not import {other}"


def test_arrows_are_few() -> None:
    arrows = {
        (entry(name_of(path)), entry(name)) for path in FILES for name in own_imports(path, everywhere=True)
    }
    assert len({(one, other) for one, other in arrows if one != other}) <= MOST_ARROWS


def test_no_circles() -> None:
    """Also none through names that only type checkers see; imports within functions come later."""
    below = {name_of(path): own_imports(path, everywhere=False) - {name_of(path)} for path in FILES}
    for name, needs in below.items():
        # a package is there before its parts, and each part that it names comes with it
        needs -= {name.rpartition(".")[0]}
    while leaves := [name for name, needs in below.items() if not needs & set(below)]:
        for name in leaves:
            del below[name]
    assert not below, f"these import one another in a circle: {sorted(below)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_torch_is_imported_only_where_tensors_are(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {name.split(".")[0] for name in imports(list(tree.body))}
    assert "torch" not in found or entry(name_of(path)) in WITH_TORCH


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_is_light() -> None:
    heavy = [
        "torch",
        "pyarrow",
        "pandas",
        "matplotlib",
        "jinja2",
        "typer",
        "rich",
        "sklearn",
        "scipy.optimize",
    ]
    for name in ("radii", "radii.cli"):  # commands import what they need when they run
        given = {"typer", "rich"} if name == "radii.cli" else set()
        loaded = run(f"import sys, {name}; print({set(heavy) - given} & set(sys.modules) or 'none')")
        assert loaded.strip() == "none"


def test_arithmetic_works_with_nothing_optional() -> None:
    absent = ["torch", "pandas", "matplotlib", "jinja2", "mlxtend", "sklearn", "pooch", "PIL", "torchvision"]
    code = f"""
import sys
sys.modules.update({{name: None for name in {absent}}})
import numpy as np, radii
from radii.noises import example_name
for kind in radii.NOISES.values():
    noise = radii.make_noise(example_name(kind))
    for norm in noise.rules:
        radii.certified_radius(noise, norm, np.array([0.6, 0.99]), shape=(3, 8, 8))
votes = radii.Votes(np.array([[99, 1]]), np.array([[10, 0]]), np.array([0]), np.array([0]), radii.Laplace(0.5),
                    (3, 8, 8), radii.fixed(100, 10), ((0, 100),), 0, "none")
print(radii.certify(votes, "linf").radius[0] > 0)
try:
    radii.certify(votes, "linf").to_pandas()
except radii.MissingExtra as error:
    print(error)
"""
    assert run(code).splitlines() == ["True", "to_pandas needs pandas: run pip install 'radii[report]'"]


def test_public_names_are_found_where_they_are_defined() -> None:
    found = [name for names in radii.HOMES.values() for name in names.split()]
    assert sorted(found) == sorted(radii.__all__) == sorted(dir(radii))
    for name in found:
        assert getattr(radii, name) is not None
    alone = "import radii; radii.certificates.planning; radii.votes.plans; radii.noises.norms; radii.errors"
    subprocess.run([sys.executable, "-c", alone], check=True)
    with pytest.raises(AttributeError, match="no attribute 'certifi'"):
        _ = radii.certifi
