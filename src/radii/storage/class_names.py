"""Class names: the order that numbers the labels, and matching of the names of two sets."""

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from radii.errors import InputError

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
MOST_LETTERS = 100
"""Characters of a number; Python rejects whole numbers of thousands of digits."""
SHOWN = 3
"""Names that a message lists."""


def text_of(name: Any) -> str:
    """Return a class name as text: `3`, `1.0`, `cat`."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def number_of(name: str) -> int | float | None:
    """Return a name as a finite number, None if it is not one; whole numbers of any size are exact."""
    if len(name) > MOST_LETTERS or not (match := NUMBER.fullmatch(name)):
        return None
    # a float would make two whole numbers above 2^53 equal
    number = int(name) if match[2] is None and match[3] is None and "." not in name else float(name)
    return number if abs(number) < float("inf") else None


def meaning(name: str) -> int | float | str:
    """Return the key that names are compared by: the number, so that `1`, `01` and `1.0` are equal, else the text."""
    number = number_of(name)
    return name if number is None else number


def by_number(names: Sequence[str]) -> list[int] | None:
    """Return the positions of the names in the order of their numbers; None unless all are different numbers."""
    # names that are not numbers, and equal numbers such as 1 and 01, both leave fewer numbers than names
    numbers = [number for name in names if (number := number_of(name)) is not None]
    if len(set(numbers)) < len(names):
        return None
    return sorted(range(len(names)), key=numbers.__getitem__)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return class names, each once, in the order that numbers the labels.

    Names that are all different numbers are ordered by size, 2 before 10. All others are ordered as text.
    """
    unique = sorted(set(names))
    order = by_number(unique)
    return tuple(unique if order is None else (unique[position] for position in order))


def are_counted(names: Sequence[str]) -> bool:
    """Return whether the names are 0, 1, 2, ... in this order, and so add nothing to the positions."""
    return all(meaning(name) == position for position, name in enumerate(names))


def find_positions(names: Sequence[str], known: Sequence[str]) -> list[int] | None:
    """Return the position of each name among `known`: all by their text or, if that fails, all by their number.

    None if a name is not among them, or if two names or two known ones are equal.
    """
    # the text first: where a model has both 1 and 01, their numbers would be equal
    keys: tuple[Any, ...] = (str, meaning)
    for key in keys:
        positions = {key(name): position for position, name in enumerate(known)}
        wanted = [key(name) for name in names]
        if (
            len(positions) == len(known)
            and len(set(wanted)) == len(names)
            and positions.keys() >= set(wanted)
        ):
            return [positions[name] for name in wanted]
    return None


def match(names: Sequence[str], known: Sequence[str], data: str) -> list[int]:
    """Return the position of each name among the `known` names of a model.

    Raises `InputError` unless both are the same set; the message names the images by `data`.
    """
    positions = find_positions(names, known)
    if positions is not None and len(known) == len(names):
        return positions
    of_model = first_few(without(known, names))
    of_data = first_few(without(names, known))
    parts = [f"only the model has {of_model}"] if of_model else []
    parts += [f"only {data} has {of_data}"] if of_data else []
    raise InputError(
        f"the model and {data} must have the same classes, but {' and '.join(parts) or 'some names come twice'}: give "
        "images of the model's classes, or say which of its outputs each class is, class_map= or --class-map FILE"
    )


def without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return the names that equal none of the others."""
    excluded: set[Hashable] = {meaning(name) for name in others}
    return [name for name in names if meaning(name) not in excluded]


def first_few(names: Sequence[str]) -> str:
    """Return the first names as text, and how many more there are."""
    listed = ", ".join(map(repr, names[:SHOWN]))
    return f"{listed} and {len(names) - SHOWN} more" if len(names) > SHOWN else listed
