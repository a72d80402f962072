"""Make notebooks/NAME.ipynb from its text, notebooks/NAME.py: run every cell, keep its output.

Run: python tools/notebook.py [SOURCE.py ...]; without one, all. The same votes give the same results.ipynb, byte for
byte, with the same packages.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import jupytext
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from radii.report.export import write_whole

SOURCES = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))
# a history of the cells would outlive the kernel, whose log tells nothing that they do not show
QUIET = ["--HistoryManager.enabled=False", "--log-level=ERROR"]

HANG = 900
"""Seconds after which the start of a kernel, a cell, or its last output counts as hanging, even on a busy machine."""


def read(source: Path) -> NotebookNode:
    """Return the cells of a source, numbered: random names would change with every run."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


def run(source: Path) -> NotebookNode:
    """Return the cells of a source with their output, run in its folder."""
    notebook = read(source)
    limits = dict.fromkeys(("timeout", "startup_timeout", "iopub_timeout"), HANG)
    how = {"extra_arguments": QUIET, "record_timing": False, **limits}
    where = {"metadata": {"path": str(source.parent)}}
    with TemporaryDirectory() as sockets:
        file = str(Path(sockets) / "kernel.json")
        # sockets of files: ports can be taken by another process before the kernel binds them
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=file)
        NotebookClient(notebook, km=kernel, resources=where, **how).execute()
    # the version of Python tells nothing about the results
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def main() -> None:
    for source in map(Path, sys.argv[1:]) if sys.argv[1:] else SOURCES:
        target = source.with_suffix(".ipynb")
        write_whole(target, nbformat.writes(run(source)) + "\n")
        print(f"{source.name}, with its results: {target}")


if __name__ == "__main__":
    main()
