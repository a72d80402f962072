"""Class maps: which outputs of a model stand for each class of the data, from Python or from a file."""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from radii.errors import InputError
from radii.models.adapters.outputs import Outputs
from radii.storage.class_names import by_number, first_few, meaning, text_of
from radii.storage.documents import parse_json

MOST_OUTPUTS = 10**6
"""No model has more; a table of larger numbers would not fit into memory."""

FORM = (
    'for example {"cat": [281, 282], "dog": 207}, or a list in the order of the data\'s classes; outputs are numbers '
    "from 0, or names that the model knows"
)


def mapped(given: Any, known: Sequence[str]) -> Outputs:
    """What a class map makes of outputs whose names are `known`, if they are.

    `given`: the outputs of each class of the data, by its name or in the data's order; or the path of a file with
    these. One class may have several outputs, or none; no output stands for two classes.
    """
    file = isinstance(given, str | Path)
    entries, where = (_read(Path(given)), str(given)) if file else (given, "class_map")
    if isinstance(entries, Mapping):
        names, groups = [text_of(name) for name in entries], list(entries.values())
        order = by_number(names) or range(len(names))
        names, groups = [names[place] for place in order], [groups[place] for place in order]
    elif isinstance(entries, Sequence | np.ndarray) and not isinstance(entries, str | bytes):
        names, groups = [], list(entries)
    else:
        raise InputError(f"{where} must give the outputs of each class, {FORM}; got {type(entries).__name__}")
    called = Called(known)
    columns = tuple(tuple(called.place(one, where) for one in _several(group)) for group in groups)
    _check(columns, names, where)
    return Outputs(columns=columns, names=tuple(names), count=len(known) if called.asked else 0)


class Called:
    """The outputs of a model by their names, and whether anybody asked for one by its name."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known, self.asked = known, False
        self._places: dict[Any, list[int]] = {}
        for place, name in enumerate(known):
            for key in {name, meaning(name)}:
                self._places.setdefault(key, []).append(place)

    def place(self, one: Any, where: str) -> int:
        """The number of an output, which is given by its number or by its name."""
        if isinstance(one, int | np.integer) and not isinstance(one, bool):
            place = int(one)
        elif isinstance(one, str):
            place = self._named(one, where)
        else:
            raise InputError(f"{where} must give numbers or names of outputs, {FORM}; got {one!r}")
        if not 0 <= place < MOST_OUTPUTS:
            raise InputError(
                f"{where} must give numbers of outputs from 0 to {MOST_OUTPUTS - 1}; got {one!r}"
            )
        return place

    def _named(self, name: str, where: str) -> int:
        """The output of this name; without such a name, a whole number in text is the number of an output."""
        number = meaning(name)
        places = self._places.get(name) or self._places.get(number)
        if places:
            self.asked = True
            if len(places) == 1:
                return places[0]
            raise InputError(
                f"{where} gives the output {name!r}, but the model has {len(places)} of that name, "
                f"{' and '.join(map(str, places))}: give their numbers"
            )
        if isinstance(number, int):
            return number
        have = f"are called {first_few(self.known)}" if self.known else "have no names: give their numbers"
        raise InputError(
            f"{where} gives the output {name!r}, which the model does not have; its outputs {have}"
        )


def _several(group: Any) -> Sequence[Any]:
    """One output, or a list of them, as a list."""
    single = isinstance(group, str | bytes) or not isinstance(group, Sequence | np.ndarray)
    return [group] if single else group


def _check(columns: tuple[tuple[int, ...], ...], names: Sequence[str], where: str) -> None:
    """Refuse fewer than two classes, an output of two of them, and a name that stands for two."""
    if sum(map(bool, columns)) < 2:
        raise InputError(f"{where} must give outputs to at least two classes, {FORM}")
    times = Counter(place for group in columns for place in group)
    if twice := [place for place, count in times.items() if count > 1]:
        raise InputError(f"{where} must give each output to one class; output {min(twice)} comes twice")
    if len({meaning(name) for name in names}) < len(names):
        raise InputError(f"{where} must name each class once; some of {first_few(names)} come twice")


def _read(path: Path) -> Any:
    """The map in a file: JSON, or lines `class,output,output`, or lines of one output each."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return parse_json(text) if path.suffix.lower() == ".json" else _lines(text)
    except FileNotFoundError:
        raise InputError(f"there is no file {path} with a class map: {FORM}") from None
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"{path} must be a class map, JSON if it is called .json, else one class a line: CLASS,OUTPUT or "
            f"CLASS,OUTPUT,OUTPUT or OUTPUT alone ({error})"
        ) from error


def _lines(text: str) -> Any:
    rows = [row for row in csv.reader(StringIO(text), skipinitialspace=True, strict=True) if row]
    if all(len(row) == 1 for row in rows):
        return [row[0].strip() for row in rows]
    if any(len(row) == 1 for row in rows):
        raise ValueError("some lines have one value, some more")
    entries = {row[0].strip(): [one.strip() for one in row[1:] if one.strip()] for row in rows}
    if len(entries) < len(rows):
        raise ValueError("a class comes twice")
    return entries
