"""Footers made to hang a reader: without the check of lengths, each of these takes minutes or never ends."""

import pytest

from radii.storage.parquet_pages import ROW_GROUPS, numbers_in

I32, I64, BINARY, LIST, STRUCT, TRUE, BYTE = 5, 6, 8, 9, 12, 1, 3


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def struct(*fields: tuple[int, int, bytes]) -> bytes:
    """Thrift's compact protocol: fields of a number, a type and bytes, each by its step from the one before."""
    found, last = b"", 0
    for number, kind, content in fields:
        found, last = found + bytes([(number - last) << 4 | kind]) + content, number
    return found + b"\0"


def whole(number: int) -> bytes:
    return varint(2 * number)


def items(kind: int, size: int, content: bytes) -> bytes:
    return bytes([15 << 4 | kind]) + varint(size) + content


def file_with(footer: bytes, pages: bytes = b"") -> bytes:
    return b"PAR1" + pages + footer + len(footer).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize("kind", [BYTE, TRUE, I64, BINARY, STRUCT, LIST])
@pytest.mark.parametrize("size", [2**60, 2**40, 1000])
def test_a_list_longer_than_the_file(kind: int, size: int) -> None:
    content = file_with(struct((4, LIST, items(kind, size, b""))))
    assert len(content) < 30
    with pytest.raises(ValueError, match="longer than the file"):
        numbers_in(content)


@pytest.mark.parametrize("size", [2**60, 1000])
def test_a_text_longer_than_the_file(size: int) -> None:
    with pytest.raises(ValueError, match="longer than the file"):
        numbers_in(file_with(struct((1, BINARY, varint(size)), (4, LIST, items(STRUCT, 0, b"")))))


def test_very_many_fields() -> None:
    """Two million: comparing each with all others would never end."""
    fields = bytes([1 << 4 | TRUE]) * 2_000_000
    with pytest.raises(ValueError, match="16 bits"):  # the number of the 32,768th
        numbers_in(file_with(fields + b"\0"))
    assert ROW_GROUPS == (4, LIST)


def test_very_many_columns_of_the_same_pages() -> None:
    """A hundred thousand pages for each of twenty thousand columns: hours, if each column walks through them."""
    page = struct((1, I32, whole(1)), (2, I32, whole(0)), (3, I32, whole(0)))
    pages = page * 100_000
    column = struct(
        (3, STRUCT, struct((5, I64, whole(2**40)), (7, I64, whole(len(pages) - 200)), (9, I64, whole(4))))
    )
    group = struct((1, LIST, items(STRUCT, 20_000, column * 20_000)))
    footer = struct((4, LIST, items(STRUCT, 1, group)))
    with pytest.raises(ValueError, match="columns share pages"):
        numbers_in(file_with(footer, pages))


@pytest.mark.parametrize("number", [4 + 2**16, 4 - 2**16, 4 + 2**32, 0, -1])
def test_a_field_number_of_more_than_16_bits(number: int) -> None:
    """A reader in C++ takes the last 16 bits, here often those of the row groups, and would unpack what they name."""
    zigzag = 2 * number if number >= 0 else -2 * number - 1
    hidden = bytes([LIST]) + varint(zigzag) + items(STRUCT, 0, b"")
    footer = bytes([ROW_GROUPS[0] << 4 | LIST]) + items(STRUCT, 0, b"") + hidden + b"\0"
    with pytest.raises(ValueError, match="16 bits"):
        numbers_in(file_with(footer))


@pytest.mark.parametrize("kind, bits", [(4, 16), (I32, 32), (I64, 64)])
def test_a_number_of_more_bits_than_its_type(kind: int, bits: int) -> None:
    for number in (2**bits, 2 ** (bits - 1)):
        footer = struct((1, kind, whole(number)), (4, LIST, items(STRUCT, 0, b"")))
        with pytest.raises(ValueError, match="does not fit its type"):
            numbers_in(file_with(footer))
    largest = struct((1, kind, whole(2 ** (bits - 1) - 1)), (4, LIST, items(STRUCT, 0, b"")))
    assert numbers_in(file_with(largest)) == 0


def test_a_whole_file_is_read_to_its_end() -> None:
    """The same structures in a file that is whole, so that the rejections above are due to lengths."""
    page = struct(
        (1, I32, whole(0)), (2, I32, whole(80)), (3, I32, whole(0)), (5, STRUCT, struct((1, I32, whole(7))))
    )
    column = struct((3, STRUCT, struct((5, I64, whole(7)), (7, I64, whole(len(page))), (9, I64, whole(4)))))
    footer = struct(
        (1, BINARY, varint(3) + b"abc"),
        (4, LIST, items(STRUCT, 1, struct((1, LIST, items(STRUCT, 1, column))))),
    )
    assert numbers_in(file_with(footer, page)) == 10
