"""Names of classes: the order in which they are counted, and which names of two sets mean the same class."""

import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from radii.errors import InputError

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
MOST_LETTERS = 100
"""Of a number; Python refuses to read whole numbers of thousands of digits."""
SHOWN = 3
"""Names of each kind in a sentence."""


def text_of(name: Any) -> str:
    """A class name as text: `3`, `1.0`, `cat`."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def number_of(name: str) -> int | float | None:
    """The finite number that a name is, or None; whole numbers of any size are exact."""
    if len(name) > MOST_LETTERS or not (found := NUMBER.fullmatch(name)):
        return None
    number = int(name) if found[2] is None and found[3] is None and "." not in name else float(name)
    return number if abs(number) < float("inf") else None


def meaning(name: str) -> int | float | str:
    """What a name is compared by: its number, so that `1`, `01` and `1.0` are the same class, else its text."""
    number = number_of(name)
    return name if number is None else number


def by_number(names: Sequence[str]) -> list[int] | None:
    """Positions of the names in the order of their numbers; None unless all are numbers, and no two the same one."""
    numbers = [number for name in names if (number := number_of(name)) is not None]
    if len(set(numbers)) < len(names):
        return None
    return sorted(range(len(names)), key=numbers.__getitem__)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Class names, each once, in the order in which labels count them.

    Numbers come by size: 2 before 10. Names that are not all different numbers come as text.
    """
    known = sorted(set(names))
    order = by_number(known)
    return tuple(known if order is None else (known[place] for place in order))


def are_counted(names: Sequence[str]) -> bool:
    """Whether the names are 0, 1, 2, ... in this order, so that they say no more than positions do."""
    return all(meaning(name) == place for place, name in enumerate(names))


def find_places(names: Sequence[str], known: Sequence[str]) -> list[int] | None:
    """The position among `known` of each of the `names`: that of the same text, else of the same number.

    None if a name is not among them, or if a name means two classes.
    """
    keys: tuple[Any, ...] = (str, meaning)
    for key in keys:
        place = {key(name): number for number, name in enumerate(known)}
        wanted = [key(name) for name in names]
        if len(place) == len(known) and len(set(wanted)) == len(names) and place.keys() >= set(wanted):
            return [place[one] for one in wanted]
    return None


def match(names: Sequence[str], known: Sequence[str], data: str) -> list[int]:
    """The position among the model's `known` names of each name of the `data`, which must be the same set of names."""
    places = find_places(names, known)
    if places is not None and len(known) == len(names):
        return places
    ours = few(without(known, names))
    theirs = few(without(names, known))
    parts = [f"only the model has {ours}"] if ours else []
    parts += [f"only {data} has {theirs}"] if theirs else []
    raise InputError(
        f"the model and {data} must have the same classes, but {' and '.join(parts) or 'some names come twice'}: give "
        "images of the model's classes, or say which of its outputs each class is, class_map= or --class-map FILE"
    )


def without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Those of the names that mean none of the others."""
    there: set[Hashable] = {meaning(name) for name in others}
    return [name for name in names if meaning(name) not in there]


def few(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    shown = ", ".join(map(repr, names[:SHOWN]))
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
