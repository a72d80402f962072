"""The plan for any moment: a martingale, and bounds that hold at every number of samples at once."""

from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from path_counting import count_paths, keep_going
from radii.errors import InputError
from radii.votes.bounds import lower_bound
from radii.votes.plans import Anytime, Boundaries
from radii.votes.plans.anytime import ATOM, log_mixture, mixture_lower, most_refuting
from radii.votes.plans.failure_counts import likely_level, most_failures
from radii.votes.plans.sequential import GIVEN_UP, POWER

RADII = [0.1, 0.25, 0.5, 0.75]
LEVELS = [float(ndtr(radius / 0.25)) for radius in RADII]
# every number of samples to 3000, then a grid of one percent
OFTEN = np.unique(np.r_[1:3001, np.rint(np.geomspace(3000, 20_000, 192)).astype(int)])


def first_crossings(certify: np.ndarray, looks: np.ndarray) -> Boundaries:
    """A run that ends only when it is certified, or at the last look."""
    return keep_going(Boundaries(looks, certify[None], np.zeros((1, len(looks)))))


# the mixture ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.01, 0.3, 0.5, 0.84, 0.99, 0.99999])
def test_the_mixture_is_a_martingale(p: float) -> None:
    assert log_mixture(np.array(0), np.array(0), p) == pytest.approx(0, abs=1e-12)
    s, f = (count.ravel() for count in np.meshgrid(np.arange(40), np.arange(40)))
    now = log_mixture(s, f, p)
    win, lose = log_mixture(s + 1, f, p), log_mixture(s, f + 1, p)
    np.testing.assert_allclose(p * np.exp(win - now) + (1 - p) * np.exp(lose - now), 1, rtol=1e-10)


@pytest.mark.parametrize(
    "s,f,p",
    [(0, 3, 0.2), (20, 2, 0.7), (50, 0, 0.9), (997, 3, 0.98), (99_900, 100, 0.998), (5300, 4700, 0.51)],
)
def test_the_mixture_against_forty_digits(s: int, f: int, p: float) -> None:
    mp.dps = 40
    at, density = mpf(p), lambda q: 1 / (mp.sqrt(q * (1 - q)))
    peak, width = mpf(s) / (s + f), 6 / mp.sqrt(s + f + 1) * mp.sqrt(mpf(s + 1) * (f + 1)) / (s + f + 2)
    cuts = sorted({at, *(c for c in (peak - width, peak, peak + width) if at < c < 1), mpf(1)})
    ratio = mp.quad(
        lambda q: density(q) * mp.exp(s * mp.log(q / at) + f * mp.log((1 - q) / (1 - at))), cuts, maxdegree=10
    )
    spread = ratio / mp.quad(density, [at, (1 + at) / 2, 1], maxdegree=10)
    exact = (1 - ATOM) * spread + (ATOM / at**s if f == 0 else 0)
    assert float(log_mixture(np.array(s), np.array(f), p)) == pytest.approx(float(mp.log(exact)), abs=1e-8)


@pytest.mark.parametrize("n", [10**5, 10**6, 10**7])
def test_large_counts_keep_their_digits(n: int) -> None:
    # the martingale once more: what rounding could add is far below the slack
    p, s = 0.9, np.rint(n * np.array([0.9, 0.901, 0.9035, 0.91])).astype(int)
    now = log_mixture(s, n - s, p)
    win, lose = log_mixture(s + 1, n - s, p), log_mixture(s, n - s + 1, p)
    np.testing.assert_allclose(p * np.exp(win - now) + (1 - p) * np.exp(lose - now), 1, atol=2e-7)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-3])
def test_refuted_probabilities_lie_together(alpha: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(np.exp(rng.uniform(0, np.log(1e5))))
        s = max(1, int(rng.binomial(n, rng.random())))
        p = s / n * np.linspace(0, 1, 402)[1:-1]
        refuted = log_mixture(np.array(s), np.array(n - s), p) >= -np.log(alpha)
        assert np.all(np.diff(refuted.astype(int)) <= 0)
        low = float(mixture_lower(np.array([s]), np.array([n]), alpha)[0])
        assert np.array_equal(refuted, p <= low) or np.abs(p - low).min() < 1e-5
        assert low <= s / n


# bounds that hold together ----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("alpha", [0.2, 0.05])
def test_all_bounds_of_all_paths_hold_together(p: float, alpha: float) -> None:
    plan = Anytime(alpha=alpha, n_max=100)
    looks = np.arange(1, 101)
    certify = [int((plan.lower(n - np.arange(n + 1), int(n)) > p).sum()) - 1 for n in looks]
    missed = sum(count_paths(first_crossings(np.array(certify), looks), p)[1])
    assert alpha / 10 < missed <= Fraction(alpha)


@pytest.mark.parametrize(
    "level,published",
    list(zip(LEVELS, [0.00091, 0.00091, 0.00087, 0.00070], strict=True)),
    ids=map(str, RADII),
)
def test_error_at_full_size(level: float, published: float) -> None:
    plan = Anytime(n_max=20_000).boundaries((level,), OFTEN)
    found = keep_going(plan).operating_characteristics(level).certified[0]
    assert found <= 1e-3 and found == pytest.approx(published, abs=6e-6)


@pytest.mark.parametrize("level", LEVELS, ids=map(str, RADII))
def test_twice_the_error_is_caught(level: float) -> None:
    # log(1 / (2 alpha)) for log(1 / alpha), and Clopper & Pearson's bound at every look
    doubled = most_refuting(level, OFTEN, 2e-3)
    assert first_crossings(doubled, OFTEN).operating_characteristics(level).certified[0] > 1.2e-3
    looks = np.arange(100, 20_001, 100)
    peeking = first_crossings(most_failures(level, looks, 1e-3), looks)
    assert peeking.operating_characteristics(level).certified[0] > 4e-3


@pytest.mark.slow
@pytest.mark.parametrize("p", LEVELS, ids=map(str, RADII))
def test_coverage_of_a_million_runs(p: float) -> None:
    runs, rng = 10**6, np.random.default_rng(0)
    looks = np.unique(np.rint(np.geomspace(1, 20_000, 46)).astype(int))
    plan = Anytime(n_max=20_000)
    failures, missed = np.zeros(runs, dtype=np.int64), np.zeros(runs, dtype=bool)
    for before, n in zip(np.r_[0, looks], looks, strict=False):
        failures += rng.binomial(n - before, 1 - p, runs)
        different, which = np.unique(failures, return_inverse=True)
        missed |= (plan.lower(n - different, int(n)) > p)[which]
    assert binom.sf(missed.sum() - 1, runs, 1e-3) > 1e-6
    assert missed.mean() > 2e-4


# tests of levels ------------------------------------------------------------------------------------------


def test_boundaries_are_the_bounds() -> None:
    plan, levels, looks = Anytime(alpha=0.05, n_max=60), (0.5, 0.7, 0.9), np.arange(1, 61)
    found = plan.boundaries(levels, looks)
    for look, n in enumerate(looks):
        lower = plan.lower(n - np.arange(n + 1), int(n))
        for j, level in enumerate(levels):
            assert found.certify[j, look] == (lower > level).sum() - 1
    assert np.all(found.futile[:, -1] == found.certify[:, -1] + 1)


def test_giving_up_costs_little_power() -> None:
    level = LEVELS[1]
    looks = np.unique(np.rint(np.geomspace(16, 20_000, 40)).astype(int))
    plan = Anytime(n_max=20_000).boundaries((level,), looks)
    hoped = likely_level(level, 20_000, 1e-3, POWER)
    assert plan.operating_characteristics(hoped).futile <= GIVEN_UP
    assert plan.operating_characteristics(0.6).mean_samples < 200
    certain = keep_going(plan).operating_characteristics(0.9).certified[0]
    assert plan.operating_characteristics(0.9).certified[0] > certain - GIVEN_UP


def test_the_bound_at_the_end_is_nearly_the_exact_one() -> None:
    s, n = np.array([100_000, 99_990, 90_000]), 100_000
    at_end, before = Anytime(n_max=n).lower(s, n), Anytime(n_max=10**6).lower(s, n)
    np.testing.assert_allclose(at_end, lower_bound(s, n, 5e-4), rtol=1e-12)
    assert np.all(before < at_end)
    # normal quantile of the bound from unanimous votes, at all of alpha
    assert ndtri(mixture_lower(s[:1], np.array([n]), 1e-3)[0]) == pytest.approx(3.787, abs=5e-4)


def test_more_successes_raise_the_bound() -> None:
    lower = Anytime().lower(np.arange(501), 500)
    assert lower[0] == 0 and np.all(np.diff(lower) >= 0) and lower[-1] < 1
    assert Anytime().lower(3, 3).shape == ()


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: Anytime(alpha=1.0), "at least 1e-200 and below 1"),
        (lambda: Anytime(n_max=0), "n_max must be a whole number"),
        (lambda: Anytime(n_max=10**9), "n_max must be at most"),
        (lambda: Anytime().lower(5, 4), "give 0 to n successes"),
        (lambda: Anytime().lower(-1, 4), "give 0 to n successes"),
        (lambda: Anytime().lower(0, 0), "give 0 to n successes"),
        (lambda: mixture_lower(np.array([3]), np.array([4]), 0.7), "at alpha up to"),
        (lambda: Anytime(n_max=100).boundaries((0.999,), np.array([10, 100])), "take at least"),
        (lambda: Anytime().boundaries((0.9, 0.8), np.array([10])), "levels must be probabilities"),
    ],
)
def test_rejects(call: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()  # type: ignore[operator]
