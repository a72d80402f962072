"""Try the first steps of a new user; `make package` runs this by the Python for which radii was installed.

Only the standard library and radii itself are there. Every command runs in an empty folder, far from the source.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

VOTES = Path(__file__).resolve().parents[1] / "results" / "cifar10" / "laplace-0.5" / "votes.parquet"
RADII = Path(sys.executable).parent / "radii"

SNIPPET = """
import sys, radii, numpy as np
assert radii.__file__.startswith(sys.prefix), radii.__file__
assert "torch" not in sys.modules
print(radii.certified_radius(radii.Gaussian(0.25), "l2", np.array([0.9]), shape=(3, 32, 32))[0])
"""

IMAGES = """
import sys, numpy as np
labels = np.arange(100) % 4
noise = np.random.default_rng(0).integers(0, 50, (100, 8, 8))
images = (50 * labels[:, None, None] + noise).astype(np.uint8)
np.savez(sys.argv[1], images=images, labels=labels)
"""


def run(*command: object, status: int = 0) -> str:
    """Return the output of a command, run in an empty folder; exit unless it ends with `status`."""
    # PYTHONPATH could lead to the source in place of the installed package
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # far from the source, which Python would import from the current folder
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [str(part) for part in command], cwd=folder, env=outside, capture_output=True, text=True
        )
    output = ended.stdout + ended.stderr
    if ended.returncode != status:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {ended.returncode}:\n{output}")
    return output


def expect(text: str, output: str) -> None:
    """Exit unless the output contains `text`."""
    if text not in output:
        raise SystemExit(f"expected {text!r} in:\n{output}")


def try_base() -> None:
    """Try the commands that need no extra."""
    expect(f"radii {version('radii')}", run(RADII, "--version"))
    expect(f"radii {version('radii')}", run(sys.executable, "-m", "radii", "--version"))
    expect("0.32038", run(sys.executable, "-c", SNIPPET))
    expect("laplace", run(RADII, "noises"))
    expect("certified top-3 accuracy", run(RADII, "certify", VOTES, "--k", 1, "--k", 3))
    with tempfile.TemporaryDirectory() as folder:
        images, trained = Path(folder) / "images.npz", Path(folder) / "run"
        run(sys.executable, "-c", IMAGES, images)
        run(RADII, "train", "--data", images, "--epochs", 2, "--out", trained)
        run(RADII, "vote", trained, "--n", 100)
        expect("certified accuracy", run(RADII, "certify", trained / "votes.parquet", "--norm", "linf"))
    packages = json.loads(run(RADII, "doctor", "--json"))["packages"]
    print(
        *(f"{package['name']} {package['version']}" for package in packages if package["version"]), sep=", "
    )


def main() -> None:
    """Try the package, with the extra `report` if it is installed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--with-report", action="store_true", help="the extra `report` is installed")
    with_report = parser.parse_args().with_report
    # packages of developers could hide a requirement that is missing
    if find_spec("pytest"):
        raise SystemExit("this environment has more than radii and what it needs")
    # without the extra, the command must name it
    if with_report:
        with tempfile.TemporaryDirectory() as out:
            run(RADII, "report", VOTES, "--no-examples", "--out", out)
            expect("Certified robustness", (Path(out) / "index.html").read_text(encoding="utf-8"))
    else:
        try_base()
        expect("pip install 'radii[report]'", run(RADII, "report", VOTES, "--no-examples", status=2))
    print(
        f"radii {version('radii')} works on Python {sys.version.split()[0]}{' with its report' * with_report}"
    )


if __name__ == "__main__":
    main()
