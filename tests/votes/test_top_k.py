"""The sequential plan with bounds on rivals: the error of all looks together is at most alpha."""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import binom

import radii
from radii.certificates.planning import DIGITS, RadiusTarget, sequential_top_k
from radii.errors import InputError
from radii.votes.bounds import bounds
from radii.votes.plans import TopK

SHAPE = (3, 32, 32)
NOISE = radii.Gaussian(0.25)


def true_radius(p: np.ndarray, k: int) -> float:
    """The radius of class 0, from the probabilities themselves."""
    rivals = np.cumsum(np.sort(p[1:])[-k:])[None]
    return float(radii.certified_radius(NOISE, "l2", p[:1], rivals, k=k, shape=SHAPE)[0])


def run(
    plan: TopK, question: RadiusTarget, p: np.ndarray, runs: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Follow the plan for class 0: how many radii are certified in each run, and its samples; two arrays `(runs,)`."""
    rng = np.random.default_rng(seed)
    counts, certified = np.zeros((runs, len(p)), dtype=np.int64), np.zeros(runs, dtype=np.int64)
    draws, on = np.zeros(runs, dtype=np.int64), np.arange(runs)
    for more in np.diff(plan.looks, prepend=0):
        counts[on] += rng.multinomial(more, p, len(on))
        draws[on] += more
        certified[on], done = plan.look(
            question.holds, counts[on], np.zeros(len(on), dtype=int), certified[on]
        )
        on = on[~done]
        if not len(on):
            break
    assert not len(on)
    return certified, draws


# validity -----------------------------------------------------------------------------------------------

CASES = [
    (1, [0.6, 0.3, 0.1]),
    (1, [0.5, 0.3, 0.2]),
    (2, [0.4, 0.3, 0.2, 0.1]),
    (2, [0.34, 0.33, 0.33]),
    (3, [0.3, 0.2, 0.2, 0.2, 0.1]),
]


@pytest.mark.parametrize("k,p", CASES)
def test_a_radius_just_out_of_reach_is_certified_at_most_as_often_as_alpha(k: int, p: list[float]) -> None:
    alpha, runs, truth = 0.05, 20_000, np.array(p)
    question = RadiusTarget(NOISE, "l2", (max(true_radius(truth, k), 0) + 1e-6,), SHAPE, k=k)
    plan = sequential_top_k(question, alpha=alpha, n_max=600)
    certified, _ = run(plan, question, truth, runs)
    assert binom.sf(certified.sum() - 1, runs, alpha) > 1e-6


@pytest.mark.parametrize("p", [[0.6, 0.3, 0.1], [0.45, 0.4, 0.15], [0.52, 0.24, 0.24]])
def test_error_over_all_counts_of_three_classes(p: list[float]) -> None:
    # exactly, sample by sample, by someone who never gives up
    alpha, n_max = 0.05, 90
    question = RadiusTarget(NOISE, "l2", (true_radius(np.array(p), 1) * (1 + 1e-9),), SHAPE)
    plan = TopK(0.6, "l2", question.radii, alpha=alpha, n_max=n_max)
    law, error, shares = (
        np.zeros((n_max + 1, n_max + 1)),
        0.0,
        dict(zip(plan.looks, plan.shares, strict=True)),
    )
    law[0, 0] = 1
    for n in range(1, n_max + 1):
        before, law = law, law * p[2]
        law[1:] += before[:-1] * p[0]
        law[:, 1:] += before[:, :-1] * p[1]
        if shares.get(n, 0):
            first, second = np.nonzero(law)
            counts = np.stack([first, second, n - first - second], axis=1)
            label = np.zeros(len(counts), dtype=int)
            now, _ = plan.look(question.holds, counts, label, label)
            error += law[first[now > 0], second[now > 0]].sum()
            law[first[now > 0], second[now > 0]] = 0
    assert alpha / 200 < error <= alpha


def test_all_of_alpha_at_every_look_is_caught() -> None:
    alpha, runs, truth = 0.05, 20_000, np.array([0.6, 0.3, 0.1])
    question = RadiusTarget(NOISE, "l2", (true_radius(truth, 1) + 1e-6,), SHAPE)
    rng, counts = np.random.default_rng(0), np.zeros((runs, 3), dtype=np.int64)
    found, label = np.zeros(runs, dtype=bool), np.zeros(runs, dtype=int)
    for _ in range(40):
        counts += rng.multinomial(25, truth, runs)
        found |= question.holds(*bounds(counts, label, alpha=alpha), np.full(runs, question.radii[0]))
    assert binom.sf(found.sum() - 1, runs, alpha) < 1e-6


@pytest.mark.parametrize("alpha", [0.05, 1e-3])
@pytest.mark.parametrize(
    "level,n_max", [(0.55, 100_000), (0.84, 20_000), (0.9986, 20_000), (0.8, 60), (0.8, 100)]
)
def test_looks_share_the_error(alpha: float, level: float, n_max: int) -> None:
    plan = TopK(level, "l2", (0.1,), alpha=alpha, n_max=n_max)
    spent = plan.shares[plan.shares > 0] / alpha
    assert spent.sum() <= 1 and spent.sum() == pytest.approx(1)
    assert plan.shares[-1] > 0 and plan.looks[-1] == n_max
    if len(spent) > 2:
        assert spent[[0, -1]] == pytest.approx([0.15, 0.5])
        assert np.ptp(spent[1:-1]) < 1e-12
        # unanimous votes are certified at the first look that has error to spend
        n = int(plan.looks[np.flatnonzero(plan.shares)[0]])
        lower, _ = plan.bounds(np.array([[n, 0]]), np.array([0]))
        assert lower[0] > level


def test_its_looks_fix_k() -> None:
    plan = TopK(0.8, "l2", (0.1,), k=3, alpha=0.01)
    assert plan.resolve_method("true", 3, 0.01, None) == "two-event"
    for k in (1, 2, 4):
        with pytest.raises(InputError, match=f"fixed k = 3, not {k}"):
            plan.resolve_method("true", k, 0.01, None)


def test_bounds_are_two_event_bounds_at_the_share_of_the_look() -> None:
    plan = TopK(0.8, "l2", (0.1,), k=2, alpha=0.01, n_max=2000)
    looks = plan.looks[:6]
    counts = np.stack([np.array([n - n // 5 - n // 9, n // 5, n // 9, 0]) for n in looks])
    lower, rivals = plan.bounds(counts, np.zeros(6, dtype=int))
    for row, share in enumerate(plan.shares[:6]):
        if share:
            one = bounds(counts[[row]], np.array([0]), k=2, alpha=share)
            assert lower[row] == one[0][0] and np.array_equal(rivals[row], one[1][0])
        else:
            assert lower[row] == 0 and np.all(rivals[row] == 1)
    assert 0 < (plan.shares[:6] == 0).sum() < 6
    with pytest.raises(InputError, match=r"look at .* samples only, as planned; got 17"):
        plan.bounds(np.array([[17, 0, 0]]), np.array([0]))


# decisions ------------------------------------------------------------------------------------------------


def test_several_radii_are_those_that_the_bounds_certify() -> None:
    question = RadiusTarget(NOISE, "l2", (0.05, 0.2, 0.35, 0.5), SHAPE, k=2)
    plan = sequential_top_k(question, n_max=5000)
    counts = np.random.default_rng(0).multinomial(5000, [0.7, 0.15, 0.1, 0.05], 300)
    counts[:100] = np.random.default_rng(1).multinomial(5000, [0.9, 0.05, 0.04, 0.01], 100)
    label, before = np.arange(300) % 3 // 2, np.zeros(300, dtype=int)
    now, done = plan.look(question.holds, counts, label, before)
    radius = radii.certified_radius(NOISE, "l2", *plan.bounds(counts, label), k=2, shape=SHAPE)
    np.testing.assert_array_equal(now, (radius[:, None] >= question.radii).sum(axis=1))
    assert len(set(now)) >= 3 and done.all()
    kept, _ = plan.look(question.holds, counts, label, np.full(300, 4))
    assert np.all(kept == 4)


def test_who_is_hopeless_is_given_up_and_who_is_not_goes_on() -> None:
    question = RadiusTarget(NOISE, "l2", (0.25,), SHAPE)
    plan = sequential_top_k(question)
    n = int(plan.looks[0])
    votes = np.array([[n, 0, 0], [n - 2, 2, 0], [2, n - 2, 0], [n // 2, n // 2, 0]])
    now, done = plan.look(question.holds, votes, np.zeros(4, dtype=int), np.zeros(4, dtype=int))
    assert plan.shares[0] == 0 and now.tolist() == [0] * 4
    assert done.tolist() == [False, False, True, True]


@pytest.mark.parametrize("k", [1, 3])
def test_hopes_are_on_the_other_side_of_the_counts(k: int) -> None:
    plan = TopK(0.7, "l2", (0.1,), k=k)
    counts = np.random.default_rng(0).multinomial(int(plan.looks[8]), [0.5, 0.2, 0.15, 0.1, 0.05], 200)
    label = np.zeros(200, dtype=int)
    (lower, rivals), (high, low) = plan.bounds(counts, label), plan.optimistic_bounds(counts, label)
    share = counts / counts.sum(axis=1, keepdims=True)
    assert np.all((lower < share[:, 0]) & (share[:, 0] < high) & (high < 1))
    assert np.all(low < np.cumsum(np.sort(share[:, 1:])[:, -k:], axis=1)) and np.all(low < rivals)


def test_a_runner_up_that_is_far_behind_saves_samples() -> None:
    # p just over a half, but no rival above .1: the label alone could never show it
    truth = np.array([0.52, *[0.06] * 8])
    question = RadiusTarget(NOISE, "l2", (0.15,), SHAPE)
    certified, draws = run(sequential_top_k(question), question, truth, 200)
    assert certified.mean() > 0.99 and draws.mean() < 3000
    assert radii.sequential(question).operating_characteristics(0.52).certified[0] < 1e-3


@pytest.mark.parametrize("k,level", [(1, float(ndtr(1.0))), (3, float(ndtr(ndtri(0.25) + 1.0)))])
def test_the_level_places_the_looks(k: int, level: float) -> None:
    plan = sequential_top_k(RadiusTarget(NOISE, "l2", (0.25, 0.5), SHAPE, k=k))
    # rounded up to the digits that plans keep
    assert level < plan.level == pytest.approx(level, abs=2 ** (1 - DIGITS)) and plan.k == k
    first = plan.looks[np.flatnonzero(plan.shares)[0]]
    assert first == np.ceil(np.log(0.15e-3 / 2) / np.log(level))


def test_the_label_has_half_of_the_error_to_reach_the_largest_radius() -> None:
    question = RadiusTarget(NOISE, "l2", (0.25, 0.75), SHAPE)
    with pytest.raises(InputError, match=r"certify l2 radii up to 0\.74.*not 0\.75: take at least 5627"):
        sequential_top_k(question, n_max=5626)
    assert sequential_top_k(question, n_max=5627).looks[-1] == 5627


@pytest.mark.parametrize(
    "arguments,words",
    [
        ({"level": 1.0}, "levels must be probabilities"),
        ({"k": 0}, "at least 1"),
        ({"norm": "l3"}, "unknown norm"),
        ({"unit": "pixle"}, "did you mean 'pixel'"),
        ({"radii": ()}, "radii must be finite numbers that rise"),
        ({"radii": (0.2, 0.1)}, "radii must be finite numbers that rise"),
        ({"radii": (float("nan"),)}, "radii must be finite numbers that rise"),
        ({"radii": (float("inf"),)}, "radii must be finite numbers that rise"),
        ({"alpha": 0.0}, "at least 1e-200 and below 1"),
        ({"n_max": 43}, "take at least 44"),
        ({"batch": 0}, "batch must be"),
    ],
)
def test_rejects(arguments: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TopK(**{"level": 0.84134, "norm": "l2", "radii": (0.1,), **arguments})
