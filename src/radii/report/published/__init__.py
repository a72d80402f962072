"""What others published, as plain data: NAME.toml in this folder, or a file of one's own in the same form."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from radii.errors import InputError, check_name
from radii.noises import NOISES
from radii.noises.norms import NORMS, UNITS
from radii.storage.documents import fits, names_in, parse_number, toml_path
from radii.votes.image_identity import ImageIdentity

HERE = Path(__file__).parent
NAMES = names_in(HERE)


@dataclass(frozen=True)
class Published:
    """Certified accuracies of one method in one norm, as published: `accuracy` by radius in image units.

    `data`: the data set and split. `sigma`: None where the authors chose the best noise level for each radius.
    `noise`, `n` (draws an image) and `images` as far as they are known. `unit`: what an l0 radius counts.
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
    unit: str = "feature"

    @property
    def note(self) -> str:
        """Where the row is from, and what it rests on as far as that is known."""
        draws = f"; {self.n:,} draws an image" if self.n else ""
        return self.source + draws + (f"; {self.images:,} images" if self.images else "")


def load_published(name: str | Path) -> list[Published]:
    """The rows called `name`, or those of the file NAME.toml."""
    path = toml_path(name, HERE, "set of published results")
    if not path.is_file():
        raise InputError(f"there is no file {path} of published results; radii brings {', '.join(NAMES)}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        rows = list(document.pop("row"))
        data = str(document.pop("data"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path} holds no published results: it must be TOML with data and [[row]] ({error})"
        ) from error
    for key in document:
        check_name(f"field in {path.name}", key, ["data", "row"])
    return [_row(path, number, data, row) for number, row in enumerate(rows, 1)]


def of_question(
    published: Sequence[Published], norm: str, k: int, unit: str | None = None
) -> list[Published]:
    """The rows of one norm and k, and, if it is given, of one `unit`."""
    return [row for row in published if (row.norm, row.k) == (norm, k) and unit in (None, row.unit)]


def check_same_data(published: Sequence[Published], data: ImageIdentity | None) -> None:
    """Raise `InputError` for rows about other images than the certificates, which are about `data`."""
    for row in published:
        if data is not None and str(data.whole) != row.data:
            raise InputError(f"the row {row.name!r} is about {row.data}, not about {data}: leave it out")


def _row(path: Path, number: int, data: str, given: Any) -> Published:
    """One row, checked: every field of the right kind, every accuracy a share."""
    where = f"row {number} of {path.name}"
    if not isinstance(given, dict):
        raise InputError(f"{where} must be a table of fields; got {given!r}")
    _check_fields(where, given)
    check_name(f"norm in {where}", given["norm"], NORMS)
    units = UNITS if given["norm"] == "l0" else ("feature",)
    for key, names in (("noise", NOISES), ("unit", units)):
        if key in given:
            check_name(f"{key} in {where}", given[key], names)
    for key in ("name", "source"):
        if not isinstance(given[key], str) or not given[key]:
            raise InputError(f"{key} in {where} must be text; got {given[key]!r}")
    for key in ("k", "n", "images"):
        if key in given and (type(given[key]) is not int or given[key] < 1):
            raise InputError(f"{key} in {where} must be a whole number of at least 1; got {given[key]!r}")
    accuracy, sigma = _accuracies(where, given["accuracy"]), _sigma(where, given["sigma"])
    return Published(data=data, **{**given, "accuracy": accuracy, "sigma": sigma})


def _check_fields(where: str, given: Mapping[str, Any]) -> None:
    """Fields that are known, and among them those that every row must have."""
    known = [one for one in fields(Published) if one.name != "data"]
    for key in given:
        check_name(f"field in {where}", key, [one.name for one in known])
    needed = [one.name for one in known if one.default is MISSING]
    if given.get("norm") == "l0":
        needed.append("unit")  # published radii count pixels or features, and nobody can guess which
    for key in needed:
        if key not in given:
            raise InputError(f"{where} must say its {key}")


def _sigma(where: str, value: Any) -> float | None:
    if value == "best":
        return None
    if not fits(value, float) or value <= 0:
        raise InputError(f'sigma in {where} must be a number above 0, or "best"; got {value!r}')
    return float(value)


def _accuracies(where: str, given: Any) -> Mapping[float, float]:
    """Radii such as "0.5" or "2/255", and shares."""
    try:
        found = sorted((parse_number(radius), share) for radius, share in given.items())
        fit = [radius >= 0 and type(share) in (int, float) and 0 <= share <= 1 for radius, share in found]
    except (AttributeError, TypeError, ValueError, ArithmeticError):
        fit = []
    if not fit or not all(fit):
        raise InputError(
            f'accuracy in {where} must give shares by radius, for example {{ "2/255" = 0.5 }}; got {given!r}'
        )
    for (near, more), (far, less) in pairwise(found):
        if near == far or less > more:
            raise InputError(
                f"accuracy in {where} is {more:g} at {near:g} and {less:g} at {far:g}; "
                "each radius comes once, and a larger one holds no more images"
            )
    return MappingProxyType({radius: float(share) for radius, share in found})
