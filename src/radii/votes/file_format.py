"""What votes look like in a file: columns of whole numbers, and a header of plain values.

Few classes: lists `counts` and `selection` of one number a class. Many: only classes with votes, in lists
`counts_class` and `counts`, and so for `selection`.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from reprlib import repr as short
from typing import TYPE_CHECKING, Any

import numpy as np

from radii.errors import InputError, check_name
from radii.noises import NOISES, Noise
from radii.storage import parquet
from radii.storage.documents import check_fields, fits
from radii.storage.folders import read_file
from radii.storage.parquet import Columns, Lists
from radii.votes.image_identity import ImageIdentity, parse_identity
from radii.votes.plans import PLANS, Decision, Plan
from radii.votes.record import (
    Votes,
)


def load_votes(path: str | Path) -> Votes:
    """Load the votes that `Votes.save` wrote.

    Parameters
    ----------
    path
        A local file, or the address of an object in a store.

    Returns
    -------
    Votes
        The votes.

    Raises
    ------
    InputError
        If the file is missing, damaged, edited or of another kind.

    Notes
    -----
    Guarantee: the same votes, bit for bit; a damaged, edited or foreign file is an error.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np, radii
    >>> votes = radii.Votes(
    ...     counts=np.array([[990, 10]]), selection=np.array([[98, 2]]), labels=np.array([0]),
    ...     index=np.array([0]), noise=radii.Gaussian(sigma=0.25), shape=(3, 32, 32),
    ...     plan=radii.fixed(1000), draws=((0, 1000),), seed=0, model="none")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     votes.save(f"{folder}/votes.parquet")
    ...     radii.load_votes(f"{folder}/votes.parquet").counts
    array([[990,  10]])
    """
    return decode_votes(read_file(path), path)


def decode_votes(content: bytes, path: object) -> Votes:
    """The votes that `Votes.encode` wrote; errors name `path`."""
    columns, header = parquet.decode(content, path, FORMAT)
    try:
        return Votes(**fields_of(columns, header, len(content)))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} lacks something that votes must have ({error}): vote again") from error
    except InputError as error:
        raise InputError(f"{path} holds no valid votes: {error}") from error


if TYPE_CHECKING:
    from radii.votes.record import Votes


FORMAT = 5
PLAIN = ("shape", "seed", "model", "precision", "classes", "software")
MANY_CLASSES = 64
"""More are stored as lists of those with votes."""
MOST_PER_BYTE = 4096
"""Numbers in tables of votes for each byte of their file; real ones have 2500 at most, a bomb has far more."""

MANIFEST = {
    "noise": dict[str, Any],
    "plan": dict[str, Any],
    "shape": list[int],
    "seed": int,
    "model": str,
    "precision": str,
    "exact": bool,
    "data": dict[str, Any] | str | None,  # one sentence up to format 4
    "classes": list[str],
    "software": dict[str, str],
    "devices": list[str],
}
HEADER = MANIFEST | {"draws": list[list[int]]}
"""The fields of a header and the kinds of their values."""
COLUMNS = {
    "index",
    "label",
    "counts",
    "counts_class",
    "selection",
    "selection_class",
    "certified",
    "fingerprint",
}


def columns_of(votes: "Votes") -> Columns:
    """The numbers."""
    columns: Columns = {"index": votes.index, "label": votes.labels}
    for name in ("counts", "selection"):
        columns |= _table(name, getattr(votes, name))
    others = {"certified": votes.certified, "fingerprint": votes.fingerprints}
    return columns | {name: column for name, column in others.items() if column is not None}


def header_of(votes: "Votes") -> dict[str, Any]:
    """All that identifies them."""
    return manifest_of_votes(votes) | {"draws": votes.draws}


def manifest_of_votes(votes: Any) -> dict[str, Any]:
    """The law of votes, or of what has the same attributes, as plain values: all but which images and draws."""
    law = {
        "noise": {"name": votes.noise.name, **asdict(votes.noise)},
        "plan": votes.plan.document(),
        "data": votes.data and asdict(votes.data),
        "exact": votes.exact_arithmetic,
        **{name: getattr(votes, name) for name in PLAIN},
    }
    return law | ({"devices": votes.devices} if votes.devices else {})


def plan_of(document: dict[str, Any]) -> Plan:
    """The plan that `manifest_of_votes` wrote."""
    if not (given := document.get("decisions")):
        return _made("sampling plan", document, PLANS)
    if not fits(given, list[dict[str, Any]]):
        raise InputError(f"decisions must be a list of fields with values; got {short(given)}")
    return _made("sampling plan", document | {"decisions": [_fields(one, Decision) for one in given]}, PLANS)


def noise_of(document: dict[str, Any]) -> Noise:
    """The noise that `manifest_of_votes` wrote."""
    return _made("noise", document, NOISES)


def identity_of(document: dict[str, Any] | str | None) -> ImageIdentity | None:
    """The identity of images that `manifest_of_votes` wrote, or an older radii as one sentence."""
    if isinstance(document, str):
        return parse_identity(document)
    return document if document is None else _fields(document, ImageIdentity)


def fields_of(columns: Columns, header: dict[str, Any], size: int) -> dict[str, Any]:
    """What a file of `size` bytes says of votes, by the names of their fields."""
    check_fields(header, HEADER, optional=("devices",))
    if unknown := columns.keys() - COLUMNS:
        raise InputError(f"there are columns that votes do not have: {', '.join(sorted(unknown))}")
    columns, header = dict(columns), dict(header)
    header["classes"] = tuple(header["classes"])
    header["devices"] = tuple(header.get("devices", ()))
    for name in ("counts", "selection"):
        columns[name] = _dense(name, columns, len(header["classes"]), MOST_PER_BYTE * size)
    for name, column in columns.items():
        if isinstance(column, Lists):
            raise InputError(f"{name} must be one number an image")
    return {
        "labels": columns.pop("label"),
        "fingerprints": columns.pop("fingerprint", None),
        "noise": noise_of(header.pop("noise")),
        "plan": plan_of(header.pop("plan")),
        "data": identity_of(header.pop("data")),
        "exact_arithmetic": header.pop("exact"),
        **columns,
        **header,
    }


def _made(what: str, document: dict[str, Any], kinds: Mapping[str, Any]) -> Any:
    """One of `kinds` by its name, with the other fields of the document as its own."""
    given = dict(document)
    return _fields(given, kinds[check_name(what, given.pop("name", None), kinds)])


def _fields(given: dict[str, Any], kind: Any) -> Any:
    """One of a kind by its fields; what older files leave out is as usual."""
    known = {one.name: Any if one.name == "decisions" else one.type for one in fields(kind)}
    check_fields(given, known, optional=("decisions",))
    return kind(**given)


def _table(name: str, counts: np.ndarray) -> Columns:
    if counts.shape[1] <= MANY_CLASSES:
        return {name: counts}
    rows, classes = np.nonzero(counts)
    lengths = np.bincount(rows, minlength=len(counts))
    return {f"{name}_class": Lists(lengths, classes), name: Lists(lengths, counts[rows, classes])}


def _dense(name: str, columns: Columns, classes: int, most: int) -> Any:
    """Counts `(images, classes)`, whichever way they are stored."""
    where, values = columns.pop(f"{name}_class", None), columns[name]
    if where is None and not isinstance(values, Lists):
        return values
    if not isinstance(where, Lists) or not isinstance(values, Lists):
        raise InputError(f"{name} and its classes must be lists, as long for each image")
    if len(where.lengths) * classes > most:
        raise InputError(
            f"{name} would be {len(where.lengths)} x {classes} numbers, far more than votes have"
        )
    rows = np.repeat(np.arange(len(where.lengths)), where.lengths)
    place = rows * classes + where.values
    fits = np.array_equal(where.lengths, values.lengths) and (np.diff(place) > 0).all()
    if not fits or (where.values.size and not 0 <= where.values.min() <= where.values.max() < classes):
        raise InputError(f"classes of {name} must rise within 0..{classes - 1} for each image")
    dense = np.zeros((len(where.lengths), classes), dtype=np.int64)
    dense.ravel()[place] = values.values
    return dense
