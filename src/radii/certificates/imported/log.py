"""Certification logs in text, as published codes print them: one line per image, with its certified radius.

The layout is that of Cohen et al. 2019, which SmoothAdv, MACER, Consistency, SmoothMix and others print as well: the
columns idx, label, predict, radius, correct and time with tabs between them, predict -1 where the classifier abstains,
and radii with three significant digits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np

from radii.errors import InputError
from radii.votes import ABSTAIN

COLUMNS = ("idx", "label", "predict", "radius", "correct")
"""Columns that a log must have; `time` is passed over."""
TRUTH = {"0": False, "1": True, "0.0": False, "1.0": True, "False": False, "True": True}
"""Spellings of `correct`."""
WHOLE_DIGITS = 12
"""Significant digits from which on a radius counts as written in full. Of numbers of float64 hardly any is shorter, and
what rounding to 12 digits adds is below the rounding errors of radii."""
LONGEST_NUMBER = 40
"""Characters of a number; more are no radius, and exact arithmetic would take long for exponents of many digits."""


@dataclass(frozen=True, eq=False)
class Log:
    """What a log states about each image.

    Parameters
    ----------
    index, true_label, predicted : `(images,)`
        Position in the data set, and labels; `ABSTAIN` where the classifier abstained.
    radius : `(images,)`
        Certified radius, already lowered by what rounding may have added.
    notes
        Sentences about rounding, and about what was passed over.
    """

    index: np.ndarray
    true_label: np.ndarray
    predicted: np.ndarray
    radius: np.ndarray
    notes: tuple[str, ...]


def is_log(text: str) -> bool:
    """Return whether a text is a log of radii, with or without its line of names."""
    first = text.lstrip("\ufeff").split("\n", 1)[0].strip().split("\t")
    return "radius" in first or (len(first) == len(COLUMNS) + 1 and _is_number(first[3]))


def read_log(text: str, path: object, whole: bool = False) -> Log:
    """Return what the lines of a log state; `whole`: radii are whole numbers, as in l0.

    Raises `InputError`, which names `path` and the line, for anything that the layout excludes.
    """
    numbered = [
        (number, line) for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1) if line.strip()
    ]
    names, rows = _split(numbered, path)
    cells = {name: [row[names.index(name)] for _, row in rows] for name in COLUMNS}
    where = [f"line {number} of {path}" for number, _ in rows]
    index, label, predicted = (
        np.array(
            [
                _whole(cell, name, at, ABSTAIN if name == "predict" else 0)
                for cell, at in zip(cells[name], where, strict=True)
            ]
        )
        for name in ("idx", "label", "predict")
    )
    for row, (cell, at) in enumerate(zip(cells["correct"], where, strict=True)):
        if cell not in TRUTH:
            raise InputError(f"correct must be 0 or 1; {at} has {cell!r}")
        if TRUTH[cell] != (label[row] == predicted[row]):
            raise InputError(
                f"{at} says correct = {cell} of label {label[row]} and predict {predicted[row]}: one of them was edited"
            )
    radii = [_decimal(cell, at) for cell, at in zip(cells["radius"], where, strict=True)]
    for row, at in enumerate(where):
        if predicted[row] == ABSTAIN and radii[row]:
            raise InputError(
                f"{at} has the radius {cells['radius'][row]} of an image on which the classifier abstains"
            )
        if whole and radii[row] != int(radii[row]):
            raise InputError(f"l0 radii are whole numbers; {at} has {cells['radius'][row]}")
    radius, rounded = _rounded_down(radii, whole)
    ignored = [name for name in names if name not in (*COLUMNS, "time")]
    notes = [rounded, f"These columns of the log are not used: {', '.join(ignored)}." if ignored else ""]
    return Log(index, label, predicted, radius, tuple(filter(None, notes)))


def _split(
    numbered: Sequence[tuple[int, str]], path: object
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and the cells of each line with its number."""
    if not numbered:
        raise InputError(f"{path} is empty: give a log with the columns {', '.join(COLUMNS)}")
    rows = [(number, [cell.strip() for cell in line.split("\t")]) for number, line in numbered]
    names = [*COLUMNS, "time"]
    if not _is_number(rows[0][1][0]):
        names = rows.pop(0)[1]
        if missing := [name for name in COLUMNS if names.count(name) != 1]:
            raise InputError(
                f"{path} must have one column {missing[0]}, with tabs between columns; its first line is "
                f"{numbered[0][1][:80]!r}"
            )
    if not rows:
        raise InputError(f"{path} has a line of names and no image")
    for number, cells in rows:
        if cells == names:
            raise InputError(
                f"line {number} of {path} names the columns again: these are two logs, of which each is imported alone"
            )
        if len(cells) != len(names):
            raise InputError(
                f"line {number} of {path} has {len(cells)} columns of {len(names)}: "
                "the run was cut short, or the line was edited"
            )
    return names, rows


def _rounded_down(radii: Sequence[Decimal], whole: bool) -> tuple[np.ndarray, str]:
    """Return radii that are not above the ones before rounding, and a sentence about them; "" if none was rounded."""
    shown = [radius.normalize() for radius in _of_float32(radii)]
    units = [_unit_whole(radius) for radius in radii] if whole else _units(shown)
    # half a unit to the nearest, whichever way ties were rounded
    lowered = [
        max(Fraction(radius) - unit / 2, Fraction(0)) for radius, unit in zip(radii, units, strict=True)
    ]
    if whole:
        lowered = [Fraction(math.floor(radius)) for radius in lowered]
    # of a radius in full, the nearest float is the one that was written
    values = np.array(
        [
            _float_below(low) if unit else float(radius)
            for low, unit, radius in zip(lowered, units, radii, strict=True)
        ]
    )
    if not any(units):
        return values, ""
    digits = max(len(radius.as_tuple().digits) for radius, unit in zip(shown, units, strict=True) if unit)
    most = max(Fraction(radius) - low for radius, low in zip(radii, lowered, strict=True))
    return values, (
        f"The log rounds radii to {digits} digit{'s' * (digits > 1)}: each was lowered by half a unit of its last "
        f"digit, by {float(most):.2g} at most."
    )


def _units(shown: Sequence[Decimal]) -> list[Fraction]:
    """Return the unit of the last digit to which each radius was rounded; 0 for those written in full.

    Nothing in a log says how it was rounded. Of those that are not written in full, the number of significant digits is
    the largest of any, and so is that of decimals; of the two, the coarser counts, since trailing zeros may be dropped.
    """
    rounded = [radius for radius in shown if radius and len(radius.as_tuple().digits) < WHOLE_DIGITS]
    digits = max((len(radius.as_tuple().digits) for radius in rounded), default=0)
    places = max((-_exponent(radius) for radius in rounded), default=0)
    return [
        max(Fraction(10) ** (radius.adjusted() - digits + 1), Fraction(10) ** -places)
        if radius and len(radius.as_tuple().digits) < WHOLE_DIGITS
        else Fraction(0)
        for radius in shown
    ]


def _unit_whole(radius: Decimal) -> Fraction:
    """Return the unit of the last digit of a whole number: more than 1 only where it is written with an exponent."""
    exponent = radius.as_tuple().exponent
    assert isinstance(exponent, int)
    return Fraction(10) ** exponent if radius and exponent > 0 else Fraction(0)


def _of_float32(radii: Sequence[Decimal]) -> list[Decimal]:
    """Return radii with the digits of float32, if all are such numbers, which float64 writes with many more."""
    values = np.array([float(radius) for radius in radii])
    with np.errstate(over="ignore", under="ignore"):
        single = values.astype(np.float32)
    return [Decimal(str(value)) for value in single] if np.array_equal(single, values) else [*radii]


def _exponent(radius: Decimal) -> int:
    """Return the power of ten of the last digit that is not a trailing zero."""
    exponent = radius.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def _float_below(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def _whole(cell: str, name: str, at: str, least: int) -> int:
    # no float: 3.7 would be cut; some codes print labels of tensors as 3.0
    text = cell.removesuffix(".0")
    if not (text.lstrip("-").isdigit() and text.isascii() and len(text) <= 18 and int(text) >= least):
        also = ", or -1 where the classifier abstains" if least == ABSTAIN else ""
        raise InputError(f"{name} must be a whole number from 0{also}; {at} has {cell[:LONGEST_NUMBER]!r}")
    return int(text)


def _decimal(cell: str, at: str) -> Decimal:
    """Return a radius with the digits that it was written with."""
    try:
        radius = Decimal(cell if len(cell) <= LONGEST_NUMBER and "_" not in cell else "nan")
    except InvalidOperation:
        radius = Decimal("nan")
    # the exponent is checked before any arithmetic with fractions, which would fill the memory
    if not radius.is_finite() or radius < 0 or not -400 < radius.adjusted() < 300:
        raise InputError(f"a radius is a finite number of at least 0; {at} has {cell[:LONGEST_NUMBER]!r}")
    return radius


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
