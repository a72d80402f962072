"""Checked documents: JSON that all readers understand alike, and fields of the expected types."""

import json
import math
import re
import sys
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from reprlib import repr as short
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from radii.errors import InputError, check_name
from radii.storage import atomic

WORDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    dict: "names with values",
    NoneType: "nothing",
}
"""What messages call the types."""

MOST_TOML = 2**16
"""Bytes of a TOML file; a recipe has some hundreds, the published results of this package seven thousand."""
PART = r"""(?:[\w-]{1,99}+|"(?:[^"\\\n]|\\.){0,99}+"|'[^'\n]{0,99}+')"""
DEEP_KEY = re.compile(rf"(?<![\w-])(?:{PART}[ \t]*+\.[ \t]*+){{16}}")
"""A key of more than 16 names: time and memory of `tomllib` grow with the square of their number."""


def parse_json(content: str | bytes) -> Any:
    """Return the values of a JSON document.

    Raises `ValueError` for anything else, and for what readers interpret differently: repeated names, NaN and
    infinities, and unpaired surrogates.
    """
    try:
        document = json.loads(content, object_pairs_hook=_unique, parse_constant=_reject_constant)
        # an unpaired surrogate would fail later, when the document is written
        json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        # a thousand brackets are enough
        raise ValueError("values are nested too deeply") from None
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # JSON readers differ: some take the first of equal names, Python the last
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("a name comes twice")
    return document


def _reject_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return the values in a TOML file; raise `ValueError` for anything else, and for what would fill the memory."""
    content = atomic.read(path)
    if len(content) > MOST_TOML:
        raise ValueError(f"it has {len(content)} bytes, more than the {MOST_TOML} allowed")
    text = content.decode()
    if DEEP_KEY.search(text):
        raise ValueError("a key has more than 16 names")
    try:
        document = tomllib.loads(text)
        try:
            json.dumps(document, default=str)
        except ValueError:
            # TOML in base 16 may hold numbers that Python does not print, and no message could show
            raise ValueError("a whole number has more than 4300 digits") from None
    except RecursionError:
        # tomllib reads nested arrays by recursion
        raise ValueError("values are nested too deeply") from None
    return document


def parse_number(text: str) -> float:
    """Return the finite number that `0.5` or `2/255` denotes; raise `ValueError` for anything else.

    Both parts are floats: exact fractions would compute powers of ten like 1e999999999 for hours.
    """
    numerator, slash, denominator = text.partition("/")
    try:
        number = float(numerator) / float(denominator if slash else 1)
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
    remedy: str = "it was damaged or edited, or belongs to something else",
) -> dict[str, Any]:
    """Return the fields of a JSON file about a run, without its `format`, which is at most `newest`.

    Raises `InputError`, which names `path`, for other fields or types than `kinds` and for newer formats. `remedy`:
    the end of the message about a damaged file.
    """
    try:
        if not content.strip():
            raise ValueError("it is empty")
        document = parse_json(content)
        if not isinstance(document, dict) or not fits(document.get("format"), int) or document["format"] < 1:
            raise ValueError("it has no format number")
        # the fields of a newer format are unknown, so the format is compared before they are checked
        if document.pop("format") <= newest:
            check_fields(document, kinds, optional)
            return document
    except ValueError as error:
        raise InputError(f"{path} does not describe a run of radii ({error}): {remedy}") from error
    raise InputError(f"{path} was written by a newer radii; update with pip install -U radii")


def check_fields(document: object, kinds: Mapping[str, Any], optional: tuple[str, ...] = ()) -> None:
    """Raise `InputError` unless a document has exactly the fields of `kinds`, each items type.

    Those in `optional` may be absent.
    """
    if not isinstance(document, dict):
        raise InputError(f"expected fields with values; got {short(document)}")
    # unknown fields are errors: an older version would drop what they mean
    for name in document.keys() - kinds.keys():
        raise InputError(f"there is no field {short(name)}; known: {', '.join(kinds)}")
    for name, kind in kinds.items():
        if name not in document and name not in optional:
            raise InputError(f"the field {name} is missing")
        if name in document and not fits(document[name], kind):
            raise InputError(f"{name} must be {_describe(kind)}; got {short(document[name])}")


def fits(value: object, kind: Any) -> bool:
    """Return whether a plain value is of a type: `bool`, `int`, `float`, `str`, `Any`, None, lists, dicts, unions."""
    outer, inner = get_origin(kind) or kind, get_args(kind)
    if outer is Any:
        return True
    if outer is UnionType:
        return any(fits(value, option) for option in inner)
    if outer in (list, tuple):
        # JSON has lists alone, and plain values that were never written may hold tuples
        return isinstance(value, list | tuple) and all(fits(item, inner[0]) for item in value)
    if outer is dict and inner:
        return isinstance(value, dict) and all(fits(item, inner[1]) for item in value.values())
    if outer is float:
        # whole numbers can exceed all floats; NaN compares as False
        return _is_instance(value, int | float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]
    return _is_instance(value, outer)


def _is_instance(value: object, kind: Any) -> bool:
    # True and False are instances of int
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _describe(kind: Any) -> str:
    outer, inner = get_origin(kind) or kind, get_args(kind)
    if outer is UnionType:
        return " or ".join(map(_describe, inner))
    if outer in (list, tuple):
        return f"a list, each item {_describe(inner[0])}"
    return WORDS[outer] + (f", each value {_describe(inner[1])}" if inner and inner[1] is not Any else "")


def software_versions() -> dict[str, str]:
    """Return the versions of the packages that determine noise samples and logits."""
    versions = {}
    for package in ("radii", "numpy", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return versions


def names_in(folder: Path) -> list[str]:
    """Return the names of the TOML files in a folder, without the suffix."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def toml_path(name: str | Path, folder: Path, what: str) -> Path:
    """Return `folder/NAME.toml`, or `name` itself if it ends in `.toml`, whether or not that file exists.

    Raises `UnknownName` if the folder has no file of this name; the message calls it a `what`.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return path
    return folder / f"{check_name(what, str(name), names_in(folder))}.toml"
