"""Published certified accuracies: NAME.toml in this folder, or a file of your own in the same format."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from radii.errors import InputError, check_name
from radii.noises import NOISES
from radii.noises.norms import NORMS, UNITS
from radii.storage.documents import fits, names_in, parse_number, read_toml, toml_path
from radii.votes.image_identity import ImageIdentity

_SETTING = {"architecture", "extra_data"}
_HOW = ', as on a leaderboard: for example architecture = "ResNet-110" and extra_data = "none"'

HERE = Path(__file__).parent
NAMES = names_in(HERE)


@dataclass(frozen=True)
class Published:
    """Certified accuracies of one method in one norm, as published.

    Parameters
    ----------
    name : of the row
    data : data set and split, for example "cifar10 test"
    norm : of the radii
    accuracy : certified accuracy by radius in image units
    source : where it was published
    architecture : of the network, for example "ResNet-110"; "unknown" if it is
    extra_data : training data beyond the training split, "none" without any
    sigma : standard deviation of the noise; None where the authors chose the best for each radius
    k : the label is certified to stay in the top k
    noise : its name, empty if unknown
    n : noise samples per image, None if unknown
    images : number of test images, None if unknown
    unit : what an l0 radius counts, "feature" or "pixel"
    alpha : error probability per image, 0 without sampling error, None if unknown
    year : of the publication, None if unknown
    bibkey : of the work in a BibTeX file, empty if there is none
    """

    name: str
    data: str
    norm: str
    accuracy: Mapping[float, float]
    source: str
    architecture: str
    extra_data: str
    sigma: float | None
    k: int = 1
    noise: str = ""
    n: int | None = None
    images: int | None = None
    unit: str = "feature"
    alpha: float | None = None
    year: int | None = None
    bibkey: str = ""

    @property
    def note(self) -> str:
        """The source, and the numbers of noise samples and images as far as they are known."""
        samples = f"; {self.n:,} noise samples per image" if self.n else ""
        return self.source + samples + (f"; {self.images:,} images" if self.images else "")


def load_published(name: str | Path) -> list[Published]:
    """Return the published results called `name`, or those of the file NAME.toml.

    Raises `InputError` for a missing file, unknown fields, and accuracies that are not shares or grow with the radius.
    """
    path = toml_path(name, HERE, "set of published results")
    if not path.is_file():
        raise InputError(f"there is no file {path} of published results; radii comes with {', '.join(NAMES)}")
    try:
        document = read_toml(path)
        rows = list(document.pop("row"))
        data = str(document.pop("data"))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no published results: it must be TOML with data and [[row]] ({error})"
        ) from error
    # a misspelt field would otherwise be ignored
    for key in document:
        check_name(f"field in {path.name}", key, ["data", "row"])
    return [_row(path, number, data, row) for number, row in enumerate(rows, 1)]


def of_question(
    published: Sequence[Published], norm: str, k: int, unit: str | None = None
) -> list[Published]:
    """Return the rows of one norm and k, and of one `unit` unless it is None."""
    return [row for row in published if (row.norm, row.k) == (norm, k) and unit in (None, row.unit)]


def check_same_data(published: Sequence[Published], data: ImageIdentity | None) -> None:
    """Raise `InputError` for rows about another data set or split than `data`, that of the certificates."""
    for row in published:
        if data is not None and str(data.whole) != row.data:
            raise InputError(f"the row {row.name!r} is about {row.data}, not about {data}: leave it out")


def _row(path: Path, number: int, data: str, row: Any) -> Published:
    """Return a row of a file; raise `InputError` unless every field has the right type and range."""
    where = f"row {number} of {path.name}"
    if not isinstance(row, dict):
        raise InputError(f"{where} must be a table of fields; got {row!r}")
    _check_fields(where, row)
    check_name(f"norm in {where}", row["norm"], NORMS)
    # other norms have no units to choose
    units = UNITS if row["norm"] == "l0" else ("feature",)
    for key, names in (("noise", NOISES), ("unit", units)):
        if key in row:
            check_name(f"{key} in {where}", row[key], names)
    for key in ("name", "source", "architecture", "extra_data", "bibkey"):
        # line breaks and invisible letters would give a row the looks, or the name, of another
        if key in row and (not isinstance(row[key], str) or not row[key] or not row[key].isprintable()):
            raise InputError(f"{key} in {where} must be text in one line; got {row[key]!r}")
    for key in ("k", "n", "images", "year"):
        if key in row:
            _check_whole(f"{key} in {where}", row[key])
    if "alpha" in row and not (fits(row["alpha"], float) and 0 <= row["alpha"] < 1):
        raise InputError(f"alpha in {where} must be a number from 0 to below 1; got {row['alpha']!r}")
    accuracy, sigma = _accuracy(where, row["accuracy"]), _sigma(where, row["sigma"])
    return Published(data=data, **{**row, "accuracy": accuracy, "sigma": sigma})


def _check_whole(where: str, value: Any) -> None:
    """Raise `InputError` unless a value is a whole number of at least 1."""
    # type() instead of isinstance: true and false are integers in Python
    if type(value) is not int or value < 1:
        raise InputError(f"{where} must be a whole number of at least 1; got {value!r}")


def _check_fields(where: str, row: Mapping[str, Any]) -> None:
    """Raise `InputError` for an unknown field, and for a required one that is missing."""
    # the file states the data once, for all rows
    known = [field for field in fields(Published) if field.name != "data"]
    for key in row:
        check_name(f"field in {where}", key, [field.name for field in known])
    required = [field.name for field in known if field.default is MISSING]
    if row.get("norm") == "l0":
        # papers count pixels or features: a default would be a guess
        required.append("unit")
    # all at once: a file of your own is corrected in one go
    if missing := [key for key in required if key not in row]:
        raise InputError(f"{where} must say its {', '.join(missing)}{_HOW * bool(_SETTING & {*missing})}")


def _sigma(where: str, value: Any) -> float | None:
    """Return the level of the noise, None for "best"."""
    if value == "best":
        return None
    if not fits(value, float) or value <= 0:
        raise InputError(f'sigma in {where} must be a number above 0, or "best"; got {value!r}')
    return float(value)


def _accuracy(where: str, shares: Any) -> Mapping[float, float]:
    """Return shares by radius, in increasing order; in the file, radii are text: "0.5" or "2/255"."""
    # a file of the user's may hold anything in place of a table of numbers
    try:
        ordered = sorted((parse_number(radius), share) for radius, share in shares.items())
        # type() as in `_row`
        valid = [radius >= 0 and type(share) in (int, float) and 0 <= share <= 1 for radius, share in ordered]
    except (AttributeError, TypeError, ValueError, ArithmeticError):
        valid = []
    if not valid or not all(valid):
        raise InputError(
            f'accuracy in {where} must give shares by radius, for example {{ "2/255" = 0.5 }}; got {shares!r}'
        )
    for (near, more), (far, less) in pairwise(ordered):
        # accuracy never grows with the radius: a table that does was mistyped
        if near == far or less > more:
            raise InputError(
                f"accuracy in {where} is {more:g} at {near:g} and {less:g} at {far:g}; "
                "each radius comes once, and a larger one holds no more images"
            )
    # read-only, since several tables and figures share the rows
    return MappingProxyType({radius: float(share) for radius, share in ordered})
