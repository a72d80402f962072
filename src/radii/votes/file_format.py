"""The votes file: columns of whole numbers, and a header of plain values (docs/votes-file.md).

With few classes, `counts` and `selection` are lists of one number per class. With many, only classes with votes are
stored, in the lists `counts_class` and `counts`; likewise for `selection`.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np

from radii.errors import InputError, check_name
from radii.noises import NOISES, Noise
from radii.storage import parquet
from radii.storage.documents import check_fields, fits
from radii.storage.folders import read_file
from radii.storage.parquet import Columns, Lists
from radii.votes.image_identity import ImageIdentity, parse_identity
from radii.votes.plans import PLANS, Decision, Plan
from radii.votes.record import Votes

FORMAT = 6
PLAIN = ("shape", "seed", "model", "precision", "classes", "software")
"""Fields that are stored as they are, under their own names."""
# Of many classes few have votes. In files of 500 images with 1,000 samples, 98 % of them for one class, lists take 14 %
# more bytes than tables at 64 classes, as much between 100 and 200, and 6 % less at 1,000.
MANY_CLASSES = 64
"""More classes are stored as lists of those with votes."""
# Real files have 2500 at most. More is a decompression bomb, which would fill the memory before any check of its
# content.
MOST_PER_BYTE = 4096
"""Most numbers of a table of votes per byte of its file."""

MANIFEST = {
    "noise": dict[str, Any],
    "plan": dict[str, Any],
    "shape": list[int],
    "seed": int,
    "model": str,
    "precision": str,
    "exact": bool,
    # one sentence up to format 4
    "data": dict[str, Any] | str | None,
    "classes": list[str],
    "software": dict[str, str],
    "devices": list[str],
    "canary": list[list[float]],
}
"""What identifies votes, whichever images and samples they are about: fields and their types."""
OPTIONAL = ("devices", "canary")
"""Fields that are left out where they are unknown, as in older files, so that equal votes have equal bytes."""
HEADER = MANIFEST | {"draws": list[list[int]], "unchecked": list[str]}
"""Fields of a header and their types; `unchecked` is left out where it is empty, as in all votes of radii."""
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
    """Return the votes that `Votes.encode` wrote; raise `InputError`, which names `path`, for other content."""
    columns, header = parquet.decode(content, path, FORMAT)
    try:
        return Votes(**fields_of(columns, header, len(content)))
    # fields that are missing, or whose types no check of `Votes` expects: a file must never end in a traceback
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} lacks something that votes must have ({error}): vote again") from error
    except InputError as error:
        raise InputError(f"{path} holds no valid votes: {error}") from error


def columns_of(votes: Votes) -> Columns:
    """Return the columns that `votes` have, by name."""
    columns: Columns = {"index": votes.index, "label": votes.labels}
    for name in ("counts", "selection"):
        columns |= _table(name, getattr(votes, name))
    optional = {"certified": votes.certified, "fingerprint": votes.fingerprints}
    return columns | {name: column for name, column in optional.items() if column is not None}


def header_of(votes: Votes) -> dict[str, Any]:
    """Return all that identifies `votes`, as plain values."""
    unchecked = {"unchecked": votes.unchecked} if votes.unchecked else {}
    return manifest_of_votes(votes) | {"draws": votes.draws} | unchecked


def manifest_of_votes(votes: Any) -> dict[str, Any]:
    """Return the manifest of votes, or of an object with the same attributes, as plain values."""
    manifest = {
        "noise": {"name": votes.noise.name, **votes.noise.parameters},
        "plan": votes.plan.document(),
        "data": votes.data and asdict(votes.data),
        "exact": votes.exact_arithmetic,
        **{name: getattr(votes, name) for name in PLAIN},
    }
    return manifest | {name: value for name in OPTIONAL if (value := getattr(votes, name))}


def plan_of(document: dict[str, Any]) -> Plan:
    """Return the plan that `manifest_of_votes` wrote."""
    if stored := document.get("decisions"):
        if not fits(stored, list[dict[str, Any]]):
            raise InputError(f"decisions must be a list of fields with values; got {short(stored)}")
        document = document | {"decisions": [_make(values, Decision) for values in stored]}
    return _make_named("sampling plan", document, PLANS)


def noise_of(document: dict[str, Any]) -> Noise:
    """Return the noise that `manifest_of_votes` wrote."""
    return _make_named("noise", document, NOISES)


def identity_of(document: dict[str, Any] | str | None) -> ImageIdentity | None:
    """Return the identity of images that `manifest_of_votes` wrote, or formats up to 4 as one sentence."""
    if isinstance(document, str):
        return parse_identity(document)
    return document if document is None else _make(document, ImageIdentity)


def fields_of(columns: Columns, header: dict[str, Any], size: int) -> dict[str, Any]:
    """Return the fields of the votes in a file of `size` bytes, by name; raise `InputError` for a wrong header."""
    check_fields(header, HEADER, optional=(*OPTIONAL, "unchecked"))
    # a column that is passed over could be one that was renamed, and its default taken in its place
    if unknown := columns.keys() - COLUMNS:
        raise InputError(f"there are columns that votes do not have: {', '.join(sorted(unknown))}")
    columns, header = dict(columns), dict(header)
    header["classes"] = tuple(header["classes"])
    header["devices"] = tuple(header.get("devices", ()))
    for name in ("counts", "selection"):
        columns[name] = _dense(name, columns, len(header["classes"]), MOST_PER_BYTE * size)
    for name, column in columns.items():
        if isinstance(column, Lists):
            raise InputError(f"{name} must be one number per image")
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


def _make_named(role: str, document: dict[str, Any], kinds: Mapping[str, Any]) -> Any:
    """Return an object of the class in `kinds` that the document names, with the other fields of the document."""
    values = dict(document)
    return _make(values, kinds[check_name(role, values.pop("name", None), kinds)])


def _make(values: dict[str, Any], kind: Any) -> Any:
    """Return an object of class `kind` with these fields, all of which are checked.

    Older files lack `decisions` and `symmetric`.
    """
    # decisions are objects already, each checked when it was made
    types = {field.name: Any if field.name == "decisions" else field.type for field in fields(kind)}
    check_fields(values, types, optional=("decisions", "symmetric"))
    return kind(**values)


def _table(name: str, counts: np.ndarray) -> Columns:
    """Return the columns of counts `(images, classes)`: one, or for many classes two, of lists."""
    if counts.shape[1] <= MANY_CLASSES:
        return {name: counts}
    rows, classes = np.nonzero(counts)
    lengths = np.bincount(rows, minlength=len(counts))
    return {f"{name}_class": Lists(lengths, classes), name: Lists(lengths, counts[rows, classes])}


def _dense(name: str, columns: Columns, classes: int, most: int) -> Any:
    """Return counts `(images, classes)`, however they are stored, of at most `most` numbers."""
    voted, values = columns.pop(f"{name}_class", None), columns[name]
    if voted is None and not isinstance(values, Lists):
        return values
    if not isinstance(voted, Lists) or not isinstance(values, Lists):
        raise InputError(f"{name} and its classes must be lists of equal length for each image")
    # before the table exists: a small file can list one vote of each of 10^5 images of 10^5 classes
    if len(voted.lengths) * classes > most:
        raise InputError(
            f"{name} would be {len(voted.lengths)} x {classes} numbers, far more than votes have"
        )
    rows = np.repeat(np.arange(len(voted.lengths)), voted.lengths)
    # In the flattened table. Positions that rise exclude a class that occurs twice in an image, of which only the last
    # count would be kept, and give equal votes equal bytes.
    position = rows * classes + voted.values
    rising = np.array_equal(voted.lengths, values.lengths) and (np.diff(position) > 0).all()
    # a class out of range may still rise, and would land in the row of another image
    if not rising or (voted.values.size and not 0 <= voted.values.min() <= voted.values.max() < classes):
        raise InputError(f"classes of {name} must rise within 0..{classes - 1} for each image")
    dense = np.zeros((len(voted.lengths), classes), dtype=np.int64)
    dense.ravel()[position] = values.values
    return dense
