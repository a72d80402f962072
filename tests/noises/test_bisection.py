"""The one bisection: brackets end where the test changes, many at once, and never move a bracket that has no inside."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radii.noises.theory.bisection import bisect, bisect_whole


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_brackets_close_around_where_a_test_ends(ends: list[float]) -> None:
    edge = np.array(ends)
    low, high = bisect(lambda x: x < edge, -np.ones(len(edge)), 2 * np.ones(len(edge)), 80)
    assert np.all(low < edge) and np.all(edge <= high) and np.all(high - low < 1e-15)


def test_a_bracket_is_not_narrowed_beyond_what_was_asked() -> None:
    asked: list[np.ndarray] = []

    def holds(x: np.ndarray) -> np.ndarray:
        asked.append(x)
        return x < 3.0

    low, high = bisect(holds, 1.0, 5.0, 100, rtol=0.01)
    assert low < 3 <= high <= low * 1.01 and len(asked) == 8
    assert all(float(one) for one in bisect(holds, 1.0, 5.0, 0)) and len(asked) == 8


@given(st.lists(st.integers(-1, 40), min_size=1, max_size=8), st.integers(0, 39))
def test_whole_numbers(ends: list[int], last: int) -> None:
    edge = np.minimum(np.array(ends), last)
    low, high = bisect_whole(lambda n: n <= edge, np.full(len(edge), -1), np.full(len(edge), last + 1))
    assert np.array_equal(low, edge) and np.array_equal(high, edge + 1)


@pytest.mark.parametrize("holds", [True, False])
def test_neighbours_stay_as_they_are(holds: bool) -> None:
    low, high = bisect_whole(lambda n: np.full(n.shape, holds), np.array([3, 0]), np.array([4, 9]))
    assert (low[0], high[0]) == (3, 4) and (low[1], high[1]) == ((8, 9) if holds else (0, 1))
