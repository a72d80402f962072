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
from radii.storage.atomic import openable
from radii.storage.class_names import by_number, first_few, meaning, text_of
from radii.storage.documents import parse_json

MOST_OUTPUTS = 10**6
"""Upper limit on the number of an output: far above any model, and small enough for a tensor of indices."""

FORM = (
    'for example {"cat": [281, 282], "dog": 207}, or a list in the order of the data\'s classes; outputs are numbers '
    "from 0, or class names of the model"
)


def read_class_map(class_map: Any, known: Sequence[str]) -> Outputs:
    """Return the outputs that a class map selects from a model whose outputs have the names `known`, if any.

    `class_map`: the outputs of each class of the data, by class name or in the order of the classes, or the path of a
    file that contains them. A class may have several outputs, or none. Raises `InputError` for a malformed map.
    """
    is_file = isinstance(class_map, str | Path)
    entries, where = (_read(Path(class_map)), str(class_map)) if is_file else (class_map, "class_map")
    if isinstance(entries, Mapping):
        names, groups = [text_of(name) for name in entries], list(entries.values())
        # numbers come by size, as labels count them
        order = by_number(names) or range(len(names))
        names, groups = [names[row] for row in order], [groups[row] for row in order]
    elif isinstance(entries, Sequence | np.ndarray) and not isinstance(entries, str | bytes):
        names, groups = [], list(entries)
    else:
        raise InputError(f"{where} must give the outputs of each class, {FORM}; got {type(entries).__name__}")
    outputs = OutputNames(known)
    columns = tuple(tuple(outputs.column(output, where) for output in _as_list(group)) for group in groups)
    _check(columns, names, where)
    # names are only right for a model with as many outputs; numbers are right for any model that has them
    return Outputs(columns=columns, names=tuple(names), count=len(known) if outputs.by_name else 0)


class OutputNames:
    """Names of a model's outputs, and whether any output was selected by its name, `by_name`."""

    def __init__(self, known: Sequence[str]) -> None:
        self.known, self.by_name = known, False
        self._columns: dict[Any, list[int]] = {}
        # by text and by number: 1, 01 and 1.0 are the same class
        for column, name in enumerate(known):
            for key in {name, meaning(name)}:
                self._columns.setdefault(key, []).append(column)

    def column(self, output: Any, where: str) -> int:
        """Return the number of an output that is given by number or by name."""
        if isinstance(output, int | np.integer) and not isinstance(output, bool):  # True is an int in Python
            column = int(output)
        elif isinstance(output, str):
            column = self._named(output, where)
        else:
            raise InputError(f"{where} must give numbers or names of outputs, {FORM}; got {output!r}")
        if not 0 <= column < MOST_OUTPUTS:
            raise InputError(
                f"{where} must give numbers of outputs from 0 to {MOST_OUTPUTS - 1}; got {output!r}"
            )
        return column

    def _named(self, name: str, where: str) -> int:
        """Return the output with this name, or the number in the text if no output has the name."""
        number = meaning(name)
        # the text first: in a model with the names 1 and 01, each is found by its own
        columns = self._columns.get(name) or self._columns.get(number)
        if columns:
            self.by_name = True
            if len(columns) == 1:
                return columns[0]
            raise InputError(
                f"{where} gives the output {name!r}, but the model has {len(columns)} of that name, "
                f"{' and '.join(map(str, columns))}: give their numbers"
            )
        if isinstance(number, int):
            return number
        have = f"are called {first_few(self.known)}" if self.known else "have no names: give their numbers"
        raise InputError(
            f"{where} gives the output {name!r}, which the model does not have; its outputs {have}"
        )


def _as_list(group: Any) -> Sequence[Any]:
    """Return one output or several as a list."""
    # text is a sequence of letters in Python
    single = isinstance(group, str | bytes) or not isinstance(group, Sequence | np.ndarray)
    return [group] if single else group


def _check(columns: tuple[tuple[int, ...], ...], names: Sequence[str], where: str) -> None:
    """Raise `InputError` for fewer than two classes with outputs, and for an output or a name that comes twice."""
    # a class without outputs never wins, so with one left every image would be of that class, at any radius
    if sum(map(bool, columns)) < 2:
        raise InputError(f"{where} must give outputs to at least two classes, {FORM}")
    # where one output stands for two classes and is the largest of both, they tie
    times = Counter(column for group in columns for column in group)
    if twice := [column for column, count in times.items() if count > 1]:
        raise InputError(f"{where} must give each output to one class; output {min(twice)} comes twice")
    if len({meaning(name) for name in names}) < len(names):
        raise InputError(f"{where} must name each class once; some of {first_few(names)} come twice")


def _read(path: Path) -> Any:
    """Return the map in a file: JSON, lines `class,output,output`, or lines of one output each."""
    try:
        # spreadsheets on Windows begin UTF-8 files with a byte order mark
        text = openable(path).read_text(encoding="utf-8-sig")
        return parse_json(text) if path.suffix.lower() == ".json" else _lines(text)
    except FileNotFoundError:
        raise InputError(f"there is no file {path} with a class map: {FORM}") from None
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"{path} must be a class map, JSON if it is called .json, else one class per line: CLASS,OUTPUT or "
            f"CLASS,OUTPUT,OUTPUT or OUTPUT alone ({error})"
        ) from error


def _lines(text: str) -> list[str] | dict[str, list[str]]:
    # strict: a quote that is never closed would take all further lines for one value
    rows = [row for row in csv.reader(StringIO(text), skipinitialspace=True, strict=True) if row]
    if all(len(row) == 1 for row in rows):
        return [row[0].strip() for row in rows]
    if any(len(row) == 1 for row in rows):
        raise ValueError("some lines have one value, some more")
    entries = {row[0].strip(): [output.strip() for output in row[1:] if output.strip()] for row in rows}
    if len(entries) < len(rows):
        raise ValueError("a class comes twice")
    return entries
