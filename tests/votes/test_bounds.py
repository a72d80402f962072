"""Bounds from counts: exact, on the safe side, and holding together."""

from math import comb

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.stats import beta, binom

from radii.errors import InputError
from radii.votes.bounds import METHODS, bounds, lower_bound, strongest_rivals, upper_bound


@pytest.mark.parametrize("n", [1, 20, 1000, 100_000])
@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-6])
def test_bounds_are_the_exact_ones(n: int, alpha: float) -> None:
    s = np.unique(np.linspace(0, n, 37).astype(int))
    low, high = lower_bound(s, n, alpha), upper_bound(s, n, alpha)
    # at the bound, seeing so many (few) successes has probability alpha
    np.testing.assert_allclose(binom.sf(s[1:] - 1, n, low[1:]), alpha, rtol=1e-6)
    np.testing.assert_allclose(binom.cdf(s[:-1], n, high[:-1]), alpha, rtol=1e-6)
    assert low[0] == 0 and high[-1] == 1
    np.testing.assert_allclose(low[-1], alpha ** (1 / n), rtol=1e-10)


def exact_tail(s: int, n: int, p: mpf) -> mpf:
    """P(at least s successes of n), term by term in 40 digits."""
    term = mp.binomial(n, s) * p**s * (1 - p) ** (n - s)
    total = term
    for j in range(s, n):
        term *= mpf(n - j) / (j + 1) * p / (1 - p)
        total += term
    return total


@pytest.mark.parametrize(
    "s,n", [(999, 1000), (1000, 1000), (100_000, 100_000), (99_000, 100_000), (3, 7), (5020, 10_000)]
)
@pytest.mark.parametrize("alpha", [0.01, 1e-3, 1e-5])
def test_rounding_is_outwards(s: int, n: int, alpha: float) -> None:
    mp.dps = 40
    assert exact_tail(s, n, mpf(float(lower_bound(np.array([s]), n, alpha)[0]))) < mpf(alpha)
    high = mpf(float(upper_bound(np.array([n - s]), n, alpha)[0]))
    assert exact_tail(s, n, 1 - high) < mpf(alpha)


def test_upper_bounds_near_one_round_outwards() -> None:
    """There a step of the bound itself is more than the margin of the lower bound on the failures."""
    mp.dps = 40
    n = 10**7
    for failures in range(1, 60):
        complement = 1 - mpf(float(upper_bound(np.array([n - failures]), n, 1e-3)[0]))
        fewer = mp.fsum(
            mp.binomial(n, j) * complement**j * (1 - complement) ** (n - j) for j in range(failures)
        )
        assert 1 - fewer < mpf("1e-3")


@pytest.mark.parametrize(
    "s,n,alpha",
    [(1000, 10**8, 1e-3), (1000, 2 * 10**8, 1e-9), (10**7 - 999, 10**7, 1e-6), (10**6 - 999, 10**6, 1e-12)],
)
def test_bounds_hold_where_the_inverse_beta_function_fails(s: int, n: int, alpha: float) -> None:
    low = lower_bound(np.array([s]), n, alpha)[0]
    assert binom.sf(s - 1, n, low) <= alpha * (1 + 1e-9)
    assert low > s / n - 8 * np.sqrt(s * (n - s) / n) / n - 40 / n


def rival_sums(p: np.ndarray, label: int, k: int) -> np.ndarray:
    others = np.sort(np.delete(p, label))[-k:]
    return np.cumsum(others)


CASES = [
    ([0.5, 0.2, 0.1, 0.1, 0.1], 3),
    ([0.4, 0.3, 0.2, 0.1, 0.0], 2),
    ([0.25, 0.25, 0.25, 0.25], 1),
    ([0.9, 0.05, 0.05], 1),
    ([0.34, 0.22, 0.22, 0.22], 3),
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("p,k", CASES)
def test_all_bounds_hold_together(method: str, p: list[float], k: int) -> None:
    alpha, draws = 0.05, 40_000
    truth = np.array(p)
    counts = np.random.default_rng(0).multinomial(200, truth, draws)
    lower, rivals = bounds(counts, np.zeros(draws, int), k=k, alpha=alpha, method=method)
    wrong = (lower > truth[0]) | (rivals < rival_sums(truth, 0, k) - 1e-12).any(axis=1)
    assert binom.sf(wrong.sum() - 1, draws, alpha) > 1e-6, f"missed {wrong.mean():.4f}"


def test_a_bound_that_takes_the_strongest_rival_at_full_alpha_is_caught() -> None:
    # what the test above must be able to see: the largest of many counts, bounded as if fixed beforehand
    alpha, draws, classes = 0.05, 40_000, 10
    truth = np.full(classes, 1 / classes)
    counts = np.random.default_rng(0).multinomial(200, truth, draws)
    smallest = np.sort(counts[:, 1:], axis=1)[:, 0]
    wrong = upper_bound(smallest, 200, alpha) < truth[0]
    assert binom.sf(wrong.sum() - 1, draws, alpha) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_columns_are_sums_of_the_smallest_of_the_largest(method: str) -> None:
    counts = np.array([[700, 150, 90, 40, 20]])
    lower, rivals = bounds(counts, np.array([0]), k=3, alpha=1e-3, method=method)
    assert np.all(np.diff(rivals[0]) > 0)
    assert np.all(rivals[0] <= np.arange(1, 4) / 3 * (1 - lower[0]) + 1e-15)
    if method != "binary":
        assert np.all(
            rivals[0] >= np.minimum(np.cumsum([40, 90, 150]) / 1000, np.arange(1, 4) / 3 * (1 - lower[0]))
        )


def test_two_event_bound_beats_the_simultaneous_one() -> None:
    counts = np.random.default_rng(1).multinomial(1000, [0.6, 0.2, *[0.2 / 8] * 8], 50)
    label = np.zeros(50, int)
    for k in (1, 3):
        ours, theirs = (bounds(counts, label, k=k, method=m) for m in ("two-event", "simultaneous"))
        assert np.all(ours[0] > theirs[0]) and np.all(ours[1][:, -1] < theirs[1][:, -1])


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"k": 0}, "at least 1"),
        ({"k": 3}, "smaller than the number of classes"),
        ({"k": 10**9}, "k must be at most"),
        ({"alpha": 0.0}, "at least 1e-200 and below 1"),
        ({"alpha": 1e-320}, "at least 1e-200 and below 1"),
        ({"alpha": 1.0}, "at least 1e-200 and below 1"),
        ({"method": "two-events"}, "did you mean 'two-event'"),
    ],
)
def test_rejects(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        bounds(np.array([[5, 3, 2]]), np.array([0]), **arguments)


def test_so_many_rivals_that_an_error_has_no_part_left_for_each() -> None:
    counts = np.zeros((1, 2500), dtype=int)
    counts[0, 0] = 1000
    lower, rivals = bounds(counts, np.array([0]), k=2000)
    assert lower[0] > 0.99 and rivals.shape == (1, 2000) and np.all(np.diff(rivals[0]) >= 0)
    np.testing.assert_array_equal(rivals[0], np.arange(1, 2001) / 2000 * (1 - lower[0]))


@pytest.mark.parametrize("counts", [[[1.5, 2.0]], [[-1, 3]], [1, 2], [[0, 0]]])
def test_rejects_what_are_not_counts(counts: list) -> None:
    with pytest.raises(InputError, match="counts must"):
        bounds(np.array(counts), np.array([0]))
    with pytest.raises(InputError, match="label must"):
        bounds(np.array([[5, 3, 2]]), np.array([3]))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_two_event_bound_image_by_image(k: int) -> None:
    # the statement in docs/math/statistics.md, spelled out with another library's quantiles
    alpha = 0.01
    for row in np.random.default_rng(2).multinomial(500, [0.4, 0.25, 0.2, 0.1, 0.05], 5):
        n, y = row.sum(), row[0]
        others = sorted(row[1:], reverse=True)
        lower, rivals = bounds(row[None], np.array([0]), k=k, alpha=alpha)
        low = beta.ppf(alpha / 2, y, n - y + 1)
        assert lower[0] == pytest.approx(low, rel=1e-9)
        for t in range(1, k + 1):
            total = sum(others[k - t : k])
            high = beta.ppf(1 - alpha / (2 * k) / comb(k, t), total + 1, n - total)
            assert rivals[0, t - 1] == pytest.approx(min(high, t / k * (1 - low)), rel=1e-9)


@pytest.mark.parametrize("k", [1, 2, 5, 17, 30])
def test_the_strongest_rivals_are_those_of_a_sort(k):
    rng = np.random.default_rng(k)
    counts, label = rng.integers(0, 6, (300, 40)), rng.integers(0, 40, 300)
    before = counts.copy()
    others = [np.delete(row, one) for row, one in zip(counts, label, strict=True)]
    np.testing.assert_array_equal(strongest_rivals(counts, label, k), np.sort(others, axis=1)[:, -k:])
    np.testing.assert_array_equal(counts, before)
