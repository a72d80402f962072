"""Checked documents: JSON that all readers understand alike, numbers, and fields of the right types."""

import pytest

from radii.errors import InputError
from radii.storage.documents import check_fields, fits, parse_json, parse_number, read_document


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "[1, -Infinity]",
        '{"a": 1, "a": 2}',
        '["\\ud800"]',
        "[" * 10**5,
        "9" * 5000,
        b"\xff\xfe",
    ],
)
def test_invalid_json(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_json():
    assert parse_json('{"a": [1, 2.5, "\\ud83d\\ude00", null, true]}') == {"a": [1, 2.5, "😀", None, True]}


@pytest.mark.parametrize("text,number", [("0.5", 0.5), ("2/255", 2 / 255), ("-1e3", -1000.0), ("1/3", 1 / 3)])
def test_numbers(text, number):
    assert parse_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "x", "1/0", "/", "1/", "nan", "inf", "1e999999999", "1/2/3", "1e-400/1e-400"]
)
def test_invalid_numbers(text):
    with pytest.raises(ValueError):
        parse_number(text)


@pytest.mark.parametrize(
    "value,kind,right",
    [
        (1, int, True),
        (True, int, False),
        (1, float, True),
        (10**400, float, False),
        (float("nan"), float, False),
        (float("inf"), float, False),
        (False, float, False),
        (1.0, int, False),
        (1, bool, False),
        ([1, 2], list[int], True),
        ((1, "2"), list[int], False),
        ([[1, 2], []], list[list[int]], True),
        ((0.5, 1), tuple[float, ...], True),
        ({"a": "b"}, dict[str, str], True),
        ({"a": 1}, dict[str, str], False),
        (None, list[int] | None, True),
        ([None], list[int] | None, False),
    ],
)
def test_kinds(value, kind, right):
    assert fits(value, kind) is right


@pytest.mark.parametrize(
    "given,words",
    [
        ([], "expected fields with values"),
        ({"a": 1}, "the field b is missing"),
        ({"a": 1, "b": "x", "d": 1}, "no field 'd'; known: a, b, c"),
        ({"a": "1", "b": "x"}, "a must be a whole number; got '1'"),
        ({"a": 1, "b": "x", "c": [None]}, "c must be a list, each item a finite number or nothing; got"),
    ],
)
def test_fields(given, words):
    with pytest.raises(InputError, match=words):
        check_fields(given, {"a": int, "b": str, "c": list[float] | None}, optional=("c",))


def test_documents():
    kinds = {"a": int}
    assert read_document(b'{"format": 1, "a": 3}', "it", 2, kinds) == {"a": 3}
    with pytest.raises(InputError, match="it was written by a newer radii"):
        read_document(b'{"format": 3, "else": 3}', "it", 2, kinds)
    for text in (b"[]", b'{"a": 3}', b'{"format": 0, "a": 3}', b'{"format": true, "a": 3}', b'{"format": 1}'):
        with pytest.raises(InputError, match="it does not describe a run of radii"):
            read_document(text, "it", 2, kinds)
