"""Polling: the same votes however the work is cut, and nothing silently wrong."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import radii.models.devices
import radii.sampling.monte_carlo
import radii.sampling.sampler
from patience import HANG
from radii.certificates.probability_bounds import NoiseRules
from radii.data import from_arrays
from radii.data.dataset import make_data
from radii.errors import InputError, UnknownName
from radii.models import digest, make_model
from radii.models.devices import SMALL, call_guard, cores_used
from radii.noises import Gaussian, Laplace, Uniform
from radii.sampling import Smoothed
from radii.sampling.model_call import LEAST_ROWS
from radii.sampling.monte_carlo import NoisyImages
from radii.sampling.scheduler import Scheduler
from radii.sampling.smoothed import decide
from radii.votes import ABSTAIN, load_votes
from radii.votes.plans import fixed

NOISE = Laplace(0.5)


def random_images(count=5, shape=(1, 8, 8)) -> torch.Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


def random_model(name="small-cnn", shape=(1, 8, 8), classes=4) -> nn.Module:
    """A fresh network whose normalisation has seen noise, so that its answers vary."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make_model(name, shape, classes)
        with torch.no_grad():
            for _ in range(20):
                model(torch.rand(32, *shape) + 0.5 * torch.randn(32, *shape))
    return model.eval()


def brightness(noisy: torch.Tensor) -> torch.Tensor:
    """Class 1 where the mean is above 0.5."""
    mean = noisy.flatten(1).mean(1)
    return torch.stack([torch.full_like(mean, 0.5), mean], 1)


# the same votes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "shape"), [("small-cnn", (1, 8, 8)), ("wrn-10-1", (3, 8, 8))])
def test_votes_do_not_depend_on_the_batch(name, shape, precision):
    model, images = random_model(name, shape), random_images(3, shape)
    plan = fixed(70, selection=9)
    votes = [Smoothed(model, NOISE, precision, batch).vote(images, plan=plan) for batch in (1, 7, 64, 256)]
    assert (votes[0].counts > 0).sum() > 6  # a network that always says the same would prove nothing
    for other in votes[1:]:
        np.testing.assert_array_equal(other.counts, votes[0].counts)
        np.testing.assert_array_equal(other.selection, votes[0].selection)


def test_shards_of_images_and_draws_add_up_to_the_whole(tmp_path):
    smoothed, images, labels = Smoothed(random_model(), NOISE, batch=16), random_images(), np.arange(5) % 4
    plan = fixed(50, selection=6)
    whole = smoothed.vote(images, labels, plan=plan, seed=3)
    parts = [
        smoothed.vote(from_arrays(images, labels, np.arange(5))[rows], plan=plan, seed=3, draws=draws)
        for rows in (slice(3, 5), slice(0, 3))
        for draws in ((37, 50), (0, 37))
    ]
    joined = (parts[0] + parts[1]) + (parts[2] + parts[3])
    joined.save(tmp_path / "joined")
    whole.save(tmp_path / "whole")
    assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()
    assert load_votes(tmp_path / "joined").complete


def test_noise_follows_the_index_and_the_seed():
    smoothed, image = Smoothed(brightness, Gaussian(2.0)), torch.full((2, 1, 4, 4), 0.5)
    plan = fixed(3000, selection=0)
    counts = smoothed.vote(from_arrays(image, None, [4, 9]), plan=plan).counts
    assert not np.array_equal(counts[0], counts[1])
    np.testing.assert_array_equal(
        smoothed.vote(from_arrays(image, None, [9, 4]), plan=plan).counts, counts[::-1]
    )
    assert not np.array_equal(
        smoothed.vote(from_arrays(image, None, [4, 9]), plan=plan, seed=1).counts, counts
    )


@pytest.mark.parametrize("busy, workers", [(0, 1), (0, 3), (2, 1), (3, 1), (50, 1)])
def test_threads_do_not_matter(monkeypatch, busy, workers):
    smoothed = Smoothed(random_model(), NOISE, batch=32)
    before = smoothed.vote(random_images(), plan=fixed(300)).counts
    monkeypatch.setattr(radii.sampling.monte_carlo, "THREADS", workers)
    monkeypatch.setattr(radii.sampling.sampler, "cores_used", lambda model: busy)
    np.testing.assert_array_equal(smoothed.vote(random_images(), plan=fixed(300)).counts, before)


class Wide(nn.Module):
    """A model that is worth several threads, and tells what it finds when it is asked."""

    def __init__(self, ask):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(SMALL + 1))
        self.ask = ask

    def __deepcopy__(self, memo):
        return self

    def forward(self, images):
        self.ask()
        return brightness(images)


def test_all_cores_draw_before_a_model_that_takes_them_all(monkeypatch):
    drawing, found, threads = 0, [], set()
    fill, lock = NoisyImages.fill, threading.Lock()

    def watched(*given):
        nonlocal drawing
        with lock:
            drawing += 1
        threads.add(threading.get_ident())
        fill(*given)
        with lock:
            drawing -= 1

    monkeypatch.setattr(NoisyImages, "fill", watched)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    wide = Wide(lambda: found.append((drawing, len(threads)))).eval()
    assert cores_used(wide) == 3 and cores_used(random_model()) == 1 and cores_used(brightness) == 0
    Smoothed(wide, NOISE, batch=32).vote(random_images(), plan=fixed(300))
    assert not any(busy for busy, _ in found) and 1 < found[-1][1] <= 3


def test_noise_is_drawn_ahead_for_a_model_that_leaves_cores(monkeypatch):
    """While the first micro-batch is out, the next is drawn."""
    drawn = []
    fill = NoisyImages.fill
    monkeypatch.setattr(NoisyImages, "fill", lambda *given: (fill(*given), drawn.append(0)))

    def first(cores):
        drawn.clear()
        how = fixed(300, selection=0).stopping_rule(NoiseRules(NOISE, (1, 4, 4)))
        scheduler = Scheduler(how, 2, 3, None)
        images = from_arrays(torch.full((2, 1, 4, 4), 0.5))
        batches = NoisyImages(images, NOISE, 0).batches(scheduler, 8, cores)
        next(batches)
        ahead = 600 - 8 - scheduler._queued - 300 * (2 - scheduler._opened)
        batches.close()
        return ahead, len(drawn)

    assert first(3) == (0, 1)
    assert first(0) == (8 * radii.sampling.monte_carlo.THREADS, 1 + radii.sampling.monte_carlo.THREADS)


class Turns:
    """The lock of the turns, which tells when a second thread wants one."""

    def __init__(self) -> None:
        self.lock, self.second, self.came = threading.RLock(), threading.Event(), []

    def __enter__(self) -> None:
        self.came.append(threading.get_ident())
        if len(set(self.came)) > 1:
            self.second.set()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_a_thread_learns_the_number_of_threads_in_the_turn_of_its_model(monkeypatch):
    """Else a thread that first asks while a small model runs would run all models in one thread for good."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found, inside, turns = [], threading.Event(), Turns()
        sampler = Smoothed(Wide(lambda: found.append(torch.get_num_threads())).eval(), NOISE, batch=8).ready(
            (1, 8, 8)
        )
        monkeypatch.setattr(radii.models.devices, "_lock", turns)

        def small():
            with call_guard(random_model())():
                inside.set()
                assert turns.second.wait(HANG)

        def large():
            examples = from_arrays(random_images(), None, None)
            sampler.vote(examples, fixed(30, selection=0), 0)

        found.clear()
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(small)
            assert inside.wait(HANG)
            other = pool.submit(large)
            one.result()
            other.result()
        assert found and set(found) == {3}
    finally:
        torch.set_num_threads(before)


# the right votes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [Gaussian(0.3), Laplace(0.3), Uniform(0.3)])
def test_votes_follow_the_distribution_of_the_noise(noise):
    """One feature and a threshold: the probability is the distribution function of the noise."""
    laws = {
        "gaussian": scipy.stats.norm(scale=noise.scale),
        "laplace": scipy.stats.laplace(scale=noise.scale),
        "uniform": scipy.stats.uniform(-noise.scale, 2 * noise.scale),
    }
    images = torch.tensor([[0.4], [0.65]])
    votes = Smoothed(brightness, noise).vote(images, plan=fixed(4000, selection=500))
    for image, row in zip((0.4, 0.65), votes.counts, strict=True):
        assert scipy.stats.binomtest(int(row[1]), 4000, laws[noise.name].sf(0.5 - image)).pvalue > 1e-3


def test_bound_and_selection_samples_differ():
    votes = Smoothed(brightness, Gaussian(1.0)).vote(torch.full((9, 3), 0.5), plan=fixed(300, selection=300))
    assert not np.array_equal(votes.counts, votes.selection)


def test_votes_carry_what_identifies_them():
    model = random_model()
    votes = Smoothed(model, NOISE, "bfloat16").vote(
        random_images(), [3, 2, 1, 0, 1], plan=fixed(8, 3), seed=5
    )
    assert (votes.noise, votes.shape, votes.plan, votes.seed) == (NOISE, (1, 8, 8), fixed(8, 3), 5)
    assert (votes.model, votes.precision, votes.draws) == (digest(model), "bfloat16", ((0, 8),))
    assert votes.labels.tolist() == [3, 2, 1, 0, 1] and votes.classes == ("0", "1", "2", "3")
    assert votes.software["torch"].startswith(torch.__version__.split("+")[0])


def test_data_set_brings_labels_positions_and_names():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 1, 8, 8), dtype=np.uint8)
    data = make_data("toy", "test", pixels, np.arange(9) % 4, ("a", "b", "c", "d")).every(2)
    smoothed = Smoothed(random_model(), NOISE)
    votes = smoothed.vote(data, plan=fixed(20))
    assert str(votes.data) == "toy test, every 2nd of 9" and votes.classes == ("a", "b", "c", "d")
    assert votes.index.tolist() == [0, 2, 4, 6, 8] and votes.labels.tolist() == [0, 2, 0, 2, 0]
    same = smoothed.vote(from_arrays(data.images(), index=data.index), plan=fixed(20))
    np.testing.assert_array_equal(votes.counts, same.counts)
    with pytest.raises(InputError, match="brings its own labels"):
        smoothed.vote(data, data.labels, plan=fixed(20))
    with pytest.raises(InputError, match=r"the model gives 5 logits, but toy test.* has 4 classes"):
        Smoothed(random_model(classes=5), NOISE).vote(data, plan=fixed(20))


def test_model_is_left_as_it_was():
    model = random_model()
    before = digest(model)
    Smoothed(model, NOISE, "bfloat16").vote(random_images(), plan=fixed(8))
    assert digest(model) == before and next(model.parameters()).dtype == torch.float32


def test_memory_holds_batches_only():
    seen = []

    def spy(noisy):
        seen.append(len(noisy))
        return brightness(noisy)

    Smoothed(spy, NOISE, batch=32).vote(random_images(), plan=fixed(100, selection=10))
    # five queries show before, one of them about a single image, and one afterwards that answers are independent
    assert set(seen) == {32, 1} and len(seen) == 5 + 18 + 1 and seen.count(1) == 1
    seen.clear()
    Smoothed(spy, NOISE, batch=1).vote(random_images(1), plan=fixed(10, selection=0))
    assert set(seen) == {LEAST_ROWS, 1}


def test_progress_reaches_the_total():
    calls = []
    Smoothed(brightness, NOISE, batch=16).vote(
        random_images(), plan=fixed(20, 4), progress=lambda *call: calls.append(call)
    )
    assert calls[-1] == (120, 120) and all(one[0] < two[0] for one, two in itertools.pairwise(calls))


# refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "column"), [(float("nan"), 1), (float("inf"), 1), (-float("inf"), slice(None))]
)
def test_logits_that_are_not_finite_name_the_image(value, column):
    def broken(noisy):
        logits = brightness(noisy)
        logits[noisy.flatten(1).mean(1) > 0.9, column] = value
        return logits

    images = torch.cat([torch.zeros(2, 1, 8, 8), torch.ones(1, 1, 8, 8)])
    with pytest.raises(InputError, match="NaN or infinite logits on a noise sample of image 30"):
        Smoothed(broken, Gaussian(0.01)).vote(from_arrays(images, index=[10, 20, 30]), plan=fixed(10))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_classes_switched_off_by_minus_infinity_get_no_votes(dtype):
    """The others get the votes that they get in a model that does not have those classes."""
    model, off = random_model(), torch.tensor([1, 3])

    def masked(noisy):
        return model(noisy).to(dtype).index_fill(1, off, -torch.inf)

    def without(noisy):
        return model(noisy).to(dtype)[:, [0, 2]]

    votes, usual = (
        Smoothed(one, NOISE, batch=32).vote(random_images(), plan=fixed(200, 10), seed=3)
        for one in (masked, without)
    )
    assert not votes.counts[:, off].any() and (usual.counts > 0).all(1).any()
    np.testing.assert_array_equal(votes.counts[:, [0, 2]], usual.counts)
    np.testing.assert_array_equal(
        Smoothed(masked, NOISE).predict(random_images(), seed=0),
        np.array([-1, 0, 2])[Smoothed(without, NOISE).predict(random_images(), seed=0) + 1],
    )


@pytest.mark.parametrize(
    "answer", [lambda x: x.flatten(1).mean(1), lambda x: x[:1].flatten(1), lambda x: None]
)
def test_wrong_output_shape(answer):
    with pytest.raises(InputError, match=r"must return logits \(batch, classes\)"):
        Smoothed(answer, NOISE).vote(random_images(), plan=fixed(10))


def test_training_mode():
    with pytest.raises(InputError, match=r"call model\.eval\(\)"):
        Smoothed(random_model().train(), NOISE).vote(random_images(), plan=fixed(10))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((2, 1, 2, 2), 1.5), r"lie in \[0, 1\]; found 1\.5"),
        (torch.full((2, 1, 2, 2), float("nan")), "lie in"),
        (torch.zeros((2, 1, 2, 2), dtype=torch.uint8), "divide bytes by 255"),
        (torch.zeros(3), "at least one"),
        (torch.zeros(0, 3), "at least one"),
    ],
)
def test_wrong_images(images, message):
    with pytest.raises(InputError, match=message):
        Smoothed(brightness, NOISE).vote(images, plan=fixed(10))


def test_other_wrong_arguments():
    smoothed = Smoothed(brightness, NOISE)
    for bad in ((5, 5), (0, 11), (-1, 3)):
        with pytest.raises(InputError, match="within the plan's 10"):
            smoothed.vote(random_images(), plan=fixed(10), draws=bad)
    with pytest.raises(InputError, match="labels must be one number for each of the 5"):
        smoothed.vote(random_images(), [1, 2], plan=fixed(10))
    with pytest.raises(InputError, match="seed"):
        smoothed.vote(random_images(), plan=fixed(10), seed=-1)
    with pytest.raises(InputError, match="needs a torch module"):
        Smoothed(brightness, NOISE, "bfloat16")
    with pytest.raises(UnknownName, match="precision"):
        Smoothed(brightness, NOISE, "float16")
    with pytest.raises(InputError, match="noise"):
        Smoothed(brightness, "laplace")
    with pytest.raises(InputError, match="batch"):
        Smoothed(brightness, NOISE, batch=0)


# prediction ---------------------------------------------------------------------------------------


def test_decision_is_the_binomial_test():
    counts = np.array([[a, 40 - a, 0] for a in range(41)] + [[5, 5, 5]])
    for row, label in zip(counts, decide(counts, 0.01), strict=True):
        best, second = np.sort(row)[::-1][:2]
        sure = scipy.stats.binomtest(int(best), int(best + second)).pvalue <= 0.01
        assert label == (row.argmax() if sure else ABSTAIN)


def test_prediction_abstains_on_the_boundary_only():
    images = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1)
    labels = Smoothed(brightness, Gaussian(0.5)).predict(images, n=400, seed=0)
    assert labels.tolist() == [0, ABSTAIN, 1]
    with pytest.raises(InputError, match="alpha"):
        Smoothed(brightness, NOISE).predict(images, alpha=0)


def test_prediction_draws_are_its_own(monkeypatch):
    seen = []

    class Spy(radii.sampling.monte_carlo.Stream):
        def __init__(self, seed, purpose):
            seen.append(purpose)
            super().__init__(seed, purpose)

    monkeypatch.setattr(radii.sampling.monte_carlo, "Stream", Spy)
    smoothed = Smoothed(brightness, NOISE)
    smoothed.predict(random_images(), n=10)
    assert set(seen) == {"predict"}
    smoothed.vote(random_images(), plan=fixed(10))
    assert set(seen) == {"predict", "select", "bound"}


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"labels": np.array([0, 9])}, "labels must lie in 0..2, as the model gives 3 logits; found 0 to 9"),
        ({"labels": np.array([0.0, 1.0])}, "labels must be whole numbers"),
        ({"plan": 50}, "plan must be a sampling plan"),
    ],
)
def test_what_does_not_fit_is_an_error_before_most_of_the_sampling(changes: dict, words: str) -> None:
    calls = []

    def model(noisy: torch.Tensor) -> torch.Tensor:
        calls.append(len(noisy))
        return torch.zeros(len(noisy), 3)

    smoothed = radii.Smoothed(model, radii.Gaussian(0.5), batch=8)
    with pytest.raises(InputError, match=words):
        smoothed.vote(np.zeros((2, 1, 4, 4), np.float32), **{"plan": radii.fixed(1000, 10), **changes})
    assert len(calls) <= 6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about itself
def test_fused_layers_vote_alike_and_are_recorded(tmp_path, monkeypatch):
    fused_with, compile = [], torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda model, **how: fused_with.append(how) or compile(model, **how)
    )
    model, images = random_model("wrn-10-1", (3, 8, 8)), random_images(3, (3, 8, 8))
    plain, fused = (
        Smoothed(model, NOISE, batch=16, compile=fuse).vote(images, plan=fixed(200, selection=10))
        for fuse in (False, True)
    )
    assert fused_with == [{"dynamic": False, "options": {"freezing": True}}]  # selection and bound at once
    assert np.abs(plain.counts - fused.counts).max() <= 2 and (plain.counts > 0).sum() > 6
    assert "compiler" not in plain.software and fused.software["compiler"] == "inductor"
    with pytest.raises(InputError, match="different software cannot be added"):
        plain + fused
    fused.save(tmp_path / "votes")
    assert load_votes(tmp_path / "votes").software == fused.software
    with pytest.raises(InputError, match="compile needs a torch module"):
        Smoothed(brightness, NOISE, compile=True)
