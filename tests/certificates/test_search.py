"""The search returns only radii that it saw pass, and close to the largest."""

import numpy as np
import pytest

from radii.certificates.radius import largest, largest_whole


@pytest.mark.parametrize("start", [1.0, 1e-3, 1e3])
@pytest.mark.parametrize("power", [1, 3, 0.2])
def test_finds_the_largest_radius_and_has_seen_it_pass(start: float, power: float) -> None:
    edge = np.geomspace(1e-6, 1e6, 400) if start == 1 else np.geomspace(1e-3, 1e3, 400)
    seen: list[dict[float, float]] = [{} for _ in edge]

    def margin(r: np.ndarray, rows: np.ndarray) -> np.ndarray:
        value = edge[rows] ** power - r**power
        for row, radius, v in zip(rows, r, value, strict=True):
            seen[row][radius] = v
        return value

    found = largest(margin, np.arange(len(edge)), start)
    assert all(values[r] > 0 for values, r in zip(seen, found, strict=True))
    np.testing.assert_allclose(found, edge, rtol=1e-11)
    assert max(map(len, seen)) < 70


def test_a_step_is_found_too() -> None:
    edge = np.array([0.3, 1.0, 5.5])
    found = largest(lambda r, rows: np.where(r < edge[rows], 1.0, -1e-9), np.arange(3), 1.0)
    np.testing.assert_allclose(found, edge, rtol=1e-11)
    assert np.all(found < edge)


def test_nothing_holds() -> None:
    assert largest(lambda r, rows: np.full(len(r), -1.0), np.arange(4), 1.0).tolist() == [0] * 4


def test_whole_numbers() -> None:
    edge = np.array([0, 1, 2, 3, 7, 8, 50, 51])
    found = largest_whole(lambda s, rows: s <= edge[rows], np.arange(len(edge)), 50)
    assert found.tolist() == [0, 1, 2, 3, 7, 8, 50, 50]
