"""The scheduler: every plan is followed image by image, whatever is batched together; no draw is lost or doubled."""

from collections import Counter, deque

import numpy as np
import pytest
from scipy.stats import binom

import radii
from radii.certificates.planning import RadiusTarget, fresh_samples
from radii.certificates.probability_bounds import NoiseRules
from radii.sampling.scheduler import Scheduler
from radii.votes.plans import Sequential, TopK, TwoStage
from radii.votes.plans.base import SELECTION_LEAD, SELECTION_STEP, until_clear
from radii.votes.plans.fixed import AllAtOnce

NOISE, SHAPE = radii.Gaussian(0.25), (3, 8, 8)
LEVELS = (0.6, 0.8)
CLASSES = 4


class Answers:
    """Made-up answers: draw j of image i under a purpose always shows the same class."""

    def __init__(self, law: np.ndarray, most: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        classes = law.shape[1]
        pick = [rng.choice(classes, (2, most), p=row) for row in law]
        self.table = np.stack(pick)

    def __call__(self, copies) -> np.ndarray:
        return self.table[copies.rows, copies.selects.astype(int), copies.draws]

    def counts(self, row: int, n: int, selects: bool = False) -> np.ndarray:
        return np.bincount(self.table[row, int(selects), :n], minlength=self.table.max() + 1)


def follow(scheduler: Scheduler, answers: Answers, size: int, ahead: int = 2) -> list:
    """Sample to the end, with votes `ahead` batches late; return the batches."""
    waiting, seen = deque(), []
    while True:
        while len(waiting) < ahead and (copies := scheduler.take(size, whole=bool(waiting))):
            waiting.append(copies)
            seen.append(copies)
        if not waiting:
            return seen
        copies = waiting.popleft()
        scheduler.record(copies, answers(copies))


def laws(images: int, classes: int = 4, seed: int = 0) -> np.ndarray:
    """Probabilities of classes, from hopeless to certain for class 0."""
    rest = np.random.default_rng(seed).dirichlet(np.ones(classes - 1), images)
    first = np.linspace(0.3, 1, images)
    return np.column_stack([first, (1 - first)[:, None] * rest])


def plans() -> dict[str, radii.Sequential | radii.TopK | radii.TwoStage]:
    asked = RadiusTarget(NOISE, "l2", (0.05, 0.2), SHAPE, k=2)
    return {
        "levels": Sequential(LEVELS, alpha=0.01, n_max=800),
        "levels, predicted": Sequential(LEVELS, alpha=0.01, n_max=800, batch=16, selection=40),
        "top-k": radii.sequential_top_k(asked, alpha=0.01, n_max=800),
        "top-k, predicted": radii.sequential_top_k(asked, alpha=0.01, n_max=800, selection=20),
        "two-stage": TwoStage(2e-5, "l2", pilot=50, n_max=800, alpha=0.01),
    }


def one_by_one(plan, answers: Answers, row: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Counts, selection and certified of one image, from the text of the plans alone."""
    taken = 0
    while taken < plan.selection:
        so_far = np.sort(answers.counts(row, taken, True))
        if isinstance(plan, TwoStage):
            taken = plan.pilot
        elif so_far[-1] - so_far[-2] >= SELECTION_LEAD:
            break
        else:
            taken = min(taken + SELECTION_STEP if taken else SELECTION_LEAD, plan.selection)
    selection = answers.counts(row, taken, True)
    label = 0 if isinstance(plan, TwoStage) or not plan.selection else int(selection.argmax())
    if isinstance(plan, TwoStage):
        n = int(fresh_samples(plan, NOISE, np.array([plan.pilot - selection[0]]), shape=SHAPE)[0])
        return answers.counts(row, n), selection, 0
    certified = 0
    for look, n in enumerate(plan.boundaries.looks if isinstance(plan, Sequential) else plan.looks):
        counts = answers.counts(row, n)
        if isinstance(plan, Sequential):
            edges = plan.boundaries
            failures = n - counts[label]
            while certified < len(plan.levels) and failures <= edges.certify[certified, look]:
                certified += 1
            over = certified == len(plan.levels) or failures >= edges.futile[certified, look]
        else:
            question = RadiusTarget(NOISE, plan.norm, plan.radii, SHAPE, plan.k)
            now, done = plan.look(question.holds, counts[None], np.array([label]), np.array([certified]))
            certified, over = int(now[0]), bool(done[0])
        if over:
            break
    return counts, selection, certified


@pytest.mark.parametrize("size,ahead", [(1, 1), (13, 2), (64, 3), (5000, 2)])
@pytest.mark.parametrize("name", plans())
def test_images_sampled_together_get_the_votes_of_each_alone(name: str, size: int, ahead: int) -> None:
    plan, law = plans()[name], laws(30)
    answers, label = Answers(law, 900), np.zeros(30, dtype=int)
    given = label if isinstance(plan, TwoStage) or not plan.selection else None
    scheduler = Scheduler(plan.stopping_rule(NoiseRules(NOISE, SHAPE)), 30, CLASSES, given)
    seen = follow(scheduler, answers, size, ahead)
    alone = [one_by_one(plan, answers, row) for row in range(30)]
    np.testing.assert_array_equal(scheduler.counts, [one[0] for one in alone])
    np.testing.assert_array_equal(scheduler.selection, [one[1] for one in alone])
    assert scheduler.finished == 30
    if not isinstance(plan, TwoStage):
        np.testing.assert_array_equal(scheduler.certified, [one[2] for one in alone])
        assert len(set(scheduler.certified)) == 3
    # each draw once, in whole batches but where nothing else was left to do
    drawn = Counter()
    for copies in seen:
        drawn.update(zip(copies.rows, copies.draws, copies.selects, strict=True))
    assert max(drawn.values()) == 1
    assert len(drawn) == scheduler.counts.sum() + scheduler.selection.sum()


def test_batches_are_filled_with_other_images() -> None:
    plan = Sequential((0.5,), n_max=2000)
    scheduler = Scheduler(
        plan.stopping_rule(NoiseRules(NOISE, SHAPE)), 400, CLASSES, np.zeros(400, dtype=int)
    )
    seen = follow(scheduler, Answers(laws(400), 2000), 64)
    full = sum(len(copies) == 64 for copies in seen)
    # only the last few images leave gaps
    assert full > 0.9 * len(seen) and len(np.unique(seen[0].rows)) > 1


def test_parts_of_a_fixed_plan_start_where_they_should() -> None:
    scheduler = Scheduler(AllAtOnce(3, 10, 17), 4, CLASSES, None)
    seen = follow(scheduler, Answers(laws(4), 20), 6)
    assert scheduler.total == 4 * (3 + 7)
    drawn = np.concatenate([np.column_stack([one.rows, one.selects, one.draws]) for one in seen])
    expected = [(row, 1, j) for row in range(4) for j in range(3)] + [
        (row, 0, j) for row in range(4) for j in range(10, 17)
    ]
    assert sorted(map(tuple, drawn)) == sorted(expected)


def test_memory_does_not_grow_with_the_number_of_draws() -> None:
    scheduler = Scheduler(AllAtOnce(0, 0, 10**12), 3, CLASSES, None)
    copies = scheduler.take(8, whole=True)
    assert copies is not None and copies.draws.tolist() == list(range(8))


def test_selection_goes_on_until_a_label_leads() -> None:
    counts = np.array([[0, 0, 0], [6, 0, 0], [5, 1, 0], [40, 34, 0], [40, 35, 0], [3, 3, 0], [50, 49, 0]])
    assert until_clear(counts, 99).tolist() == [6, 6, 10, 74, 79, 10, 99]
    assert until_clear(np.zeros((2, 1), int), 4).tolist() == [4, 4]
    assert until_clear(np.zeros((2, 1), int), 0).tolist() == [0, 0]


# what was promised ----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.3, 0.63, 0.9])
def test_operating_characteristics_are_what_happens(p: float) -> None:
    plan, runs = Sequential(LEVELS, alpha=0.01, n_max=800), 4000
    scheduler = Scheduler(
        plan.stopping_rule(NoiseRules(NOISE, SHAPE)), runs, CLASSES, np.zeros(runs, dtype=int)
    )
    follow(scheduler, Answers(np.tile([p, 1 - p], (runs, 1)), 800), 512)
    found, drawn = plan.operating_characteristics(p), scheduler.counts.sum(axis=1)
    spread = np.sqrt(found.ended.sum(axis=0) @ found.looks.astype(float) ** 2 - found.mean_samples**2)
    assert abs(drawn.mean() - found.mean_samples) < 4.5 * spread / np.sqrt(runs)
    for level in (1, 2):
        times = int((scheduler.certified >= level).sum())
        low, high = binom.interval(1 - 1e-6, runs, found.certified[level - 1])
        assert low <= times <= high


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_that_is_the_probability_is_certified_at_most_as_often_as_alpha(level: float) -> None:
    plan, runs, alpha = Sequential(LEVELS, alpha=0.05, n_max=400), 20_000, 0.05
    scheduler = Scheduler(
        plan.stopping_rule(NoiseRules(NOISE, SHAPE)), runs, CLASSES, np.zeros(runs, dtype=int)
    )
    follow(scheduler, Answers(np.tile([level, 1 - level], (runs, 1)), 400), 4096)
    wrong = int((plan.lower(scheduler.certified) >= level).sum())
    assert binom.sf(wrong - 1, runs, alpha) > 1e-6
    # and the test would see it: the same looks, each with all of alpha
    from radii.votes.plans.failure_counts import most_failures

    answers, looks = Answers(np.tile([level, 1 - level], (runs, 1)), 400, 1), plan.boundaries.looks
    failures = np.cumsum(answers.table[:, 0], axis=1)[:, looks - 1]
    naive = (failures <= most_failures(level, looks, alpha)).any(axis=1).sum()
    assert binom.sf(naive - 1, runs, alpha) < 1e-6


def test_two_stages_draw_what_the_pilot_is_worth() -> None:
    plan = TwoStage(1e-4, "l2", pilot=60, n_max=500)
    scheduler = Scheduler(plan.stopping_rule(NoiseRules(NOISE, SHAPE)), 50, CLASSES, np.zeros(50, dtype=int))
    follow(scheduler, Answers(laws(50), 600), 64)
    failures = 60 - scheduler.selection[:, 0]
    np.testing.assert_array_equal(
        scheduler.counts.sum(axis=1), fresh_samples(plan, NOISE, failures, shape=SHAPE)
    )
    assert len(np.unique(scheduler.counts.sum(axis=1))) > 3 and (scheduler.counts.sum(axis=1) == 0).any()


def test_top_k_is_about_the_radii_of_its_plan() -> None:
    how = TopK(0.7, "l1", (0.3,), k=3, selection=5).stopping_rule(NoiseRules(radii.Laplace(0.5), SHAPE, True))
    question = RadiusTarget(radii.Laplace(0.5), "l1", (0.3,), SHAPE, 3, exact_arithmetic=True)
    lower = np.array(question.levels())[0] + np.array([-1e-9, 0, 1e-9])
    for rivals in (None, np.full((3, 3), 0.1)):
        held = how.holds(lower, rivals, np.full(3, 0.3))
        np.testing.assert_array_equal(held, question.holds(lower, rivals, np.full(3, 0.3)))
    assert how.holds(lower, None, np.full(3, 0.3)).tolist() == [False, True, True]


def test_part_of_a_batch_waits_for_those_under_way() -> None:
    scheduler = Scheduler(AllAtOnce(0, 0, 5), 2, CLASSES, None)
    assert scheduler.take(64, whole=True) is None
    copies = scheduler.take(64, whole=False)
    assert copies is not None and len(copies) == 10
