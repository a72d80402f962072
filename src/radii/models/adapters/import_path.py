"""A model by its name in Python, `package.module:attribute`. Importing it runs its code."""

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
    """Return the object at `package.module:attribute`, or its result if it can be called without arguments.

    Modules are also looked up in the current folder. Raises `InputError` if the import, the attribute or the call
    fails.
    """
    module, _, attribute = name.partition(":")
    with _current_folder():
        value = _imported(module, name)
        for part in attribute.split("."):
            if not hasattr(value, part):
                raise InputError(f"there is no {attribute!r} in the Python module {module}: check {name}")
            value = getattr(value, part)
        if not _is_factory(value):
            return value
        try:
            return value()
        except Exception as error:
            raise InputError(f"calling {name} ends in {type(error).__name__}: {error}") from error


def _imported(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # a missing import inside the module is another mistake than a wrong name of the module
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise InputError(
                f"there is no Python module {error.name}, here or among what is installed: check {name}"
            ) from error
        raise InputError(f"{module} needs {error.name}, which is not installed") from error
    except Exception as error:
        raise InputError(f"importing {module} ends in {type(error).__name__}: {error}") from error


def _is_factory(value: Any) -> bool:
    """Return whether an object can be called without arguments; a model cannot, since it takes images."""
    # a module's __call__ takes any arguments, so its signature tells nothing
    if not callable(value) or isinstance(value, nn.Module):
        return False
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


@contextmanager
def _current_folder() -> Iterator[None]:
    """Let imports find modules in the current folder, which an installed command does not search."""
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before
