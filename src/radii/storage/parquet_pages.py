"""Limits on what files unpack to, checked before anything is unpacked.

A page of a few bytes can stand for billions of equal numbers, and the footer may give a wrong number of them. So this
module reads the page headers, which pyarrow does not expose. They are structures of Thrift's compact protocol:
https://github.com/apache/parquet-format.
"""

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, STRUCT = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12)
BOUNDS = {I16: 2**15, I32: 2**31, I64: 2**63}
"""Bounds on the numbers of each type."""

# fields of the metadata, by number and type: of the file, its row groups, and their columns
ROW_GROUPS, COLUMNS, METADATA = (4, LIST), (1, LIST), (3, STRUCT)
VALUES, SIZE, DATA_AT, DICTIONARY_AT = (5, I64), (7, I64), (9, I64), (11, I64)
# fields of a page header; NUMBER is that of values, in the header of each kind of page
PAGE, UNPACKED, PACKED, NUMBER = (1, I32), (2, I32), (3, I32), (1, I32)
DATA, DICTIONARY, DATA_2 = 0, 2, 3
HEADERS = {DATA: (5, STRUCT), DICTIONARY: (7, STRUCT), DATA_2: (8, STRUCT)}
SMALL = 2**26
"""Bytes that any file may unpack to."""
MOST_PER_BYTE = 256
"""Bytes of images that one byte of a larger file may unpack to: real images need a tenth of that at most."""
PADDING = 100
"""Bytes beyond the end of a column in which readers look for pages, since early writers stored sizes too small."""

Fields = dict[tuple[int, int], Any]


def most_unpacked(stored: int) -> int:
    """Return the bytes that images may unpack to from `stored` bytes; more would be an attack on the memory."""
    return max(SMALL, MOST_PER_BYTE * stored)


def numbers_in(content: bytes) -> int:
    """Return an upper bound on the numbers in all pages of a Parquet file.

    Each page counts as its numbers, or as an eighth of its unpacked bytes if that is more. Raises `ValueError` for a
    damaged file.
    """
    try:
        # a file ends with the metadata, their length in four bytes, and PAR1
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        if start < 0:
            raise ValueError("the footer is larger than the file")
        groups = Compact(content, start).struct()[ROW_GROUPS]
        # the headers of all columns together fit into the file, unless columns share them
        total, left = 0, len(content)
        for column in (column[METADATA] for group in groups for column in group[COLUMNS]):
            numbers, headers = _in_pages(content, column, left)
            total, left = total + numbers, left - headers
        return total
    # of damaged structures: missing fields, an early end, other types, deep nesting
    except (KeyError, IndexError, TypeError, RecursionError) as error:
        raise ValueError("a structure is damaged") from error


def _in_pages(content: bytes, column: Fields, most: int) -> tuple[int, int]:
    """Return the numbers in the pages of a column, as for the file, and the bytes of their headers.

    It goes as far as a reader does: to the last number, or to the end of the column's bytes. Raises `ValueError` if
    headers take more than `most` bytes: then columns share pages, which would make the time quadratic.
    """
    # a dictionary lies before the data; an offset of 0 stands for none
    at = min(column[DATA_AT], column.get(DICTIONARY_AT) or column[DATA_AT])
    end, seen, total, read = at + column[SIZE] + PADDING, 0, 0, 0
    if at < 0:
        raise ValueError("a column lies before the file")
    while seen < column[VALUES] and at < end:
        reader = Compact(content, at)
        page = reader.struct()
        kind = page[PAGE]
        numbers = page[HEADERS[kind]][NUMBER] if kind in HEADERS else 0
        # a negative size would lead back to the same page for ever
        if min(numbers, page[PACKED], page[UNPACKED]) < 0:
            raise ValueError("a size is negative")
        # numbers of a dictionary are none of the column's own
        seen += numbers if kind in (DATA, DATA_2) else 0
        total += max(numbers, page[UNPACKED] // 8)
        read += reader.at - at
        if read > most:
            raise ValueError("columns share pages")
        at = reader.at + page[PACKED]
    return total, read


class Compact:
    """Reader of Thrift's compact protocol from byte `at` on, in time linear in the bytes read.

    Each length is compared with the bytes that are left, since each item takes at least one. Numbers must fit their
    types: readers in C++ keep the last bits of others, and would see other fields and sizes than were checked.
    """

    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.at = content, at

    def struct(self) -> Fields:
        """Return fields by number and type; values other than whole numbers, lists and structures are None."""
        fields: Fields = {}
        numbers: set[int] = set()
        last = 0
        while head := self.byte():
            # the step from the last field number, unless it does not fit into four bits
            last = last + (head >> 4) if head >> 4 else self.whole()
            # a reader that takes the other of two equal fields would unpack more than was checked
            if last in numbers or not 0 < last < 2**15:
                raise ValueError("a field comes twice, or has no number of 16 bits")
            numbers.add(last)
            kind = head & 15
            fields[last, kind] = None if kind in (TRUE, FALSE) else self.value(kind)
        return fields

    def value(self, kind: int) -> Any:
        """Return a whole number, a list or a structure; skip any other value and return None."""
        if kind in (I16, I32, I64):
            number = self.whole()
            if not -BOUNDS[kind] <= number < BOUNDS[kind]:
                raise ValueError("a number does not fit its type")
            return number
        if kind in (LIST, SET):
            head = self.byte()
            # 15 in the four bits of the size means that it follows
            size = self._fitting(head >> 4 if head >> 4 < 15 else self.bits())
            return [self.value(head & 15) for _ in range(size)]
        if kind == STRUCT:
            return self.struct()
        if kind in (TRUE, FALSE, BYTE, DOUBLE):
            self.at += 8 if kind == DOUBLE else 1
        elif kind == BINARY:
            size = self._fitting(self.bits())
            self.at += size
        else:
            raise ValueError(f"there is no type {kind} in Parquet files")
        return None

    def whole(self) -> int:
        """Return a signed number; its last bit is the sign (zigzag encoding)."""
        bits = self.bits()
        return (bits >> 1) ^ -(bits & 1)

    def bits(self) -> int:
        """Return an unsigned number, stored in groups of seven bits, the lowest first."""
        number = 0
        # ten groups hold 64 bits
        for shift in range(0, 70, 7):
            byte = self.byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise ValueError("a number is too long")

    def byte(self) -> int:
        # beyond the end of the file, this raises the IndexError that `numbers_in` reports
        self.at += 1
        return self.content[self.at - 1]

    def _fitting(self, size: int) -> int:
        if size > len(self.content) - self.at:
            raise ValueError("a structure is longer than the file")
        return size
