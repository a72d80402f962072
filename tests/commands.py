"""Commands run in this process, as `radii` runs them."""

import contextlib
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from radii.cli import main


def call(*arguments):
    """Run a command in this process: its exit status and what it printed."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["radii", *map(str, arguments)]
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as end,
        ):
            main()
    finally:
        sys.argv = before
    return SimpleNamespace(status=end.value.code, out=out.getvalue(), err=err.getvalue())


def fine(*arguments):
    """What a command that must succeed printed."""
    ended = call(*arguments)
    assert (ended.status, ended.err) == (0, ""), f"status {ended.status}: {ended.err}"
    return ended.out


def tree(folder):
    """All files below a folder, with their content."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
