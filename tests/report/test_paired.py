"""Paired statistics: against SciPy and hand values, by all outcomes of small samples, and by simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, multinomial

from radii.errors import InputError
from radii.report.paired import (
    difference_interval,
    difference_lower,
    holm,
    mcnemar,
    paired_tests,
    share_interval,
)


@pytest.mark.parametrize("first,second", [(0, 0), (1, 0), (0, 7), (3, 3), (43, 46), (70, 40), (1200, 1100)])
def test_mcnemar_is_the_binomial_test_of_the_images_that_differ(first, second):
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(np.array(first), np.array(second)) == pytest.approx(expected, rel=1e-12)
    assert mcnemar(np.array(first), np.array(second)) == mcnemar(np.array(second), np.array(first))


def test_holm_by_hand():
    # Holm's own steps: .01 x 4, then .02 x 3, then .03 x 2 (not below .06), then .04 x 1 (not below .06)
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([[0.5, 0.001], [0.9, 0.02]])) == pytest.approx(np.array([[1, 0.004], [1, 0.06]]))
    assert holm(np.array([0.2])) == pytest.approx([0.2]) and holm(np.zeros(0)).shape == (0,)


def test_the_p_value_of_one_pair_at_one_radius_needs_no_adjustment():
    held = np.array([[[True] * 9 + [False] * 3], [[False] * 8 + [True] * 2 + [False] * 2]])
    tests = paired_tests(held, np.ones((2, 12), dtype=bool))
    assert tests.only[:, :, 0].tolist() == [[0, 8], [1, 0]]
    assert tests.p[0, 1, 0] == tests.adjusted[0, 1, 0] == pytest.approx(binomtest(8, 9).pvalue)
    assert tests.adjusted[1, 0, 0] == pytest.approx(1 - 0.5**9)


def test_pairs_are_counted_on_their_common_images():
    random = np.random.default_rng(0)
    held, known = random.random((4, 3, 50)) < 0.6, random.random((4, 50)) < 0.7
    held &= known[:, None]
    tests = paired_tests(held, known)
    for one, other, radius in itertools.product(range(4), range(4), range(3)):
        both = known[one] & known[other]
        assert tests.only[one, other, radius] == (both & held[one, radius] & ~held[other, radius]).sum()
        assert tests.shares[one, radius] == held[one, radius].sum() / known[one].sum()


def outcomes(images: int, p: float, q: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All counts of images that one of two runs certifies alone, with their probabilities."""
    pairs = np.array([(s, t) for s in range(images + 1) for t in range(images + 1 - s)])
    rest = images - pairs.sum(axis=1)
    return pairs[:, 0], pairs[:, 1], multinomial.pmf(np.c_[pairs, rest], images, [p, q, 1 - p - q])


@pytest.mark.parametrize("images", [1, 2, 10, 40])
@pytest.mark.parametrize("p,q", [(0, 0), (0.1, 0.1), (0.02, 0.1), (0.5, 0.2), (0, 1), (0.3, 0), (0.01, 0.01)])
def test_intervals_of_differences_hold_with_their_confidence(images, p, q):
    """By the probabilities of all outcomes, without simulation."""
    s, t, weight = outcomes(images, p, q)
    for confidence in (0.5, 0.9, 0.95):
        low, high = difference_interval(s, t, images, confidence).T
        slack = 1e-12
        assert weight[low > p - q + slack].sum() <= (1 - confidence) / 2 + slack
        assert weight[high < p - q - slack].sum() <= (1 - confidence) / 2 + slack
        assert weight[(low <= p - q + slack) & (p - q - slack <= high)].sum() >= confidence - slack


def test_intervals_hold_in_samples_of_the_usual_size():
    random = np.random.default_rng(1)
    for p, q in ((0.05, 0.05), (0.1, 0.04)):
        s, t, _ = random.multinomial(500, [p, q, 1 - p - q], size=20_000).T
        low, high = difference_interval(s, t, 500).T
        covered = ((low <= p - q) & (p - q <= high)).mean()
        # never below the confidence, and not as wide as to hold always
        assert 0.95 <= covered <= 0.9999
        # at most 1.6 times as wide as the normal approximation, whose coverage may be too small
        width = 2 * 1.96 * np.sqrt((p + q - (p - q) ** 2) / 500)
        assert np.mean(high - low) < 1.6 * width


def test_an_interval_that_overclaims_would_be_noticed(monkeypatch):
    monkeypatch.setattr("radii.report.paired.lower_bound", lambda s, n, alpha: np.asarray(s) / n)
    s, t, weight = outcomes(40, 0.1, 0.1)
    assert weight[difference_lower(s, t, 40, 0.025) > 0].sum() > 0.025


def test_the_interval_of_a_share_is_that_of_clopper_and_pearson():
    for held in (0, 3, 20):
        expected = binomtest(held, 20).proportion_ci(0.95, method="exact")
        assert share_interval(np.array(held), 20) == pytest.approx([expected.low, expected.high], abs=1e-9)


def test_confidence_is_a_probability():
    for confidence in (0, 1, 95, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            difference_interval(np.array(1), np.array(1), 10, confidence)


def test_equal_runs_are_seldom_called_different():
    """The error of all claims together is at most 5 %, for runs that are equal at every radius."""
    random, radii, false = np.random.default_rng(0), np.linspace(0.1, 1, 10), []
    for _ in range(600):
        # images differ in difficulty, as they do in practice, so that runs agree on most of them
        robust = random.gamma(2, 0.3, 300) + random.normal(0, 0.1, (4, 300))
        tests = paired_tests(robust[:, None] >= radii[:, None], np.ones((4, 300), dtype=bool))
        false.append((tests.adjusted <= 0.05).any())
    # the upper bound on 5 % by a binomial test at 1e-3
    assert np.mean(false) <= 0.05 + 3.1 * np.sqrt(0.05 * 0.95 / 600)
    assert np.mean(false) > 0, "the test has power"
