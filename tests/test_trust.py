"""What comes from outside is never run: no unpickling, no evaluation, no unpacking by an archive's own names."""

import ast
from pathlib import Path

import pytest

import radii

FILES = sorted(Path(radii.__file__).parent.rglob("*.py"))
MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"extract", "extractall", "unpack_archive", "system", "popen"}


def dangers(source: str) -> list[str]:
    """What would run or unpack what it is given."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names if one.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found += danger_of(node)
    return found


def danger_of(call: ast.Call) -> list[str]:
    named = {one.arg: ast.unparse(one.value) for one in call.keywords}
    whole = ast.unparse(call.func)
    if isinstance(call.func, ast.Name):
        return [whole] if whole in CALLS else []
    last = whole.rpartition(".")[2]
    safe = {
        "torch.load": named.get("weights_only") == "True",
        "np.load": named.get("allow_pickle", "False") == "False",
    }
    # this filter keeps an archive within its folder, and refuses devices and links that lead out
    kept_in = last in ("extract", "extractall") and named.get("filter") == "'data'"
    wrong = (
        (last in METHODS and not kept_in)
        or not safe.get(whole, True)
        or named.get("shell", "False") != "False"
    )
    return [whole] if wrong else []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_from_outside_is_run(path: Path) -> None:
    assert dangers(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "def f(x): return eval(x)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "tarfile.open(path).extractall(folder)",
        "shutil.unpack_archive(path)",
        "subprocess.run(line, shell=True)",
        "os.system(line)",
    ],
)
def test_and_the_test_would_see_it(source: str) -> None:
    assert dangers(source)


def test_what_is_safe_is_let_through() -> None:
    assert not dangers(
        "torch.load(p, weights_only=True); np.load(p); re.compile(p); torch.compile(m); model.eval()"
    )
