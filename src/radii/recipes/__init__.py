"""Recipes as plain data: NAME.toml in this folder, or a file of one's own, each line a field of `Recipe`."""

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from radii.errors import InputError, check_name
from radii.named import names_in, toml_path
from radii.runs import Recipe

HERE = Path(__file__).parent
NAMES = names_in(HERE)


def read_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe called `name`, or that of the file NAME.toml, with changes; None leaves a field as it is.

    Options of the method are changed one by one; another method starts with its usual ones.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    document = _read(name)
    if given.get("loss", document.get("loss")) != document.get("loss"):
        document.pop("options", None)
    for key, value in document.items():
        if key == "options" and isinstance(value, dict):
            given[key] = value | given.get(key, {})
        given.setdefault(key, value)
    for key in ("data", "model"):
        if key not in given:
            raise InputError(f"the recipe {name} must say which {key}")
    return Recipe(**given)


def _read(name: str) -> dict[str, Any]:
    path = toml_path(name, HERE, "recipe")
    if not path.is_file():
        raise InputError(f"the recipe {path} does not exist; there are also {', '.join(NAMES)}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of TOML, or of the encoding
        raise InputError(f"{path} is no recipe: {error}") from error
    for key in document:
        check_name(f"field in {path.name}", key, [one.name for one in fields(Recipe)])
    return document
