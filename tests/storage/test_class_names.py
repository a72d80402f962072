"""Class names: numbers are ordered by size, names match as text or as numbers, and messages list differences."""

import re

import pytest

from radii.errors import InputError
from radii.storage.class_names import are_counted, find_positions, in_order, match, number_of, text_of


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (map(str, range(12)), [str(number) for number in range(12)]),
        (["1.0", "2.5", "10.0"], ["1.0", "2.5", "10.0"]),
        (["-1", "1", "-10"], ["-10", "-1", "1"]),
        (["007", "2", "1e1"], ["2", "007", "1e1"]),
        ([f"{10**30 + one}" for one in (2, 1)], [f"{10**30 + one}" for one in (1, 2)]),
        (["10", "9", "other"], ["10", "9", "other"]),
        (["10", "9", "09"], ["09", "10", "9"]),
        (["dog", "cat", "dog"], ["cat", "dog"]),
        (["10", "9", "1e999"], ["10", "1e999", "9"]),
        (["1_0", "9"], ["1_0", "9"]),
        (["٣", "1"], ["1", "٣"]),
        (["nan", "inf", "1"], ["1", "inf", "nan"]),
        (["9" * 5000, "10"], ["10", "9" * 5000]),
        ([], []),
    ],
)
def test_numbers_are_ordered_by_size_and_other_names_as_text(names, expected) -> None:
    names = list(names)
    assert in_order(names) == in_order(reversed(names)) == tuple(expected)


def test_what_is_a_number() -> None:
    assert (
        number_of("3") == 3 and isinstance(number_of("3"), int) and number_of("3.") == number_of("+3e0") == 3
    )
    assert [number_of(one) for one in ("", ".", "e1", "1/2", "0x1", " 1", "True")] == [None] * 7
    assert [text_of(one) for one in (1, 1.5, "a", b"a")] == ["1", "1.5", "a", "a"]


def test_names_that_count_add_nothing_to_positions() -> None:
    assert are_counted(["0", "1", "2"]) and are_counted(["0.0", "1.0"]) and are_counted([])
    assert not are_counted(["1", "2"]) and not are_counted(["0", "2"]) and not are_counted(["0", "b"])


@pytest.mark.parametrize(
    ("names", "known", "places"),
    [
        (["cat", "dog"], ["dog", "cat"], [1, 0]),
        (["2", "10"], ["10", "2"], [1, 0]),
        (["1", "2", "4"], ["4.0", "2.0", "1.0"], [2, 1, 0]),
        (["1", "other"], ["other", "1.0"], [1, 0]),
        (["01", "1"], ["1", "01"], [1, 0]),
        (["dog"], ["cat", "dog"], [1]),
        (["eel"], ["cat", "dog"], None),
        (["1", "1.0"], ["1", "2"], None),
        (["cat"], ["cat", "cat"], None),
    ],
)
def test_positions_of_names(names, known, places) -> None:
    assert find_positions(names, known) == places


@pytest.mark.parametrize(
    ("names", "known", "words"),
    [
        (["cat", "dog"], ["cat", "owl"], "only the model has 'owl' and only photos has 'dog'"),
        (["cat"], ["cat", "owl", "eel"], "but only the model has 'owl', 'eel': give"),
        (["cat", "dog"], ["cat"], "but only photos has 'dog': give images of the model's classes"),
        (["1"], list("123456"), "only the model has '2', '3', '4' and 2 more: give"),
        (["cat", "dog"], ["cat", "dog", "dog"], "but some names come twice: give"),
        (["1", "2"], ["0.5", "2.0"], "only the model has '0.5' and only photos has '1'"),
    ],
)
def test_sets_of_names_that_differ(names, known, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as said:
        match(names, known, "photos")
    assert str(said.value).endswith("class_map= or --class-map FILE")
