"""What others published, as plain data: NAME.toml in this folder, or a file of one's own in the same form."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from radii.errors import InputError, check_name
from radii.norms import NORMS

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.toml"))


@dataclass(frozen=True)
class Published:
    """Certified accuracies of one method in one norm, as published: `accuracy` by radius in image units.

    `data`: the data set and split. `sigma`: None where the authors chose the best noise level for each radius.
    `noise`, `n` (draws an image) and `images` as far as they are known.
    """

    name: str
    data: str
    norm: str
    accuracy: Mapping[float, float]
    source: str
    sigma: float | None
    k: int = 1
    noise: str = ""
    n: int | None = None
    images: int | None = None


def load_published(name: str | Path) -> list[Published]:
    """The rows called `name`, or those of the file NAME.toml."""
    path = Path(name)
    if path.suffix != ".toml":
        path = HERE / f"{check_name('set of published results', str(name), NAMES)}.toml"
    if not path.is_file():
        raise InputError(f"there is no file {path} of published results; radii brings {', '.join(NAMES)}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        rows = list(document["row"])
        data = str(document["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no published results: it must be TOML with data and [[row]] ({error})"
        ) from error
    return [_row(path, number, data, row) for number, row in enumerate(rows, 1)]


def of_question(published: Sequence[Published], norm: str, k: int) -> list[Published]:
    """The rows of one norm and k."""
    return [row for row in published if (row.norm, row.k) == (norm, k)]


def check_same_data(published: Sequence[Published], data: str) -> None:
    """Refuse rows that are about other images than the certificates, whose data set `data` describes."""
    for row in published:
        if data and data.split(",")[0] != row.data:
            raise InputError(f"the row {row.name!r} is about {row.data}, not about {data}: leave it out")


def _row(path: Path, number: int, data: str, given: Any) -> Published:
    """One row, checked: every field of the right kind, every accuracy a share."""
    where = f"row {number} of {path.name}"
    if not isinstance(given, dict):
        raise InputError(f"{where} must be a table of fields; got {given!r}")
    known = {one.name: one for one in fields(Published) if one.name != "data"}
    for key in given:
        check_name(f"field in {where}", key, known)
    for key, one in known.items():
        if one.default is MISSING and key not in given:
            raise InputError(f"{where} must say its {key}")
    check_name(f"norm in {where}", given["norm"], NORMS)
    values = {
        **given,
        "accuracy": _accuracies(where, given["accuracy"]),
        "sigma": _sigma(where, given["sigma"]),
    }
    for key in ("k", "n", "images"):
        if key in given and (not isinstance(given[key], int) or given[key] < 1):
            raise InputError(f"{key} in {where} must be a whole number of at least 1; got {given[key]!r}")
    return Published(data=data, **values)


def _sigma(where: str, value: Any) -> float | None:
    if value == "best":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise InputError(f'sigma in {where} must be a number above 0, or "best"; got {value!r}')
    return float(value)


def _accuracies(where: str, given: Any) -> dict[float, float]:
    """Radii such as "0.5" or "2/255", and shares."""
    try:
        found = {float(Fraction(radius)): float(share) for radius, share in given.items()}
    except (AttributeError, TypeError, ValueError, ZeroDivisionError):
        found = {}
    if not found or min(found) < 0 or not 0 <= min(found.values()) <= max(found.values()) <= 1:
        raise InputError(
            f'accuracy in {where} must give shares by radius, for example {{ "2/255" = 0.5 }}; got {given!r}'
        )
    return dict(sorted(found.items()))
