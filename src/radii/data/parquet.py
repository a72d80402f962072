"""Parquet files with a column of encoded images and one of labels, as data sets on the web come: one, or a folder."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from radii.data.dataset import ALL, SPLITS
from radii.data.decoding import stack
from radii.data.local_format import Decoded, Form, are_words, name_classes, number_labels
from radii.errors import InputError
from radii.storage import atomic
from radii.storage.documents import fits, parse_json
from radii.storage.kinds import foreign
from radii.storage.parquet_pages import most_unpacked, numbers_in

LABELS = ("label", "labels", "fine_label", "class", "y")
"""What the column of labels may be called."""
MOST_LETTERS = 100
IMAGES, ROWS = 16, 256
"""Images, and labels, that are unpacked at once: a file can name the same large one in all rows."""


def files_of(path: Path, split: str) -> list[Path]:
    """The files of a split, `train*.parquet` or `test*.parquet` in a folder; or the one file."""
    return [path] if split == ALL else sorted(path.glob(f"{split}*.parquet"))


def splits(path: Path) -> tuple[str, ...]:
    """Those that the names of files in a folder tell apart."""
    return tuple(split for split in SPLITS if path.is_dir() and files_of(path, split))


def read(path: Path, split: str, upright: bool = True) -> Decoded:
    """All rows of the files of a split, in order; classes have names where a file names them as Hugging Face does."""
    tables = {one: [Table(file) for file in files_of(path, one)] for one in splits(path) or (ALL,)}
    mine, where = tables[split], str(path)
    labels = {one: np.concatenate([table.labels() for table in several]) for one, several in tables.items()}
    named = mine[0].class_names()
    classes = named or name_classes(labels.values(), where)
    numbers = number_labels(labels[split], classes, where)
    if not len(numbers):
        raise InputError(f"{path} holds no images")
    pictures = (picture for table in mine for picture in table.pictures())
    most = most_unpacked(sum(table.size for table in mine))
    has_names = bool(named) or are_words(labels.values())
    images, turned = stack(pictures, len(numbers), most, upright)
    return Decoded(images, numbers, classes, has_names, turned)


class Table:
    """A Parquet file, opened if it is no bomb, and which of its columns hold what."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = atomic.read(path)
        self.path, self.size = path, len(content)
        try:
            small = 8 * numbers_in(content) <= most_unpacked(len(content))
            self.file = pq.ParquetFile(pa.BufferReader(content))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        if not small:
            raise InputError(f"{path} would unpack to far more than images do: remove it")
        self.image, self.label = self._columns()

    def _columns(self) -> tuple[tuple[str, str], str]:
        """The column of image bytes, with the part of it that holds them if that is not all, and that of labels."""
        schema = self.file.schema_arrow
        images = [(field.name, part) for field in schema if (part := _bytes_in(field)) is not None]
        labels = [name for name in LABELS if name in schema.names]
        if len(images) != 1 or not labels:
            raise InputError(
                f"{self.path} must have one column of image bytes, or of bytes and path, and one named label; "
                f"it has {', '.join(f'{one.name} ({one.type})' for one in schema)}"
            )
        return images[0], labels[0]

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """The encoded images, each with its place."""
        for row, content in enumerate(self._values(IMAGES, *self.image)):
            if content is None:
                raise InputError(f"row {row} of {self.path} holds no bytes of an image")
            yield f"row {row} of {self.path}", content

    def labels(self) -> np.ndarray:
        """The labels, `(rows,)`: numbers or words."""
        known: dict[Any, Any] = {}
        values = [known.setdefault(value, value) for value in self._values(ROWS, self.label)]
        words = all(type(value) is str and len(value) <= MOST_LETTERS for value in known)
        if not words and not all(type(value) is int for value in known):
            raise InputError(
                f"the labels in {self.path} must be whole numbers, or words of at most {MOST_LETTERS} letters, "
                "one an image"
            )
        return np.array(values) if values else np.zeros(0, dtype=np.int64)

    def class_names(self) -> tuple[str, ...]:
        """The names that the file gives to numbers, if it does."""
        try:
            about = parse_json((self.file.schema_arrow.metadata or {})[b"huggingface"])
            names = about["info"]["features"][self.label]["names"]
        except (KeyError, TypeError, ValueError):
            return ()
        return tuple(names) if fits(names, list[str]) else ()

    def _values(self, rows: int, column: str, part: str = "") -> Iterator[Any]:
        """What is in a column, or in a part of it, in all rows; so many are unpacked at once."""
        import pyarrow as pa

        left = self.file.metadata.num_rows
        try:
            for batch in self.file.iter_batches(rows, columns=[column], use_threads=False):
                values = batch.column(0).field(part) if part else batch.column(0)
                left -= len(values)
                if left < 0:
                    break
                yield from values.to_pylist()
            if left:
                raise ValueError(f"{column} has another number of rows than the file")
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        if other := foreign(atomic.read(self.path), "parquet"):
            return InputError(f"{self.path} is {other}, not a Parquet file: fetch another copy")
        return InputError(f"{self.path} is no whole Parquet file ({error}): fetch another copy")


def _bytes_in(field: Any) -> str | None:
    """The part of a column that holds bytes: all, "", or that of Hugging Face's pairs of bytes and path; else None."""
    import pyarrow as pa

    def holds(kind: Any) -> bool:
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    if holds(field.type):
        return ""
    named = {part.name: part.type for part in field.type} if pa.types.is_struct(field.type) else {}
    return "bytes" if "bytes" in named and holds(named["bytes"]) else None


FORM = Form(
    "a Parquet file, or a folder of them",
    lambda path: (path.suffix.lower() == ".parquet" and path.is_file()) or bool(splits(path)),
    splits,
    read,
    partial(read, upright=False),
)
