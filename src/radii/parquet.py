"""Integer columns and a header in one Parquet file: written whole or not at all, refused unless intact."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from radii.errors import InputError
from radii.files import replacing

Columns = dict[str, np.ndarray | None]


def digest(columns: Columns, header: dict[str, Any]) -> str:
    """SHA-256 over the columns and the header, whatever wrote them."""
    total = hashlib.sha256(_canonical(header))
    for name in sorted(columns):
        column = columns[name]
        total.update(f"\0{name}\0{None if column is None else column.shape}\0".encode())
        if column is not None:
            total.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return total.hexdigest()


def write(path: str | Path, columns: Columns, header: dict[str, Any], version: int) -> None:
    """Write int64 columns `(rows,)` or `(rows, width)`, None for an empty one, and a header of plain values.

    Guarantee: at any moment `path` holds what it held before or the whole new file, also if the machine
    stops. Equal content gives equal bytes with the same pyarrow.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    document = {**header, "format": version, "digest": digest(columns, header)}
    table = pa.table({name: _to_arrow(column, columns) for name, column in columns.items()})
    table = table.replace_schema_metadata({b"radii": _canonical(document)})
    with replacing(path) as file:
        pq.write_table(table, file, compression="zstd")


def read(path: str | Path, version: int) -> tuple[Columns, dict[str, Any]]:
    """The columns and the header that `write` wrote under `version` or an older one.

    Guarantee: what comes back is what was written, bit for bit; anything else is an error.
    """
    table = _open(Path(path))
    document = _document(path, table.schema.metadata or {})
    if document["format"] > version:
        raise InputError(f"{path} was written by a newer radii; update with pip install -U radii")
    stored = document.pop("digest", None)
    document.pop("format")
    try:
        columns = {name: _from_arrow(table.column(name)) for name in table.column_names}
    except (TypeError, ValueError) as error:
        raise _damaged(path, "its columns are not whole numbers in rows of one width") from error
    if digest(columns, document) != stored:
        raise _damaged(path, "its content does not match its digest")
    return columns, document


def _open(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_dir():
        raise InputError(f"{path} is a folder: give the votes file, for example {path / 'votes.parquet'}")
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        return pq.ParquetFile(path).read()
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, "it is not a whole Parquet file") from error


def _document(path: str | Path, metadata: dict[bytes, bytes]) -> dict[str, Any]:
    if b"radii" not in metadata:
        raise InputError(
            f"{path} is a Parquet file but holds no votes of radii: give a file that radii vote wrote"
        )
    try:
        document = json.loads(metadata[b"radii"])
        if isinstance(document["format"], int):
            return document
    except (ValueError, KeyError, TypeError):
        pass
    raise _damaged(path, "its header cannot be read")


def _damaged(path: str | Path, why: str) -> InputError:
    return InputError(f"{path} is damaged or was edited ({why}): vote again, or fetch another copy")


def _canonical(document: dict[str, Any]) -> bytes:
    text = json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=np.generic.item
    )
    return text.encode()


def _to_arrow(column: np.ndarray | None, columns: Columns) -> Any:
    import pyarrow as pa

    if column is None:
        rows = next(len(other) for other in columns.values() if other is not None)
        return pa.nulls(rows, pa.int64())
    if column.ndim == 1:
        return pa.array(column, pa.int64())
    offsets = np.arange(len(column) + 1, dtype=np.int32) * column.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(column.ravel(), pa.int64()))


def _from_arrow(column: Any) -> np.ndarray | None:
    import pyarrow as pa

    if column.null_count == len(column) and len(column):
        return None
    if pa.types.is_list(column.type):
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return _whole(flat).reshape(len(column), -1 if len(column) else 0)
    return _whole(column.to_numpy())


def _whole(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.int64:
        raise TypeError("whole numbers expected")
    return array
