"""Prediction within a budget: labels with certified radii, at any moment, from any thread."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.special import ndtr
from torch import nn

import radii
import radii.sampling.monte_carlo
import radii.sampling.sampler
from patience import HANG
from radii.data import from_arrays
from radii.errors import InputError
from radii.models.devices import SMALL, limit_threads
from radii.noises.streams import Stream
from radii.sampling import Smoothed, autotune
from radii.sampling.smoothed import N0
from radii.votes.plans import Anytime
from test_smoothed import random_images, random_model

NOISE, SIGMA = radii.Gaussian(0.25), 0.25
IMAGES = torch.linspace(0.2, 1, 33).view(-1, 1, 1, 1)
AT = IMAGES.flatten().numpy().astype(float)


def above_half(noisy: torch.Tensor) -> torch.Tensor:
    """Class 1 above a half: one feature, so that an image at x has the l2 radius |x - 1/2|."""
    x = noisy.flatten(1)[:, 0]
    return torch.stack([torch.full_like(x, 0.5), x], 1)


def same(one: radii.Certificates, two: radii.Certificates) -> None:
    for name in ("label", "radius", "status", "lower"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.mean_samples == two.mean_samples


# the answers --------------------------------------------------------------------------------------


def test_answers_are_those_of_draws_counted_here() -> None:
    """Labels from 100 draws, bounds from 300 others, made by hand from the same streams."""
    found = Smoothed(above_half, NOISE).certify_predictions(IMAGES, n=300, alpha=0.01, seed=5, norm="l2")
    for row, image in enumerate(IMAGES.numpy().reshape(-1)):
        votes = {}
        for purpose, n in (("select", N0), ("bound", 300)):
            noise = Stream(5, purpose).at([row] * n, range(n)).normal((n, 1)) * np.float32(SIGMA)
            votes[purpose] = int((image + noise > 0.5).sum())
        label = int(votes["select"] > N0 - votes["select"])
        right = votes["bound"] if label else 300 - votes["bound"]
        lower = Anytime(alpha=0.01, n_max=300).lower(right, 300)
        assert (found.label[row], found.lower[row]) == (label, lower)
        radius = radii.certified_radius(NOISE, "l2", np.array([lower]), shape=(1, 1, 1))[0]
        assert (found.radius[row], ~found.certified[row]) == (radius, radius == 0)
    assert found.mean_samples == 400 and (found.n, found.plan, found.labels) == (300, "anytime", "predicted")


def test_radii_lie_below_the_truth() -> None:
    found = Smoothed(above_half, NOISE).certify_predictions(IMAGES, n=2000, norm="l2", seed=0)
    truth = np.abs(AT - 0.5)
    assert np.all(found.radius <= truth) and np.all(found.lower <= ndtr(truth / SIGMA))
    held = found.radius > 0
    assert held.mean() > 0.7 and np.array_equal(found.label[held], (AT > 0.5)[held])
    assert np.median(found.radius[held] / truth[held]) > 0.6


def test_labels_are_those_of_the_first_draws_of_one_stream() -> None:
    smoothed = Smoothed(above_half, NOISE)
    labels = smoothed.predict(IMAGES, n=400, seed=2)
    noise = [
        Stream(2, "predict").at([row] * 400, range(400)).normal((400, 1)) * np.float32(SIGMA)
        for row in range(len(IMAGES))
    ]
    ones = np.array([(one + x > 0.5).sum() for one, x in zip(noise, IMAGES.numpy().ravel(), strict=True)])
    sure = np.abs(ones - 200) > 33
    np.testing.assert_array_equal(labels[sure], (ones > 200)[sure])
    assert isinstance(labels, np.ndarray) and np.all(labels[np.abs(ones - 200) < 30] == radii.ABSTAIN)


@pytest.mark.parametrize("how", [{"norm": "linf", "k": 2}, {"norm": "l0", "unit": "pixel"}, {"norm": "l1"}])
def test_the_question_is_that_of_certify(how: dict) -> None:
    smoothed, images = Smoothed(random_model(), radii.Laplace(0.5)), random_images()
    found = smoothed.certify_predictions(images, n=500, seed=1, **how)
    votes = smoothed.vote(images, plan=radii.anytime(n_max=500, selection=N0), seed=1)
    same(found, radii.certify(votes, labels="predicted", **how))
    assert (found.norm, found.k, found.unit) == (how["norm"], how.get("k", 1), how.get("unit", "feature"))


def test_all_outcomes_leave_nothing_to_chance() -> None:
    smoothed, images = (
        Smoothed(random_model(), radii.Splitting(0.05)),
        random_images().mul(255).round().div(255),
    )
    found = smoothed.certify_predictions(images, n=7, norm="l1", seed=0)
    votes = smoothed.vote(images, plan=radii.exhaustive(smoothed.noise))
    same(found, radii.certify(votes, "l1", labels="predicted"))
    assert found.alpha == 0 and found.mean_samples == smoothed.noise.outcomes
    with pytest.raises(InputError, match=r"splitting noise takes all its 44 outcomes.*: leave out seconds"):
        smoothed.certify_predictions(images, norm="l1", seconds=1, seed=0)


def test_a_known_seed_deceives_and_a_secret_one_does_not() -> None:
    """All noise samples of seed 0 point along the image, so that they lengthen it: for others it is a coin toss."""
    side, n = 128, 400
    drawn = [
        Stream(0, purpose).at([0] * m, range(m)).normal((m, side**2))
        for purpose, m in (("select", N0), ("bound", n))
    ]
    along = np.linalg.lstsq(np.concatenate(drawn), np.ones(N0 + n), rcond=None)[0]
    image = (0.5 + 0.4 * along / np.abs(along).max()).astype(np.float32).reshape(1, 1, side, side)
    mean = float(((image - 0.5) ** 2).sum()) + side**2 * SIGMA**2

    def long(noisy: torch.Tensor) -> torch.Tensor:
        length = ((noisy - 0.5) ** 2).flatten(1).sum(1)
        return torch.stack([torch.full_like(length, mean), length], 1)

    # so small an alpha leaves nothing to chance, and the known seed deceives even there
    question = {"norm": "l2", "n": n, "alpha": 1e-9}
    known = Smoothed(long, NOISE).certify_predictions(image, seed=0, **question)
    secret = [Smoothed(long, NOISE).certify_predictions(image, **question) for _ in range(2)]
    assert known.label[0] == 1 and known.lower[0] > 0.9 and known.radius[0] > SIGMA
    assert all(found.radius[0] == 0 for found in secret)
    assert len({found.seed for found in (known, *secret)}) == 3
    again = Smoothed(long, NOISE).certify_predictions(image, seed=secret[0].seed, **question)
    same(again, secret[0])


# the budget ---------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that this test sets; polling and prediction read it."""
    now = [0.0]
    for module in (radii.sampling.sampler, radii.sampling.smoothed):
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_time_ends_the_sampling_and_certificates_hold(clock: list[float]) -> None:
    def slow(noisy: torch.Tensor) -> torch.Tensor:
        clock[0] += 1
        return above_half(noisy)

    smoothed, passes = Smoothed(slow, NOISE, batch=128), []
    for seconds in (30.0, 60.0, 120.0, 1000.0):
        clock[0] = 0.0
        found = smoothed.certify_predictions(IMAGES, n=1000, norm="l2", seconds=seconds, seed=0)
        assert np.all(found.radius <= np.abs(AT - 0.5))
        passes.append(found.mean_samples)
        # micro-batches at hand are finished, no others begun but the re-check; five were queried before the polling
        assert clock[0] <= min(seconds, 5 + 33 * 1100 / 128) + radii.sampling.monte_carlo.THREADS + 2
    assert passes == sorted(set(passes)) and passes[-1] == 1100


def test_a_budget_that_is_spent_is_an_abstention(clock: list[float]) -> None:
    class Late(nn.Module):
        def __deepcopy__(self, memo: dict) -> "Late":
            clock[0] += 100  # making it ready takes all of the time
            return self

        def forward(self, noisy: torch.Tensor) -> torch.Tensor:
            clock[0] += 0.001
            return above_half(noisy)

    found = Smoothed(Late().eval(), NOISE, batch=8).certify_predictions(IMAGES, norm="l2", seconds=1, seed=0)
    assert not found.certified.any() and not found.radius.any() and found.mean_samples < N0


def test_answers_at_all_moments_are_bounds_from_the_first_draws_of_one_stream(clock: list[float]) -> None:
    """Asked again for longer, in another norm and k, an image gets more of the same draws, never others."""
    smoothed, seen = Smoothed(above_half, NOISE, batch=16), []
    draws = 0.55 + Stream(3, "bound").at([8] * 200, range(200)).normal((200, 1)) * np.float32(SIGMA) > 0.5
    for moment in range(6, 26, 3):

        def stop(*_: int, left: list[int] = [moment]) -> None:  # noqa: B006 (one list for each moment)
            left[0] -= 1
            clock[0] = 2.0 if left[0] <= 0 else 0.0

        clock[0] = 0.0
        how = {"norm": "linf" if moment % 2 else "l1", "seconds": 1, "progress": stop}
        image = from_arrays(torch.full((1, 1, 1, 1), 0.55), index=[8])
        found = smoothed.certify_predictions(image, n=200, alpha=0.05, seed=3, **how)
        taken = round(found.mean_samples) - N0
        if taken > 0:
            seen.append(taken)
            assert found.label[0] == 1
            assert found.lower[0] == Anytime(alpha=0.05, n_max=200).lower(int(draws[:taken].sum()), taken)
    assert len(set(seen)) > 4 and seen == sorted(seen) and seen[-1] == 200


# refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"norm": "l9"}, "unknown norm 'l9'"),
        ({"norm": "l2", "seconds": 0}, "seconds must be above 0; got 0"),
        ({"norm": "l2", "seconds": float("nan")}, "seconds must be above 0; got nan"),
        ({"norm": "l2", "k": 2}, "k must be smaller than the number of classes, 2; got 2"),
        ({"norm": "l2", "n": 5}, "n = 5 samples cannot certify anything .*; take at least 11 samples"),
        ({"norm": "l2", "n": 0}, "must be a whole number of at least 1"),
        ({"norm": "l2", "alpha": 2}, "alpha"),
    ],
)
def test_wrong_arguments_are_an_error_before_the_sampling(how: dict, words: str) -> None:
    calls = []

    def counting(noisy: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return above_half(noisy)

    with pytest.raises(InputError, match=words):
        Smoothed(counting, NOISE).certify_predictions(IMAGES, **how)
    assert len(calls) <= 5  # which show whether answers are independent


# threads ------------------------------------------------------------------------------------------


class Watched(nn.Module):
    """A network that notes how many threads torch has, and how many calls are going on at once."""

    def __init__(self, weights: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, weights // 74), nn.ReLU(), nn.Linear(weights // 74, 10)
        )
        self.seen, self.inside = set(), []

    def __deepcopy__(self, memo: dict) -> "Watched":
        return self

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        self.inside.append(1)
        self.seen.add((torch.get_num_threads(), len(self.inside)))
        logits = self.layers(noisy)
        self.inside.pop()
        return logits


@pytest.fixture
def two_threads() -> None:
    """Torch with two threads, as far as this machine goes, and Python that changes threads as often as it can."""
    before, pace = torch.get_num_threads(), sys.getswitchinterval()
    torch.set_num_threads(2)
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(pace)
    torch.set_num_threads(before)


def of_a_fresh_thread() -> int:
    """The threads that torch gives to a thread that has not asked before."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


# products of matrices can round otherwise in another row of a batch
def test_many_threads_get_what_each_would_get_alone(two_threads: None) -> None:
    with torch.random.fork_rng():
        models = [Watched(SMALL // 2).eval(), Watched(2 * SMALL).eval()]
    several = [Smoothed(model, radii.Laplace(0.3), batch=32) for model in models]
    images = random_images(3)

    def ask(number: int) -> tuple:
        smoothed, how = several[number % 2], {"n": 30, "seed": number // 2}
        found = smoothed.certify_predictions(images, norm="l2", **how)
        return found.label.tolist(), found.lower.tolist(), smoothed.predict(images, **how).tolist()

    alone = [ask(number) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(6))) == alone
    assert len(set(map(str, alone))) == 6, "answers that are all the same would prove nothing"
    assert models[0].seen == {(1, 1)} and models[1].seen == {(2, 1)}, (
        "each in its threads, one call at a time"
    )
    assert torch.get_num_threads() == of_a_fresh_thread() == 2, "and nothing stays changed"


def test_threads_that_inherit_one_thread_do_not_hand_it_on(two_threads: None) -> None:
    """Torch gives a new thread the number that is set when it first asks, which may be that of a small model."""
    small, begun, over = nn.Linear(2, 2), threading.Event(), threading.Event()

    def overlap() -> int:
        with limit_threads(small):
            begun.set()
            assert over.wait(HANG)
            return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        with limit_threads(small):
            threads = pool.submit(overlap)
            assert begun.wait(HANG)
        over.set()
        assert threads.result() == 1
    assert of_a_fresh_thread() == 2


def test_settings_are_tuned_once_for_all_threads(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("RADII_CACHE_DIR", str(tmp_path))
    model, tried, all_here = random_model("wrn-10-1", (3, 8, 8)), [], threading.Barrier(4)
    monkeypatch.setattr(autotune, "SMALL", 0)
    monkeypatch.setattr(autotune, "tune", lambda *_: tried.append(1) or ("float32", 16 * len(tried)))

    def ready(_: int) -> tuple[str, int]:
        all_here.wait(HANG)
        return autotune.fastest_settings(model, lambda precision: model, (3, 8, 8), "float32", False)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ready, range(4))) == [("float32", 16)] * 4
    assert len(tried) == 1


@pytest.mark.parametrize("norm", ["l0", "l1"])
def test_within_the_box_radii_are_those_of_the_same_votes(norm: str) -> None:
    images = np.linspace(0.1, 1, 4 * 16, dtype=np.float32).reshape(4, 1, 4, 4)
    smoothed = Smoothed(
        lambda noisy: noisy.flatten(1).mean(1)[:, None] * noisy.new_tensor([1.0, 0.0]), radii.Gaussian(0.8)
    )
    free = smoothed.certify_predictions(images, n=2000, norm=norm, seed=0)
    votes = smoothed.vote(images, plan=radii.anytime(alpha=0.001, n_max=2000, selection=N0))
    boxed = radii.certify(votes, norm, labels="predicted", images=images)
    assert np.all(boxed.radius >= free.radius * (1 - 1e-9)) and (boxed.radius > free.radius).any()
    assert boxed.box and not free.box
