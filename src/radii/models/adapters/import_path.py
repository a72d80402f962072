"""A model by its name in Python, `package.module:attribute`: code of the user, run because he asks for it."""

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from radii.errors import InputError


def load_attribute(name: str) -> Any:
    """What `package.module:attribute` is, or what it makes if it is called without arguments.

    Modules in the current folder are found, too.
    """
    module, _, attribute = name.partition(":")
    with _current_folder():
        found = _imported(module, name)
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise InputError(f"there is no {attribute!r} in the Python module {module}: check {name}")
            found = getattr(found, part)
        return _run(found, name) if _is_factory(found) else found


def _imported(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise InputError(
                f"there is no Python module {error.name}, here or among what is installed: check {name}"
            ) from error
        raise InputError(f"{module} needs {error.name}, which is not installed") from error
    except Exception as error:
        raise InputError(f"importing {module} ends in {type(error).__name__}: {error}") from error


def _run(factory: Any, name: str) -> Any:
    try:
        return factory()
    except Exception as error:
        raise InputError(f"calling {name} ends in {type(error).__name__}: {error}") from error


def _is_factory(found: Any) -> bool:
    """Whether it can be called without arguments; a model needs images."""
    if not callable(found) or isinstance(found, nn.Module):
        return False
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True


@contextmanager
def _current_folder() -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before
