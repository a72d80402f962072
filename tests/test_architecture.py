"""The house keeps its shape: imports point down, and torch is touched only where tensors are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import radii

ROOT = Path(radii.__file__).parent

# The floor of every module or package: imports point to the same floor or lower ones, and never in a circle.
FLOORS = {
    0: [
        "addresses",
        "errors",
        "bisection",
        "docstrings",
        "kinds",
        "descriptions",
        "class_names",
        "fingerprints",
        "plain",
        "norms",
        "tradeoffs",
        "rates",
        "cycloids",
        "composition",
        "composed",
        "densities",
        "density_loss",
        "greedy_moves",
        "dimension_free",
        "dimension_free_mixtures",
        "directions",
        "intervals",
        "designs",
    ],
    1: [
        "search",
        "streams",
        "files",
        "stores",
        "memory",
        "parquet",
        "unpacked",
        "noises",
        "models",
        "data",
        "devices",
        "schedules",
        "steps",
        "averaging",
        "processes",
        "events",
        "named",
        "installation",
    ],
    2: ["lattice", "votes", "radius", "losses", "falsifier"],
    3: [
        "evidence",
        "certificates",
        "asking",
        "examples",
        "copies",
        "independence",
        "matching",
        "polling",
        "rechecks",
        "scales",
        "voting",
        "sampling",
        "runs",
        "checkpoints",
        "training",
        "recipes",
        "planning",
        "costs",
        "agenda",
        "trial",
        "selfcheck",
    ],
    4: [
        "attacks",
        "engine",
        "published",
        "results",
        "wording",
        "exports",
        "plots",
        "report",
        "gallery",
        "attacked",
        "doctor",
        "serving",
    ],
    5: ["demo", "terminal", "console", "cli", "__main__"],
}
FLOOR = {module: floor for floor, modules in FLOORS.items() for module in modules}
WITH_TORCH = {
    "steps",
    "events",
    "processes",
    "averaging",
    "models",
    "data",
    "devices",
    "losses",
    "attacks",
    "engine",
    "asking",
    "examples",
    "independence",
    "polling",
    "rechecks",
    "scales",
    "voting",
    "sampling",
    "trial",
    "runs",
    "checkpoints",
    "training",
}
FILES = [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(nodes: list[ast.stmt]) -> set[str]:
    """Full names that import statements among `nodes` may refer to."""
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def house(path: Path, everywhere: bool) -> set[str]:
    """Modules of this package that a file imports, at its top or everywhere."""
    tree = ast.parse(path.read_text())
    names = {name_of(file).removesuffix(".__init__") for file in FILES}
    found = imports(list(ast.walk(tree)) if everywhere else tree.body)
    mine = name_of(path).removesuffix(".__init__")
    # a part of a package that imports another part names the package, too
    own = {mine, mine.rpartition(".")[0]}
    return ({name.removeprefix("radii.") for name in found if name.startswith("radii.")} & names) - own


def test_every_module_has_a_floor() -> None:
    assert {name_of(path).split(".")[0] for path in FILES} <= set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    mine = name_of(path).split(".")[0]
    for other in {name.split(".")[0] for name in house(path, everywhere=True)}:
        assert FLOOR[other] <= FLOOR[mine], f"{mine} imports {other} from a higher floor"


def test_no_circles() -> None:
    below = {name_of(path).removesuffix(".__init__"): house(path, everywhere=False) for path in FILES}
    while leaves := [name for name, needs in below.items() if not needs & set(below)]:
        for name in leaves:
            del below[name]
    assert not below, f"these import one another in a circle: {sorted(below)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_torch_is_imported_only_where_tensors_are(path: Path) -> None:
    found = {name.split(".")[0] for name in imports(ast.parse(path.read_text()).body)}
    assert "torch" not in found or name_of(path).split(".")[0] in WITH_TORCH


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
    loaded = run(f"import sys, radii; print([m for m in {heavy} if m in sys.modules])")
    assert loaded.strip() == "[]"


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


def texts_without_encoding(tree: ast.AST) -> list[int]:
    """Lines that read or write text in the letters of the locale."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(one.arg == "encoding" for one in node.keywords):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = [*node.args, *(one.value for one in node.keywords)]
        binary = any(
            isinstance(one, ast.Constant)
            and isinstance(one.value, str)
            and set("rwxab") >= set(one.value) > {"b"}
            for one in given
        )
        plain = (
            isinstance(node.func, ast.Name) or getattr(getattr(node.func, "value", None), "id", "") == "io"
        )
        if name in ("read_text", "write_text") or (name == "open" and plain and not binary):
            found.append(node.lineno)
    return found


def test_files_are_read_and_written_as_utf_8_whatever_the_locale() -> None:
    places = [
        *ROOT.rglob("*.py"),
        *(ROOT.parents[1] / "tools").glob("*.py"),
        *(ROOT.parents[1] / "benchmarks").glob("*.py"),
    ]
    wrong = {
        path.name: lines
        for path in places
        if (lines := texts_without_encoding(ast.parse(path.read_text("utf-8"))))
    }
    assert not wrong
    assert texts_without_encoding(
        ast.parse("open(x); open(x, 'w'); open(x, 'rb'); p.read_text(); p.open()")
    ) == [1, 1, 1]
