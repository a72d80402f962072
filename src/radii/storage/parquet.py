"""Integer columns and a header in one Parquet file, with a digest that detects any change."""

import hashlib
import io
import json
from typing import Any, NamedTuple

import numpy as np

from radii.errors import InputError
from radii.storage.documents import fits, parse_json
from radii.storage.kinds import foreign
from radii.storage.parquet_pages import numbers_in

MOST_PER_BYTE = 256
"""Numbers that one byte of a file may unpack to: a million images with equal votes need 100, bombs far more."""

COLUMNS = "its columns are not whole numbers in rows"
"""What messages say about columns of another kind."""


class Damaged(InputError):
    """Error for a file that is damaged, or that radii did not write."""


class Lists(NamedTuple):
    """A list of whole numbers in each row: its length, `(rows,)`, and the numbers of all rows, one after the other."""

    lengths: np.ndarray
    values: np.ndarray


Columns = dict[str, np.ndarray | Lists | None]


def encode(columns: Columns, header: dict[str, Any], version: int) -> bytes:
    """Return the file of int64 columns, `(rows,)`, `(rows, width)`, lists or None, and a header of plain values.

    Guarantee: equal content gives equal bytes with the same pyarrow.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # the digest covers the content and not the bytes of the file, which depend on the version of pyarrow
    document = {**header, "format": version, "digest": digest(columns, header)}
    table = pa.table({name: _to_arrow(column, columns) for name, column in columns.items()})
    table = table.replace_schema_metadata({b"radii": _canonical(document)})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def decode(content: bytes, path: object, version: int) -> tuple[Columns, dict[str, Any]]:
    """Return the columns and the header that `encode` wrote in format `version` or an older one.

    Guarantee: they are what was written, bit for bit. Raises `InputError`, which names `path`, for any other content.
    """
    if other := foreign(content, "parquet"):
        raise Damaged(f"{path} is {other}, not votes: give a file that radii vote wrote")
    file = _open(content, path)
    # not that of the Arrow schema, a copy which other readers do not see
    document = _document(path, file.metadata.metadata or {})
    # before the digest: a newer format may compute another one
    if document["format"] > version:
        raise InputError(f"{path} was written by a newer radii; update with pip install -U radii")
    stored = document.pop("digest", None)
    document.pop("format")
    table = _read(file, path)
    try:
        columns = {name: _from_arrow(table.column(name)) for name in table.column_names}
    except (TypeError, ValueError, KeyError) as error:
        raise _damaged(path, COLUMNS) from error
    if digest(columns, document) != stored:
        raise _damaged(path, "its content does not match its digest")
    return columns, document


def digest(columns: Columns, header: dict[str, Any]) -> str:
    """Return the SHA-256 of the columns and the header, which does not depend on the version of pyarrow."""
    total = hashlib.sha256(_canonical(header))
    # sorted, with name and shape before the numbers: other columns never give the same bytes
    for name in sorted(columns):
        column = columns[name]
        arrays = column if isinstance(column, Lists) else (column,)
        for array in arrays:
            total.update(f"\0{name}\0{None if array is None else array.shape}\0".encode())
            if array is not None:
                # little-endian on every machine
                total.update(np.ascontiguousarray(array, dtype="<i8").data)
    return total.hexdigest()


def _open(content: bytes, path: object) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # before pyarrow unpacks anything
        small = numbers_in(content) <= MOST_PER_BYTE * len(content)
        file = pq.ParquetFile(pa.BufferReader(content))
    # Arrow's own error of exhausted memory is an ArrowException, too
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, "it is not a whole Parquet file") from error
    if not small:
        raise _damaged(path, "it would unpack to far more than votes hold")
    return file


def _read(file: Any, path: object) -> Any:
    import pyarrow as pa

    # Pages count numbers and unpacked bytes. Of other columns that tells little: a thousand numbers can refer to one
    # text of a megabyte, and lists within lists take memory for each of their levels.
    if not all(
        column.physical_type == "INT64" and column.max_repetition_level <= 1 for column in file.schema
    ):
        raise _damaged(path, COLUMNS)
    try:
        return file.read(use_threads=False)
    # Arrow's own error of exhausted memory is an ArrowException, too
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, "it is not a whole Parquet file") from error


def _document(path: object, metadata: dict[bytes, bytes]) -> dict[str, Any]:
    if b"radii" not in metadata:
        raise Damaged(
            f"{path} is a Parquet file but holds no votes of radii: give a file that radii vote wrote"
        )
    try:
        document = parse_json(metadata[b"radii"])
        if fits(document, dict) and fits(document.get("format"), int) and document["format"] >= 1:
            return document
    except ValueError:
        pass
    raise _damaged(path, "its header cannot be read")


def _damaged(path: object, why: str) -> Damaged:
    return Damaged(f"{path} is damaged or was edited ({why}): vote again, or fetch another copy")


def _canonical(document: dict[str, Any]) -> bytes:
    # one text for one document, since the digest is that of the text
    text = json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=np.generic.item
    )
    return text.encode()


def _to_arrow(column: np.ndarray | Lists | None, columns: Columns) -> Any:
    import pyarrow as pa

    if column is None:
        rows = next(_rows(other) for other in columns.values() if other is not None)
        return pa.nulls(rows, pa.int64())
    if isinstance(column, Lists):
        # when read, the type LargeList tells these from the rows of a table
        offsets = np.concatenate([[0], np.cumsum(column.lengths)])
        return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(column.values, pa.int64()))
    if column.ndim == 1:
        return pa.array(column, pa.int64())
    offsets = np.arange(len(column) + 1, dtype=np.int32) * column.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(column.ravel(), pa.int64()))


def _rows(column: np.ndarray | Lists) -> int:
    return len(column.lengths) if isinstance(column, Lists) else len(column)


def _from_arrow(column: Any) -> np.ndarray | Lists | None:
    import pyarrow as pa

    # a column of no rows is an empty array, not an absent one
    if column.null_count == len(column) and len(column):
        return None
    if pa.types.is_large_list(column.type):
        lists = column.combine_chunks()
        return Lists(_whole(lists.value_lengths().to_numpy()), _whole(_flat(lists)))
    if pa.types.is_list(column.type):
        lists = column.combine_chunks()
        # a reshape would take ragged rows of the right total as well
        if len(np.unique(lists.value_lengths().to_numpy(zero_copy_only=False))) > 1:
            raise TypeError("rows of one width expected")
        return _whole(_flat(lists)).reshape(len(column), -1 if len(column) else 0)
    return _whole(column.to_numpy())


def _flat(lists: Any) -> np.ndarray:
    return lists.flatten().to_numpy(zero_copy_only=False)


def _whole(array: np.ndarray) -> np.ndarray:
    # pyarrow turns a column with nulls into floats
    if array.dtype != np.int64:
        raise TypeError("whole numbers expected")
    return array
