"""Checked documents: JSON that all readers understand alike, TOML, numbers, and fields of the right types."""

import tomllib

import pytest

from radii.errors import InputError
from radii.storage.documents import (
    DEEP_KEY,
    check_fields,
    fits,
    parse_json,
    parse_number,
    read_document,
    read_toml,
)


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


@pytest.mark.parametrize(
    "text,reason",
    [
        ("a = ", "Invalid value"),
        ("a = " + "[" * 10**5, "more than the 65536 allowed"),
        ("a = " + "[" * 10**4, "nested too deeply"),
        ("a = 0x" + "f" * 10**4, "4300 digits"),
        ("a = [{b = 0b" + "1" * 10**5 + "}]", "more than the 65536 allowed"),
        ("a = [{b = 0b" + "1" * 10**4 * 5 + "}]", "4300 digits"),
        (".".join("a" * 17) + " = 1", "more than 16 names"),
        ("[" + " . ".join("a" * 17) + "]", "more than 16 names"),
        ("x = {" + ".".join(["'a.='", '"\\"\\u002c"'] * 9) + " = 1}", "more than 16 names"),
    ],
)
def test_invalid_toml(text, reason, tmp_path):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_toml(tmp_path / "a.toml")


def test_toml(tmp_path):
    text = (
        'seed = 0xff\r\nday = 2026-11-30\nsource = "https://a.b.c/d.e/../../../../../../../../../../../../../../f"\n'
        f"most = [{', '.join(['0.5'] * 99)}]\n{'.'.join('abcdefghijklmnop')} = inf\n"
    )
    (tmp_path / "a.toml").write_bytes(text.encode())
    assert read_toml(tmp_path / "a.toml") == tomllib.loads(text)


@pytest.mark.parametrize(
    "text", ["a" * 2**16, '"\\' * 2**15, "'\"" * 2**15, "a." * 15 + "a" * 2**16, '"' * 2**16]
)
def test_long_texts_are_searched_in_linear_time(text):
    # a search that tries every length at every place would take hours
    assert not DEEP_KEY.search(text[: 2**16])


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
