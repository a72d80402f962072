"""Parquet files with a column of encoded images and one of labels, as Hugging Face publishes data sets."""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from radii.data.dataset import ALL, SPLITS
from radii.data.decoding import stack
from radii.data.local_format import Decoded, Format, are_words, name_classes, number_labels
from radii.errors import InputError
from radii.storage import atomic
from radii.storage.documents import fits, parse_json
from radii.storage.kinds import foreign
from radii.storage.parquet_pages import most_unpacked, numbers_in

LABELS = ("label", "labels", "fine_label", "class", "y")
"""Names of the column of labels; the first that exists counts. CIFAR-100 there has `fine_label` and `coarse_label`."""
MOST_LETTERS = 100
"""Characters of a label: numpy stores all labels at the length of the longest, with four bytes per character."""


def splits(path: Path) -> tuple[str, ...]:
    """Return those of "train" and "test" that have files in a folder."""
    return tuple(split for split in SPLITS if path.is_dir() and files_of(path, split))


def files_of(path: Path, split: str) -> list[Path]:
    """Return the files of a split, `train*.parquet` or `test*.parquet` in a folder, or the file itself for "all"."""
    return [path] if split == ALL else sorted(path.glob(f"{split}*.parquet"))


def read(path: Path, split: str, upright: bool = True) -> Decoded:
    """Return all rows of the files of a split, in order; class names come from the metadata of Hugging Face."""
    # labels of all splits, since they name the classes together
    by_split = {name: [Table(file) for file in files_of(path, name)] for name in splits(path) or (ALL,)}
    check_labels([table for files in by_split.values() for table in files])
    labels = {name: np.concatenate([table.labels for table in files]) for name, files in by_split.items()}
    tables = by_split[split]
    # those of any other file are the same, as was checked
    names = tables[0].class_names()
    classes = names or name_classes(labels.values(), str(path))
    numbers = number_labels(labels[split], classes, str(path))
    if not len(numbers):
        raise InputError(f"{path} holds no images: give a file with at least one")
    # a generator, as pictures of all files together may not fit into memory beside the pixels
    pictures = (picture for table in tables for picture in table.pictures())
    most = most_unpacked(sum(table.size for table in tables))
    images, turned = stack(pictures, len(numbers), most, upright)
    return Decoded(images, numbers, classes, bool(names) or are_words(labels.values()), turned)


def check_labels(tables: Sequence["Table"]) -> None:
    """Raise `InputError` unless the labels of all files are numbers, or words in all, and mean the same classes."""
    # numpy would join both without an error, with the numbers as words; a file without rows has labels of neither kind
    by_kind = {are_words([table.labels]): table.path for table in tables if len(table.labels)}
    if len(by_kind) > 1:
        raise InputError(
            f"labels must be numbers in all files, or words in all; those in {by_kind[False]} are numbers, those in "
            f"{by_kind[True]} words: convert one of them"
        )
    by_names = {names: table.path for table in tables if (names := table.class_names())}
    if len(by_names) > 1:
        first, second, *_ = by_names.values()
        raise InputError(
            f"{first} and {second} name other classes, or in another order: give files of one data set"
        )


class Table:
    """A Parquet file with its columns of images and labels; rejected if it would unpack to too much."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # read once: a file that changes between the check and its use could pass the check and fill the memory
        content = atomic.read(path)
        self.path, self.size = path, len(content)
        try:
            # before pyarrow unpacks anything; numbers_in counts eighths of bytes
            small = 8 * numbers_in(content) <= most_unpacked(len(content))
            self.file = pq.ParquetFile(pa.BufferReader(content))
        # Arrow's own error of exhausted memory is an ArrowException, too
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error
        if not small:
            raise InputError(f"{path} would unpack to far more than images need: remove it")
        self.image, self.label = self._columns()

    def _columns(self) -> tuple[tuple[str, str], str]:
        """Return the column and field of image bytes, "" for the whole column, and the column of labels."""
        schema = self.file.schema_arrow
        # by type, since data sets call this column image, img or something else; two of them would be ambiguous
        images = [(column.name, field) for column in schema if (field := _bytes_in(column)) is not None]
        labels = [name for name in LABELS if name in schema.names]
        if len(images) != 1 or not labels:
            raise InputError(
                f"{self.path} must have one column of image bytes, or of bytes and path, and one named label; "
                f"it has {', '.join(f'{column.name} ({column.type})' for column in schema)}"
            )
        return images[0], labels[0]

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """Yield the encoded images, each with its row and file for messages."""
        for row, content in enumerate(self._values(*self.image)):
            if content is None:
                raise InputError(
                    f"row {row} of {self.path} holds no bytes of an image: remove it, or add them"
                )
            yield f"row {row} of {self.path}", content

    @cached_property
    def labels(self) -> np.ndarray:
        """The labels, `(rows,)`: numbers or words."""
        # equal labels share one object: a small file can refer to one long text in all rows
        known: dict[Any, Any] = {}
        values = [known.setdefault(value, value) for value in self._values(self.label)]
        words = all(type(value) is str and len(value) <= MOST_LETTERS for value in known)
        if not words and not all(type(value) is int for value in known):
            raise InputError(
                f"the labels in {self.path} must be whole numbers, or words of at most {MOST_LETTERS} letters, "
                "one per image"
            )
        return np.array(values) if values else np.zeros(0, dtype=np.int64)

    def class_names(self) -> tuple[str, ...]:
        """Return the class names in the metadata of Hugging Face; () if there are none."""
        # lacking or in another form, the metadata only costs the names, so no error is raised
        try:
            metadata = parse_json((self.file.schema_arrow.metadata or {})[b"huggingface"])
            names = metadata["info"]["features"][self.label]["names"]
        except (KeyError, TypeError, ValueError):
            return ()
        return tuple(names) if fits(names, list[str]) else ()

    def _values(self, column: str, field: str = "") -> Iterator[Any]:
        """Yield the values of a column, or of a field of it."""
        import pyarrow as pa

        left = self.file.metadata.num_rows
        try:
            # one row at a time: a small file can refer to the same large value in all rows
            for batch in self.file.iter_batches(1, columns=[column], use_threads=False):
                values = batch.column(0).field(field) if field else batch.column(0)
                # pages may hold more rows than the metadata counts
                left -= len(values)
                if left < 0:
                    break
                yield from values.to_pylist()
            if left:
                raise ValueError(f"{column} has another number of rows than the file")
        # Arrow's own error of exhausted memory is an ArrowException, too
        except MemoryError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        if other := foreign(atomic.read(self.path), "parquet"):
            return InputError(f"{self.path} is {other}, not a Parquet file: fetch another copy")
        return InputError(f"{self.path} is not a whole Parquet file ({error}): fetch another copy")


def _bytes_in(column: Any) -> str | None:
    """Return the field of a column that holds bytes, "" for the whole column, None if there is none.

    Hugging Face stores pairs of bytes and path.
    """
    import pyarrow as pa

    def holds(kind: Any) -> bool:
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    if holds(column.type):
        return ""
    fields = {field.name: field.type for field in column.type} if pa.types.is_struct(column.type) else {}
    return "bytes" if "bytes" in fields and holds(fields["bytes"]) else None


FORMAT = Format(
    "a Parquet file or a folder of them",
    lambda path: (path.suffix.lower() == ".parquet" and path.is_file()) or bool(splits(path)),
    splits,
    read,
    partial(read, upright=False),
)
