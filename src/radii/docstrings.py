"""Docstrings that users read: those of commands and of noises."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any


def docstring(of: Callable[..., Any]) -> str:
    """Return the docstring of a function or a class; empty if there is none.

    `python -OO` leaves docstrings out, and dataclasses then make up others: there it is read from the source.
    """
    if sys.flags.optimize < 2:
        return inspect.getdoc(of) or ""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    except OSError:  # installed without sources
        return ""
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    return ast.get_docstring(node) or ""
