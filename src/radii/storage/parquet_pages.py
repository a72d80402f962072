"""How much files may unpack to, and how many numbers a Parquet file unpacks to, before anything is unpacked.

A page of a few bytes can stand for billions of equal numbers, and what the footer says of them need not be true. So
this walks through the page headers, which pyarrow gives no access to. Structures are Thrift's, in its compact
protocol: https://github.com/apache/parquet-format.
"""

from typing import Any

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, STRUCT = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12)

# fields that matter here, by their number and type
ROW_GROUPS, COLUMNS, METADATA = (4, LIST), (1, LIST), (3, STRUCT)
VALUES, SIZE, DATA_AT, DICTIONARY_AT = (5, I64), (7, I64), (9, I64), (11, I64)
PAGE, UNPACKED, PACKED, NUMBER = (1, I32), (2, I32), (3, I32), (1, I32)
DATA, DICTIONARY, DATA_2 = 0, 2, 3
HEADERS = {DATA: (5, STRUCT), DICTIONARY: (7, STRUCT), DATA_2: (8, STRUCT)}
SMALL = 2**26
"""Bytes to which anything may unpack."""
MOST_PER_BYTE = 256
"""Bytes of images to which a byte of a larger file may unpack: real ones take a tenth of that at most."""
PADDING = 100
"""Bytes that a reader may look beyond the end of a column for pages, as writers of long ago told a wrong size."""

Fields = dict[tuple[int, int], Any]


def most_unpacked(stored: int) -> int:
    """The bytes of images to which files of so many bytes may unpack; what takes more was made to fill the memory."""
    return max(SMALL, MOST_PER_BYTE * stored)


def numbers_in(content: bytes) -> int:
    """The numbers in all pages of a file, and eighths of their bytes where these are more; `ValueError` if damaged."""
    try:
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        if start < 0:
            raise ValueError("the footer is larger than the file")
        groups = Compact(content, start).struct()[ROW_GROUPS]
        columns = [column[METADATA] for group in groups for column in group[COLUMNS]]
        total = walked = 0
        for column in columns:
            numbers, headers = _in_pages(content, column, len(content) - walked)
            total, walked = total + numbers, walked + headers
        return total
    except (KeyError, IndexError, TypeError, RecursionError) as error:
        raise ValueError("a structure is damaged") from error


def _in_pages(content: bytes, column: Fields, most: int) -> tuple[int, int]:
    """Of one column, as far as a reader goes: to its last number, or to the end of its bytes; and bytes of headers.

    Headers may take up to `most` bytes. Columns that share pages would make the walk quadratic, and none do.
    """
    at = min(column[DATA_AT], column.get(DICTIONARY_AT) or column[DATA_AT])
    end, seen, total, walked = at + column[SIZE] + PADDING, 0, 0, 0
    if at < 0:
        raise ValueError("a column lies before the file")
    while seen < column[VALUES] and at < end:
        reader = Compact(content, at)
        page = reader.struct()
        kind, held = page[PAGE], 0
        if kind in HEADERS:
            held = page[HEADERS[kind]][NUMBER]
        if min(held, page[PACKED], page[UNPACKED]) < 0:
            raise ValueError("a size is negative")
        seen += held if kind in (DATA, DATA_2) else 0
        total += max(held, page[UNPACKED] // 8)
        walked += reader.at - at
        if walked > most:
            raise ValueError("columns share pages")
        at = reader.at + page[PACKED]
    return total, walked


class Compact:
    """Values of Thrift's compact protocol, one after the other from byte `at` on, in time linear in their bytes.

    Whatever a structure says of its length is held against the bytes that are left: each item takes one at least.
    """

    def __init__(self, content: bytes, at: int) -> None:
        self.content, self.at = content, at

    def struct(self) -> Fields:
        """Fields by number and type; what is no number, list or structure is passed over."""
        fields: Fields = {}
        numbers: set[int] = set()
        last = 0
        while head := self.byte():
            last = last + (head >> 4) if head >> 4 else self.whole()
            if last in numbers:
                raise ValueError("a field comes twice")
            numbers.add(last)
            kind = head & 15
            fields[last, kind] = None if kind in (TRUE, FALSE) else self.value(kind)
        return fields

    def value(self, kind: int) -> Any:
        if kind in (I16, I32, I64):
            return self.whole()
        if kind in (LIST, SET):
            head = self.byte()
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

    def _fitting(self, size: int) -> int:
        if size > len(self.content) - self.at:
            raise ValueError("a structure is longer than the file")
        return size

    def whole(self) -> int:
        """A signed number: its last bit is the sign."""
        bits = self.bits()
        return (bits >> 1) ^ -(bits & 1)

    def bits(self) -> int:
        """A number in groups of seven bits, the lowest first."""
        found = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
        raise ValueError("a number is too long")

    def byte(self) -> int:
        self.at += 1
        return self.content[self.at - 1]
