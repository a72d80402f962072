"""The group-sequential plan: its error is at most alpha, exactly, and it costs what it says."""

from fractions import Fraction
from itertools import count

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.special import ndtr
from scipy.stats import binom

from path_counting import count_paths, draw_by_draw, keep_going
from radii.errors import InputError
from radii.votes.plans import Boundaries, Sequential, failure_counts, fixed_boundaries
from radii.votes.plans.failure_counts import (
    CUT_EXPONENT,
    Mass,
    cut,
    least_samples,
    likely_level,
    most_failures,
    new_failures,
)
from radii.votes.plans.sequential import (
    GIVEN_UP,
    NEAR,
    POWER,
    RATIO,
    choose_looks,
    efficacy_boundary,
    error_spending,
    level_boundaries,
    whole_batches,
)

RADII = [0.1, 0.25, 0.5, 0.75]
LEVELS = [float(ndtr(radius / 0.25)) for radius in RADII]
SMALL = [
    (0.6, 0.05, 90),
    (0.8, 0.01, 120),
    (0.3, 0.02, 60),
    (0.95, 0.05, 100),
    (0.5, 1e-3, 64),
    (0.7, 0.3, 33),
]


def error(plan: Boundaries, level: float) -> float:
    """Probability to certify `level` where the label has just that probability, by whoever goes on to the end."""
    return draw_by_draw(plan.looks, plan.certify[0], level)


def peeking(level: float, n_max: int, alpha: float = 1e-3) -> Boundaries:
    """What must not be done: Clopper & Pearson's bound at all of alpha after every hundred samples."""
    looks = np.arange(100, n_max + 1, 100)
    certify = most_failures(level, looks, alpha)
    futile = np.full(len(looks), n_max + 1)
    futile[-1] = certify[-1] + 1
    return Boundaries(looks, certify[None], futile[None])


# validity -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level,alpha,n_max", SMALL)
@pytest.mark.parametrize("batch", [1, 7])
def test_error_in_whole_numbers_is_at_most_what_may_be_spent(
    level: float, alpha: float, n_max: int, batch: int
) -> None:
    plan = level_boundaries(level, alpha, n_max, batch)
    _, efficacy = choose_looks(level, alpha, n_max, batch)
    allowed = error_spending(efficacy, alpha)
    spent = np.cumsum(count_paths(keep_going(plan), level)[1])
    assert spent[-1] <= Fraction(alpha)
    for look in np.flatnonzero(efficacy):
        assert spent[look] <= Fraction(allowed[look])
    assert all(plan.certify[0][~efficacy] == -1)


@pytest.mark.parametrize("level,alpha,n_max", SMALL)
def test_one_failure_more_at_any_look_is_caught(level: float, alpha: float, n_max: int) -> None:
    plan = level_boundaries(level, alpha, n_max)
    looks, efficacy = choose_looks(level, alpha, n_max, 1)
    allowed = error_spending(efficacy, alpha)
    for look in np.flatnonzero(efficacy):
        certify = plan.certify.copy()
        certify[0, look] = max(certify[0, : look + 1]) + 1
        spent = np.cumsum(count_paths(keep_going(Boundaries(looks, certify, plan.futile)), level)[1])
        assert spent[look] > Fraction(allowed[look])


@pytest.mark.parametrize(
    "level,published",
    list(zip(LEVELS, [0.00099, 0.00098, 0.00098, 0.00072], strict=True)),
    ids=map(str, RADII),
)
def test_error_at_full_size(level: float, published: float) -> None:
    plan = Sequential((level,), n_max=20_000).boundaries
    found = error(plan, level)
    assert found <= 1e-3 and round(found, 5) == published
    assert keep_going(plan).operating_characteristics(level).certified[0] == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize(
    "level,published", list(zip(LEVELS, [0.0151, 0.0150, 0.0121, 0.0046], strict=True)), ids=map(str, RADII)
)
def test_peeking_is_caught(level: float, published: float) -> None:
    found = error(peeking(level, 20_000), level)
    assert found > 1e-3 and round(found, 4) == published


def test_error_that_is_forgotten_is_caught() -> None:
    # as if every look could spend what may be spent up to there, whatever was spent before
    level, alpha, n_max = LEVELS[1], 1e-3, 20_000
    looks, efficacy = choose_looks(level, alpha, n_max, 1)
    allowed = error_spending(efficacy, alpha)
    certify = [int(most_failures(level, n, a)) if a else -1 for n, a in zip(looks, allowed, strict=True)]
    assert draw_by_draw(looks, np.array(certify), level) > 1.5 * alpha


def test_what_may_be_spent() -> None:
    alpha = 1e-3
    for n_max, several in ((100_000, True), (60, False), (44, False)):
        looks, efficacy = choose_looks(LEVELS[1], alpha, n_max, 1)
        allowed = error_spending(efficacy, alpha)
        assert len(allowed) == len(looks) and allowed[-1] == alpha and np.all(allowed[~efficacy] == 0)
        if several:
            steps = np.diff(allowed[efficacy] / alpha)
            assert allowed[efficacy][0] == pytest.approx(0.15 * alpha)
            assert steps[:-1] == pytest.approx(0.35 / (len(steps) - 1)) and steps[-1] == pytest.approx(0.5)
        else:
            assert allowed[efficacy][:-1] == pytest.approx(0.15 * alpha) and efficacy.sum() <= 2


def test_less_than_the_level_is_certified_less() -> None:
    plan = Sequential((0.8,), alpha=0.01, n_max=2000)
    found = [plan.operating_characteristics(p).certified[0] for p in np.linspace(0.5, 0.95, 46)]
    assert np.all(np.diff(found) >= -1e-15)
    assert (
        found[30] == pytest.approx(plan.operating_characteristics(0.8).certified[0])
        and found[30] <= 0.01 < found[31]
    )
    assert found[-1] > 1 - GIVEN_UP


def test_what_is_cut_off_counts_as_error(monkeypatch) -> None:
    # windows that leave out more than alpha certify nothing, however few the failures
    monkeypatch.setattr(failure_counts, "BELOW_ALPHA", 0.5)
    assert most_failures(0.5, 1000, 1e-30) > 200
    assert np.all(efficacy_boundary(0.5, np.array([1000]), np.array([1e-30])) == -1)
    monkeypatch.setattr(failure_counts, "BELOW_ALPHA", 1.0)
    assert np.all(efficacy_boundary(0.5, np.array([1000]), np.array([1e-30])) > 200)


@pytest.mark.parametrize("alpha", [1e-17, 1e-20, 1e-60, 1e-200])
def test_the_smallest_errors_are_spent_and_not_exceeded(alpha: float) -> None:
    plan = level_boundaries(0.5, alpha, 1500)
    spent = sum(count_paths(keep_going(plan), 0.5)[1])
    assert Fraction(alpha) / 10 < spent <= Fraction(alpha)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS, ids=map(str, RADII))
def test_error_of_a_million_runs(level: float) -> None:
    runs, alpha, rng = 10**6, 1e-3, np.random.default_rng(0)

    def certified(plan: Boundaries) -> int:
        failures, found = np.zeros(runs, dtype=np.int64), np.zeros(runs, dtype=bool)
        for look, draws in enumerate(np.diff(plan.looks, prepend=0)):
            failures += rng.binomial(draws, 1 - level, runs)
            found |= failures <= plan.certify[0, look]
        return int(found.sum())

    assert binom.sf(certified(Sequential((level,), n_max=20_000).boundaries) - 1, runs, alpha) > 1e-6
    assert binom.sf(certified(peeking(level, 20_000)) - 1, runs, alpha) < 1e-6


# several radii --------------------------------------------------------------------------------------------

SEVERAL = Sequential((0.55, 0.7, 0.72, 0.9), alpha=0.05, n_max=80)


@pytest.mark.parametrize("p", [0.0, 0.3, 0.6, 0.71, 0.85, 0.95, 1.0])
def test_operating_characteristics_are_those_of_all_paths(p: float) -> None:
    found = SEVERAL.operating_characteristics(p)
    exact = np.array(count_paths(SEVERAL.boundaries, p), dtype=float)
    np.testing.assert_allclose(found.ended, exact, rtol=1e-11, atol=1e-19)
    assert found.ended.sum() == pytest.approx(1, abs=1e-12)
    assert found.mean_samples == pytest.approx((exact.sum(axis=0) * found.looks).sum(), rel=1e-12)
    assert found.certified[2] == pytest.approx(exact[3:].sum(), rel=1e-11, abs=1e-19)
    assert found.futile == pytest.approx(exact[:-1, :-1].sum(), rel=1e-11, abs=1e-19)
    reached = np.cumsum(exact.sum(axis=0))
    for share in (0.05, 0.5, 0.95):
        assert found.quantile(share) == found.looks[np.flatnonzero(reached >= share - 1e-12)[0]]


@pytest.mark.parametrize("batch", [1, 16])
def test_no_false_radius_is_certified_more_often_than_alpha(batch: int) -> None:
    alpha = 0.05
    plan = keep_going(Sequential((0.55, 0.7, 0.72, 0.9), alpha=alpha, n_max=96, batch=batch).boundaries)
    for first_false, p in enumerate((0.55, 0.7, 0.72, 0.9)):
        ended = count_paths(plan, p)
        assert 0 < sum(sum(row) for row in ended[first_false + 1 :]) <= Fraction(alpha)


def test_at_looks_of_other_levels_a_level_keeps_its_boundaries() -> None:
    levels = tuple(LEVELS[1:])
    joint = Sequential(levels).boundaries
    for j, level in enumerate(levels):
        own = level_boundaries(level, 1e-3, 100_000)
        last = np.searchsorted(own.looks, joint.looks, side="right") - 1
        expected = np.where(last < 0, -1, np.maximum.accumulate(own.certify[0])[last])
        np.testing.assert_array_equal(joint.certify[j], expected)
        # too many at the next look of its own are too many now
        coming = np.searchsorted(own.looks, joint.looks)
        least = np.minimum.accumulate(own.futile[0][::-1])[::-1]
        np.testing.assert_array_equal(joint.futile[j], least[coming])
    assert len(joint.looks) > 2 * len(level_boundaries(levels[0], 1e-3, 100_000).looks)


def test_a_level_among_several_is_tested_as_if_alone() -> None:
    levels = tuple(LEVELS[1:])
    joint = keep_going(Sequential(levels).boundaries)
    for j, level in enumerate(levels):
        alone = keep_going(Sequential((level,)).boundaries)
        for p in (level, level + (1 - level) / 3, 1 - 1e-4):
            # only the runs in which a smaller level is certified late are lost
            together, single = (
                joint.operating_characteristics(p).certified[j],
                alone.operating_characteristics(p).certified[0],
            )
            assert single * (1 - 1e-3) <= together <= single * (1 + 1e-12)


def test_decisions_of_runs_are_the_law_of_the_plan() -> None:
    plan, p, runs = SEVERAL.boundaries, 0.83, 40_000
    rng = np.random.default_rng(1)
    failures, certified = np.zeros((2, runs), dtype=np.int64)
    over, ended = np.zeros(runs, dtype=bool), np.zeros((5, len(plan.looks)))
    for look, draws in enumerate(np.diff(plan.looks, prepend=0)):
        failures += rng.binomial(draws, 1 - p, runs)
        now, done = plan.decide(np.full(runs, look), failures, certified)
        assert np.all(now >= certified)
        certified = np.where(over, certified, now)
        np.add.at(ended[:, look], certified[done & ~over], 1)
        over |= done
    assert over.all()
    expected = SEVERAL.operating_characteristics(p).ended * runs
    assert np.all(np.abs(ended - expected) <= 5 * np.sqrt(expected) + 5)


def test_runs_may_be_at_looks_of_their_own() -> None:
    plan = SEVERAL.boundaries
    look = np.arange(len(plan.looks))
    failures, certified = plan.looks // 6, np.arange(len(look)) % 4
    now, done = plan.decide(look, failures, certified)
    for i in look:
        one = plan.decide(np.array([i]), failures[[i]], certified[[i]])
        assert (now[i], done[i]) == (one[0][0], one[1][0])
    assert len(set(now)) > 1 and len(set(done)) > 1


# what it costs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS[1:], ids=map(str, RADII[1:]))
def test_giving_up_costs_little_power(level: float) -> None:
    plan = Sequential((level,))
    hoped = likely_level(level, plan.n_max, plan.alpha, POWER)
    usual = fixed_boundaries(plan.levels, plan.n_max, plan.alpha)
    assert usual.operating_characteristics(hoped).certified[0] == pytest.approx(POWER, rel=1e-6)
    assert plan.operating_characteristics(hoped).futile <= GIVEN_UP
    assert plan.operating_characteristics(hoped).futile > GIVEN_UP / 3
    for p in (hoped, (1 + hoped) / 2, 1 - 1e-5):
        assert (
            plan.operating_characteristics(p).certified[0]
            > usual.operating_characteristics(p).certified[0] - GIVEN_UP - 0.02
        )


def test_easy_images_are_cheap_and_hard_ones_cost_no_more_than_planned() -> None:
    plan = Sequential((LEVELS[1],))
    for p, most in ((0.3, 30), (0.6, 100), (0.99, 70), (0.9, 750), (1.0, 51)):
        assert plan.operating_characteristics(p).mean_samples <= most
    near = plan.operating_characteristics(LEVELS[1] + 0.003)
    assert near.mean_samples > 30_000 and near.looks[-1] == 100_000 >= near.quantile(0.99)


@pytest.mark.parametrize("level,least", list(zip(LEVELS[1:], (40, 301, 5114), strict=True)))
def test_the_fewest_samples_that_certify(level: float, least: int) -> None:
    plan = Sequential((level,), n_max=least).boundaries
    assert plan.looks[-1] == least and plan.certify[0, -1] == 0 and plan.certify[0, :-1].max(initial=-1) == -1
    with pytest.raises(InputError, match=f"take at least {least}"):
        Sequential((level,), n_max=least - 1)


@pytest.mark.parametrize("alpha", [0.3, 0.05, 1e-3, 1e-9])
@pytest.mark.parametrize("level", [0.05, 0.3, 0.7, 0.9, 0.98, 0.999])
def test_runs_without_failures_are_certified_by_every_plan(level: float, alpha: float) -> None:
    least = next(n for n in count(least_samples(level, alpha)) if most_failures(level, n, alpha) >= 0)
    for factor in (1, 1.02, 1.1, 1.2, 1.25, 1.3, 1.5, 1.6, 2, 3):
        for batch in (1, 16, 100):
            certain_to_pass(Sequential((level,), alpha, int(np.ceil(factor * least)), batch))


def test_runs_are_certified_where_the_last_look_certifies_none() -> None:
    """It lies just after another one, here the end of a batch."""
    plan = Sequential((0.7,), alpha=1e-5, n_max=66, batch=16)
    certify = level_boundaries(0.7, 1e-5, 66, 16).certify[0]
    assert plan.boundaries.looks.tolist() == [16, 32, 48, 64, 66] and certify[-1] == -1 < certify[-2] == 4
    certain_to_pass(plan)
    certain_to_pass(Sequential((0.5, 0.7), alpha=1e-5, n_max=66, batch=16))
    assert plan.operating_characteristics(0.97).certified[0] > 0.95


def certain_to_pass(plan: Sequential) -> None:
    outcome = plan.operating_characteristics(1 - 1e-12)
    assert outcome.certified[-1] > 1 - 1e-6 and outcome.ended.sum() == pytest.approx(1)


def test_an_alpha_below_what_is_cut_off_is_rejected(monkeypatch) -> None:
    monkeypatch.setattr(failure_counts, "BELOW_ALPHA", 0.5)
    level_boundaries.cache_clear()
    with pytest.raises(InputError, match=r"n_max = 100 samples cannot certify .* or a larger alpha"):
        _ = Sequential((0.5,), alpha=1e-20, n_max=100).boundaries
    level_boundaries.cache_clear()


@pytest.mark.parametrize("batch", [1, 64, 1000])
@pytest.mark.parametrize("level", LEVELS, ids=map(str, RADII))
def test_looks(level: float, batch: int) -> None:
    looks, efficacy = choose_looks(level, 1e-3, 100_000, batch)
    exact, certifying = choose_looks(level, 1e-3, 100_000, 1)
    assert exact[certifying][0] == np.ceil(np.log(0.001 * 0.5 * 0.3) / np.log(level)) and exact[0] == 16
    assert looks[-1] == 100_000 and efficacy[-1] and np.all(looks[:-1] % batch == 0)
    assert set(whole_batches(exact[certifying], 100_000, batch)) == set(looks[efficacy])
    # a look for futility that was left out lies within NEAR of the next
    assert np.all(exact[1:] <= np.ceil(exact[:-1] * RATIO * (1 + NEAR)) + 1)
    plan = level_boundaries(level, 1e-3, 100_000, batch)
    first = np.flatnonzero(efficacy)[0]
    # whole batches only put the first certificate off, and never take it away
    assert plan.certify[0, first] >= 0 and plan.certify[0, :first].max(initial=-1) == -1


def test_a_plan_is_made_once() -> None:
    assert level_boundaries(0.8, 1e-3, 5000) is level_boundaries(0.8, 1e-3, 5000)
    with pytest.raises(ValueError, match="read-only"):
        level_boundaries(0.8, 1e-3, 5000).certify[0, 0] = 3


# the distribution of failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draws,p",
    [(1, 0.7), (40, 0.5), (40, 1 - 1e-6), (3000, 0.84), (50_000, 0.9999), (60_000, 0.1), (90, 1e-9)],
)
def test_new_failures_against_forty_digits(draws: int, p: float) -> None:
    mp.dps = 40
    low, weights = new_failures(draws, p)
    rest = mpf(1)
    for j in range(low, low + len(weights)):
        term = mp.binomial(draws, j) * (1 - mpf(p)) ** j * mpf(p) ** (draws - j)
        rest -= term
        assert float(abs(weights[j - low] / term - 1)) < 1e-11
    assert rest <= cut(CUT_EXPONENT)


def test_masses_add_and_split() -> None:
    one, two = Mass(3, np.array([0.1, 0.2])), Mass(7, np.array([0.3]))
    both = one.plus(two)
    assert (both.first, both.weights.tolist()) == (3, [0.1, 0.2, 0, 0, 0.3])
    few, many = both.split(4)
    assert few.weights.tolist() == [0.1, 0.2] and many.first == 5 and many.total == pytest.approx(0.3)
    assert both.split(-1)[1].first == 3 and both.split(99)[0].total == pytest.approx(0.6)


@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-9])
@pytest.mark.parametrize("level,n", [(0.5, 200), (0.84, 5000), (0.99, 300), (0.9999, 100_000), (0.3, 1000)])
def test_most_failures_is_the_largest(level: float, n: int, alpha: float) -> None:
    mp.dps = 40
    most = int(most_failures(level, n, alpha))
    q, tail = 1 - mpf(level), mpf(0)
    for j in range(most + 1):
        tail += mp.binomial(n, j) * q**j * mpf(level) ** (n - j)
    assert tail <= alpha < tail + mp.binomial(n, most + 1) * q ** (most + 1) * mpf(level) ** (n - most - 1)


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"levels": ()}, "levels must be probabilities that rise"),
        ({"levels": (0.9, 0.8)}, "levels must be probabilities that rise"),
        ({"levels": (0.9, 1.0)}, "levels must be probabilities that rise"),
        ({"levels": (float("nan"),)}, "levels must be probabilities that rise"),
        ({"alpha": 0.0}, "at least 1e-200 and below 1"),
        ({"n_max": 10**8}, "n_max must be at most"),
        ({"n_max": 0}, "n_max must be a whole number"),
        ({"batch": 0}, "batch must be a whole number"),
        ({"batch": 2.0}, "batch must be a whole number"),
    ],
)
def test_rejects(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Sequential(**{"levels": (0.8,), **arguments})
    with pytest.raises(InputError, match="p is a probability"):
        SEVERAL.operating_characteristics(1.5)
