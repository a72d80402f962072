"""Plain values from outside: JSON without surprises, and fields that are of the kinds they must be."""

import json
import math
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from reprlib import repr as short
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from radii.errors import InputError, check_name

WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    dict: "names with values",
    NoneType: "nothing",
}


def parse_json(content: str | bytes) -> Any:
    """The values that some JSON stands for.

    Guarantee: `ValueError` for anything else, and for what readers understand differently: names that come twice,
    numbers that are none, characters that are none.
    """
    try:
        document = json.loads(content, object_pairs_hook=_unique, parse_constant=_no_number)
        # a lone half of a pair is no character: whoever writes it down later would fail
        json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("values are nested too deeply") from None
    return document


def parse_number(text: str) -> float:
    """The finite number that `0.5` or `2/255` means; `ValueError` for anything else.

    Without powers of ten that only a fraction could hold: they take for ever.
    """
    above, slash, below = text.partition("/")
    try:
        number = float(above) / float(below if slash else 1)
    except (ZeroDivisionError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"not a finite number: {text}")
    return number


def read_document(
    content: bytes,
    path: object,
    newest: int,
    kinds: Mapping[str, Any],
    optional: tuple[str, ...] = (),
    remedy: str = "it was damaged or edited, or is of something else",
) -> dict[str, Any]:
    """The fields of a JSON file about a run, all but its `format`, which is at most `newest`.

    Errors name `path`, and say what to do if it is damaged: the `remedy`.
    """
    try:
        if not content.strip():
            raise ValueError("it is empty")
        document = parse_json(content)
        if not isinstance(document, dict) or not fits(document.get("format"), int) or document["format"] < 1:
            raise ValueError("it has no number of its format")
        if document.pop("format") <= newest:
            check_fields(document, kinds, optional)
            return document
    except ValueError as error:
        raise InputError(f"{path} does not describe a run of radii ({error}): {remedy}") from error
    raise InputError(f"{path} was written by a newer radii; update with pip install -U radii")


def fits(value: object, kind: Any) -> bool:
    """Whether a plain value is of a kind: `bool`, `int`, `float`, `str`, `Any`, None, lists, dicts and unions."""
    outer, inner = get_origin(kind) or kind, get_args(kind)
    if outer is Any:
        return True
    if outer is UnionType:
        return any(fits(value, one) for one in inner)
    if outer in (list, tuple):
        return isinstance(value, list | tuple) and all(fits(one, inner[0]) for one in value)
    if outer is dict and inner:
        return isinstance(value, dict) and all(fits(one, inner[1]) for one in value.values())
    if outer is float:
        # a whole number may be beyond all floats, and NaN is in no range
        return _is(value, int | float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
    return _is(value, outer)


def check_fields(given: object, kinds: Mapping[str, Any], optional: tuple[str, ...] = ()) -> None:
    """Refuse a document that has not exactly these fields, each of its kind; `optional` ones may be absent."""
    if not isinstance(given, dict):
        raise InputError(f"expected fields with values; got {short(given)}")
    for name in given.keys() - kinds.keys():
        raise InputError(f"there is no field {short(name)}; known: {', '.join(kinds)}")
    for name, kind in kinds.items():
        if name not in given and name not in optional:
            raise InputError(f"the field {name} is missing")
        if name in given and not fits(given[name], kind):
            raise InputError(f"{name} must be {_words(kind)}; got {short(given[name])}")


def _words(kind: Any) -> str:
    outer, inner = get_origin(kind) or kind, get_args(kind)
    if outer is UnionType:
        return " or ".join(map(_words, inner))
    if outer in (list, tuple):
        return f"a list, each of it {_words(inner[0])}"
    return WORDS[outer] + (f", each of it {_words(inner[1])}" if inner and inner[1] is not Any else "")


def _is(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a name comes twice")
    return document


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def software_versions() -> dict[str, str]:
    """Versions of the packages that decide what is drawn and what the model answers."""
    versions = {}
    for package in ("radii", "numpy", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return versions


def names_in(folder: Path) -> list[str]:
    """The names of the TOML files of a folder."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def toml_path(name: str | Path, folder: Path, what: str) -> Path:
    """NAME.toml in `folder`, or `name` itself where it ends so, whether or not it is there; `what` it should be."""
    path = Path(name)
    if path.suffix == ".toml":
        return path
    return folder / f"{check_name(what, str(name), names_in(folder))}.toml"
