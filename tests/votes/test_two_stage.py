"""The plan for the radius itself: fresh samples where they pay, and a bound that is as good as a fixed one."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import beta, binom

import radii
from radii.certificates.planning import fresh_samples, two_stage
from radii.errors import InputError
from radii.votes.bounds import lower_bound
from radii.votes.plans import TwoStage
from radii.votes.plans.two_stage import PRIOR_VALUES, PRIOR_WEIGHTS, RadiusOf

SHAPE = (3, 32, 32)


def gaussian(sigma: float) -> RadiusOf:
    return lambda lower: sigma * np.maximum(ndtri(lower), 0)


PLAN = TwoStage(4e-7, "l2")
FRESH = PLAN.fresh_samples(gaussian(0.25))


@pytest.mark.parametrize("failures", [0, 1, 7, 100, 300, 470, 480, 700])
def test_the_number_of_samples_is_the_best_one(failures: int) -> None:
    # the rule spelled out with another library, for one outcome of the pilot at a time
    weights = PRIOR_WEIGHTS * binom.pmf(failures, 1000, PRIOR_VALUES)
    weights /= weights.sum()

    def gain(n: int) -> float:
        lower = beta.ppf(1e-3, (1 - PRIOR_VALUES) * n, PRIOR_VALUES * n + 1)
        return float(weights @ (0.25 * np.maximum(ndtri(lower), 0))) - 4e-7 * n

    gains = [gain(int(n)) for n in PLAN.sizes()]
    best = int(PLAN.sizes()[int(np.argmax(gains))]) if max(gains) > 0 else 0
    assert FRESH[failures] == best


def test_the_number_of_samples_follows_the_price() -> None:
    assert FRESH[0] == 100_000 and np.all(FRESH[500:] == 0) and np.all(FRESH[:400] > 5000)
    assert np.all(np.diff(FRESH[:460]) <= 0)
    cheap, dear = (TwoStage(price, "l2").fresh_samples(gaussian(0.25)) for price in (1e-12, 1.0))
    # a sample that costs nothing is taken wherever a radius can be hoped for
    assert np.all(cheap[:450] == 100_000) and np.all(dear == 0)
    prices = [1e-7, 4e-7, 2e-6, 1e-5]
    tables = [TwoStage(price, "l2").fresh_samples(gaussian(0.25)) for price in prices]
    for p in (0.6, 0.9, 0.999):
        draws = [
            TwoStage(1.0, "l2").operating_characteristics(p, table, (0.5,)).mean_samples for table in tables
        ]
        mean = [TwoStage(1.0, "l2").mean_radius(p, table, gaussian(0.25)) for table in tables]
        assert np.all(np.diff(draws) < 0) and np.all(np.diff(mean) < 0)


def test_a_thousandth_of_the_radius_costs_most_of_the_samples() -> None:
    # sigma .25 at the price of the default: a third to a quarter of the samples, within a few percent
    for p, share, kept in ((0.9, 0.2, 0.97), (0.99, 0.3, 0.98), (0.999, 0.7, 0.99)):
        always = TwoStage(1.0, "l2").mean_radius(p, np.full(1001, 100_000), gaussian(0.25))
        assert PLAN.operating_characteristics(p, FRESH, (0.5,)).mean_samples < share * 101_000
        assert PLAN.mean_radius(p, FRESH, gaussian(0.25)) > kept * always


# validity -----------------------------------------------------------------------------------------------


def missed(
    plan: TwoStage, p: float, fresh: np.ndarray, bound: Callable[[int, np.ndarray, int], np.ndarray]
) -> float:
    """The probability that a bound from failures in the pilot, fresh failures and fresh samples exceeds `p`."""
    total = 0.0
    for failures, chance in enumerate(binom.pmf(np.arange(plan.pilot + 1), plan.pilot, 1 - p)):
        if n := int(fresh[failures]):
            more = np.arange(n + 1)
            total += chance * binom.pmf(more, n, 1 - p) @ (bound(failures, more, n) > p)
    return float(total)


SMALL = TwoStage(2e-4, "l2", pilot=100, n_max=400, alpha=0.05)
AT = np.linspace(0.51, 0.995, 98)


def test_bounds_from_fresh_samples_miss_at_most_alpha() -> None:
    fresh = SMALL.fresh_samples(gaussian(1.0))
    found = [missed(SMALL, p, fresh, lambda _, more, n: lower_bound(n - more, n, SMALL.alpha)) for p in AT]
    assert len(set(fresh)) > 4 and 0.03 < max(found) <= SMALL.alpha


def test_bounds_that_use_the_pilot_again_are_caught() -> None:
    # a pilot that decides when to stop, and then counts: few samples where it went well, many where it did not
    fresh = np.where(np.arange(101) <= 8, 50, 400)

    def again(failures: int, more: np.ndarray, n: int) -> np.ndarray:
        return lower_bound(100 + n - failures - more, 100 + n, SMALL.alpha)

    def alone(_: int, more: np.ndarray, n: int) -> np.ndarray:
        return lower_bound(n - more, n, SMALL.alpha)

    assert max(missed(SMALL, p, fresh, again) for p in AT[::4]) > 0.059
    assert max(missed(SMALL, p, fresh, alone) for p in AT[::4]) <= SMALL.alpha


@pytest.mark.slow
@pytest.mark.parametrize("p", [0.6, 0.9, 0.99])
def test_coverage_of_a_million_runs(p: float) -> None:
    runs, rng = 10**6, np.random.default_rng(0)
    n = FRESH[rng.binomial(1000, 1 - p, runs)]
    failures = rng.binomial(n, 1 - p)
    bound = np.where(n > 0, lower_bound(n - failures, np.maximum(n, 1), 1e-3), 0)
    assert binom.sf((bound > p).sum() - 1, runs, 1e-3) > 1e-6
    assert (bound > p).mean() > 8e-4


# what it costs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.3, 0.6, 0.86, 1.0])
def test_operating_characteristics_are_those_of_all_outcomes(p: float) -> None:
    levels, fresh = (0.55, 0.75, 0.9), SMALL.fresh_samples(gaussian(1.0))
    passes, certified, mean = 0.0, np.zeros(3), 0.0
    for failures, chance in enumerate(binom.pmf(np.arange(101), 100, 1 - p)):
        n = int(fresh[failures])
        passes += chance * (100 + n)
        if n:
            lower = lower_bound(n - np.arange(n + 1), n, SMALL.alpha)
            law = binom.pmf(np.arange(n + 1), n, 1 - p)
            certified += chance * np.array([law @ (lower > level) for level in levels])
            mean += chance * float(law @ gaussian(1.0)(lower))
    found = SMALL.operating_characteristics(p, fresh, levels)
    assert found.ended.sum() == pytest.approx(1, abs=1e-12)
    assert found.mean_samples == pytest.approx(passes, rel=1e-10)
    np.testing.assert_allclose(found.certified, certified, atol=1e-12)
    assert SMALL.mean_radius(p, fresh, gaussian(1.0)) == pytest.approx(mean, rel=1e-10, abs=1e-15)


def test_the_price_follows_the_size_of_radii() -> None:
    for noise in (radii.Gaussian, radii.Laplace):
        for norm in ("l1", "l2", "linf"):
            tables = []
            for sigma in (0.25, 1.0):
                plan = two_stage(noise(sigma), norm, shape=SHAPE, n_max=2000)
                tables.append(fresh_samples(plan, noise(sigma), np.arange(0, 1001, 50), shape=SHAPE))
            np.testing.assert_array_equal(*tables)
            assert tables[0].max() == 2000 and tables[0].min() == 0
    assert two_stage(radii.Gaussian(0.25), "l2", shape=SHAPE).price == pytest.approx(4e-7)
    assert two_stage(radii.Gaussian(0.5), "l2", shape=SHAPE, price=3e-7).price == 3e-7


def test_numbers_of_samples_are_looked_up() -> None:
    noise = radii.Gaussian(0.25)
    plan = two_stage(noise, "l2", shape=SHAPE)
    found = fresh_samples(plan, noise, np.array([0, 3, 900, 3]), shape=SHAPE)
    assert found.tolist() == [100_000, FRESH[3], 0, FRESH[3]]
    # labels far from the first place can be sure to be among the first three
    top_3 = fresh_samples(two_stage(noise, "l2", shape=SHAPE, k=3), noise, np.array([600]), shape=SHAPE)
    assert top_3[0] > 5000 and FRESH[600] == 0
    for wrong in (np.array([1001]), np.array([-1]), np.array([0.5])):
        with pytest.raises(InputError, match="failures must be whole numbers from 0 to 1000"):
            fresh_samples(plan, noise, wrong, shape=SHAPE)


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"price": 0.0}, "price must be"),
        ({"price": float("inf")}, "price must be"),
        ({"price": float("nan")}, "price must be"),
        ({"pilot": 0}, "pilot must be"),
        ({"norm": "l3"}, "unknown norm"),
        ({"unit": 3}, "unknown unit"),
        ({"k": 0}, "k must be"),
        ({"n_max": 49}, "n_max must be a whole number of at least 50"),
        ({"n_max": 10**8}, "n_max must be at most"),
        ({"alpha": 2.0}, "at least 1e-200 and below 1"),
    ],
)
def test_rejects(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TwoStage(**{"price": 1e-6, "norm": "l2", **arguments})


def test_sizes_reach_both_ends() -> None:
    sizes = PLAN.sizes()
    assert sizes[0] == 50 and sizes[-1] == 100_000 and np.all(sizes[1:] <= np.ceil(1.1 * sizes[:-1]))
