"""Print how the package is laid out, in numbers: python tools/structure.py."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "radii"
FILES = [path for path in sorted(SOURCE.rglob("*.py")) if "__pycache__" not in path.parts]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
PLANS = SOURCE / "votes" / "plans"
MIDDLE = "(low + high) / 2"


def entry(path: Path) -> str:
    """Return the entry of the package that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def entries() -> set[str]:
    """Return the files and folders at the top of the package, without its own `__init__` and `__main__`."""
    return {entry(path) for path in FILES} - {"__init__", "__main__"}


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the modules of the package that a file imports, at its top or within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "radii":
            names = (
                [node.module or ""]
                if node.module != "radii"
                else [f"radii.{alias.name}" for alias in node.names]
            )
            yield from names
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("radii."))


def arrows() -> set[tuple[str, str]]:
    """Return the pairs of entries of which the first imports the second."""
    known = entries()
    pairs = {
        (entry(path), name.split(".")[1])
        for path, tree in TREES.items()
        for name in imported(tree)
        if "." in name
    }
    return {
        (importer, other) for importer, other in pairs if importer != other and {importer, other} <= known
    }


def arguments(function: ast.FunctionDef) -> int:
    """Return the number of arguments of a function, without self."""
    arguments = function.args
    named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")])


def tests_on_plans() -> int:
    """Return the number of isinstance tests on plans outside their package."""
    kinds = {"Anytime", "Exhaustive", "Fixed", "Looking", "Plan", "Sequential", "TopK", "TwoStage"}
    return sum(
        isinstance(node, ast.Call)
        and ast.unparse(node.func) == "isinstance"
        and bool(kinds & {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)})
        for path, tree in TREES.items()
        if PLANS not in path.parents
        for node in ast.walk(tree)
    )


def bisections() -> int:
    """Return the number of modules that halve brackets."""
    return sum(
        any(
            isinstance(node, ast.While | ast.For)
            and any(half in ast.unparse(node) for half in (MIDDLE, "// 2\n"))
            for node in ast.walk(tree)
        )
        for tree in TREES.values()
    )


def kinds_of_lines() -> dict[str, int]:
    """Return the lines of code, docstrings (those of constants too), comments and blank lines."""
    # by the syntax tree: a string in a statement of its own is documentation, wherever it stands
    counts = dict.fromkeys(("code", "docstring", "comment", "blank"), 0)
    for path, tree in TREES.items():
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        texts = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ]
        inside = {at for text in texts for at in range(text.lineno, (text.end_lineno or 0) + 1)}
        for number, line in enumerate(lines, 1):
            kind = "comment" if line.startswith("#") else "code" if line else "blank"
            counts["docstring" if number in inside else kind] += 1
    return counts


def rows() -> Iterator[tuple[str, str]]:
    """Yield the measures, each with its number."""
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in FILES]
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    functions = [
        node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    ]
    widest = max(functions, key=arguments)
    yield "entries under src/radii", str(len(entries()))
    yield "arrows between them", str(len(arrows()))
    yield "most arguments of a function", f"{arguments(widest)} ({widest.name})"
    yield "isinstance tests on plans outside votes/plans", str(tests_on_plans())
    yield "modules that halve brackets", str(bisections())
    yield "lines per file, median; modules", f"{median(lengths):.0f}; {len(FILES)}"
    yield "lines under src", f"{sum(lengths):,}"
    yield "of these", ", ".join(f"{count:,} {kind}" for kind, count in kinds_of_lines().items())
    yield "README", f"{len(readme)} lines of at most {max(map(len, readme))} columns"


if __name__ == "__main__":
    print("| | now |\n|---|---|")
    for measure, number in rows():
        print(f"| {measure} | {number} |")
