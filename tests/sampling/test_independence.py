"""Logits that depend on one image alone: every dependence on the batch is rejected, rounding is not."""

import copy
import threading
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, dropout

import radii
import radii.engine
from given_models import plain
from radii.certificates.probability_bounds import NoiseRules
from radii.data import from_arrays
from radii.errors import InputError, RadiiWarning
from radii.models import Denoised, make_model
from radii.noises import example
from radii.sampling.independence import (
    FAR,
    FEW,
    LEAST_BETWEEN,
    check_independent,
    check_same,
    make_probe,
    random_images,
)
from radii.sampling.model_call import WithinMemory
from radii.sampling.monte_carlo import NoisyImages, count_votes
from radii.sampling.scheduler import Scheduler

SHAPE = (1, 8, 8)
SIZES = [8, 64, 512]
NOISE = radii.Gaussian(0.5)
IMAGES = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))
MESSAGE = "the same logits in every batch, but they changed"


def network(name: str = "small-cnn", shape: tuple[int, ...] = SHAPE) -> nn.Module:
    torch.manual_seed(0)
    return make_model(name, shape, 10).eval()


NETWORK = network()


def checked(model: Callable[[Tensor], Tensor], rows: int, precision: str = "float32", **given) -> Tensor:
    """Logits of the noise samples of the check."""
    given = {"noise": NOISE, "shape": SHAPE, "alone": True} | given
    probe = make_probe(NoisyImages(random_images(given["shape"]), given["noise"], 0, "predict"), rows)
    one = WithinMemory(model)
    return check_independent(lambda: one, probe, precision, given["alone"])[1]


def vote(model: Callable[[Tensor], Tensor], rows: int, n: int = 10, images: Tensor = IMAGES) -> radii.Votes:
    return radii.Smoothed(model, NOISE, batch=rows).vote(images, plan=radii.fixed(n, selection=0))


# kinds of dependence ------------------------------------------------------------------------------


def maximum(images: Tensor) -> Tensor:
    """Scaled by the maximum over the batch."""
    return plain(images / images.amax())


def minimum(images: Tensor) -> Tensor:
    return plain(images / (1 - images.amin()))


def mean(images: Tensor) -> Tensor:
    return plain(images - images.mean(0))


def quantile(images: Tensor) -> Tensor:
    """Clipped to 99 % of the values in the batch."""
    low, high = np.quantile(images.numpy(), [0.005, 0.995])
    return plain(images.clamp(float(low), float(high)))


def ranks(images: Tensor) -> Tensor:
    """The place of each feature in the batch, which sorting gives."""
    return plain(images.argsort(0).argsort(0) / len(images))


def sorted_batch(images: Tensor) -> Tensor:
    return plain(images.sort(0).values)


def min_max(images: Tensor) -> Tensor:
    return plain((images - images.amin()) / (images.amax() - images.amin()))


def min_max_of_features(images: Tensor) -> Tensor:
    return plain((images - images.amin(0)) / (images.amax(0) - images.amin(0)))


def neighbour(images: Tensor) -> Tensor:
    return plain(images + 0.1 * images.roll(1, 0))


def statistics(images: Tensor) -> Tensor:
    """As batch normalisation in training mode."""
    return NETWORK(batch_norm(images, None, None, training=True))


def luck(images: Tensor) -> Tensor:
    return NETWORK(dropout(images, 0.1, training=True))


def place(images: Tensor) -> Tensor:
    return NETWORK(images) + torch.arange(len(images))[:, None]


def size_of_batch(images: Tensor) -> Tensor:
    return plain(images) + torch.arange(10) * len(images) / 64


def scaled_to_8_bits(images: Tensor) -> Tensor:
    """A scale for 8 bits from all images, as dynamic quantization has it."""
    scale = images.abs().amax() / 127
    return plain((images / scale).round() * scale)


KINDS = [
    *(maximum, mean, quantile, ranks, sorted_batch, min_max, min_max_of_features, neighbour),
    *(statistics, luck, place, size_of_batch, scaled_to_8_bits),
]


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.__name__)
def test_logits_that_depend_on_the_batch_are_rejected(model: Callable[[Tensor], Tensor], rows: int) -> None:
    with pytest.raises(InputError, match=rf"{MESSAGE}.*model\.eval\(\).*quantize statically.*no state"):
        vote(model, rows)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("part", [2, 4, 32, 128])
def test_statistics_of_parts_of_a_batch_are_rejected(rows: int, part: int) -> None:
    """As several devices have them, each for its share of the batch."""

    def in_parts(images: Tensor) -> Tensor:
        return torch.cat([statistics(one) for one in images.split(part)])

    with pytest.raises(InputError, match=MESSAGE):
        checked(in_parts, rows, alone=False)


@pytest.mark.parametrize("rows", [*SIZES, 2048])
@pytest.mark.parametrize("model", [maximum, minimum, min_max])
def test_extremes_of_heavy_tails_are_rejected(model: Callable[[Tensor], Tensor], rows: int) -> None:
    """The largest of many samples lies far beyond the largest of few."""
    for noise in (radii.PowerLinf(0.5, 3), radii.PowerL2(0.5, 3), radii.Pareto(0.5, 3)):
        with pytest.raises(InputError, match=MESSAGE):
            checked(model, rows, noise=noise, alone=False)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", [maximum, mean, min_max, statistics, luck, place])
def test_bounds_of_either_precision_find_them(model: Callable[[Tensor], Tensor], precision: str) -> None:
    with pytest.raises(InputError, match=MESSAGE):
        checked(model, 64, precision)


@pytest.mark.parametrize("rows", SIZES)
def test_normalisation_in_training_inside_a_function(rows: int) -> None:
    """No attribute `training` shows it."""
    layer = nn.BatchNorm2d(1).train()
    with pytest.raises(InputError, match=MESSAGE):
        vote(lambda images: plain(layer(images)), rows)
    # with its running statistics it is a fixed layer
    layer.eval()
    vote(lambda images: plain(layer(images)), rows)


# state between calls ------------------------------------------------------------------------------


class Average:
    """Subtracts a running average of the batches so far."""

    def __init__(self) -> None:
        self.mean = torch.zeros(SHAPE)

    def __call__(self, images: Tensor) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * images.mean(0)
        return plain(images - self.mean)


class Counter:
    """One class gains with every call, from the call `after` on."""

    def __init__(self, after: int = 0) -> None:
        self.calls, self.after = 0, after

    def __call__(self, images: Tensor) -> Tensor:
        self.calls += 1
        return plain(images) + 0.1 * max(0, self.calls - self.after) * torch.eye(10)[0]


class Late:
    """Answers with what it was asked before."""

    def __init__(self) -> None:
        self.before: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        images, self.before = images if self.before is None else self.before, images.clone()
        return plain(images)


class First:
    """Subtracts the mean of the first batch that it ever sees."""

    def __init__(self) -> None:
        self.mean: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        if self.mean is None:
            self.mean = images.mean(0)
        return plain(images - self.mean)


class Module(nn.Module):
    """Any of them as a module."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.layer = model, nn.Linear(1, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


STATES = [Average, Counter, Late, First]


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("state", STATES)
def test_state_between_calls_is_rejected(state: Callable[[], Callable], rows: int) -> None:
    wrapped = radii.load_model(state(), input_range=(-1, 1), class_map=[*range(1, 10), 0])
    for model in (state(), Module(state()).eval(), wrapped):
        for _ in range(2):  # the refused model has not got used to it
            with pytest.raises(InputError, match=MESSAGE):
                vote(model, rows)


def test_clean_images_do_not_become_the_first_batch() -> None:
    labels = plain(IMAGES).argmax(1).numpy()
    with pytest.raises(InputError, match=MESSAGE):
        radii.Smoothed(First(), NOISE, batch=64).vote(IMAGES, labels, plan=radii.fixed(10))


def test_what_cannot_be_copied_is_checked_as_it_is() -> None:
    class Locked(Counter):
        def __init__(self, step: float) -> None:
            super().__init__()
            self.lock, self.step = threading.Lock(), step

        def __call__(self, images: Tensor) -> Tensor:
            with self.lock:
                return plain(images) + self.step * (super().__call__(images) - plain(images))

    with pytest.raises(InputError, match=MESSAGE):
        vote(Locked(1.0), 64)
    votes = vote(model := Locked(0.0), 64)
    np.testing.assert_array_equal(votes.counts, vote(plain, 64).counts)
    assert model.calls == 5 + 1 + 1, "the check, the run, the re-check"
    with pytest.raises(TypeError):
        copy.deepcopy(model)


# rounding and sound models ------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("rows", [8, 33, 64])
@pytest.mark.parametrize("name", ["small-cnn", "wrn-10-1", "wrn-10-1-half"])
def test_networks_in_evaluation_mode_pass(name: str, rows: int, precision: str) -> None:
    kind = getattr(torch, precision)
    model = network(name, (3, 8, 8)).to(kind)
    for noise in (NOISE, radii.Pareto(0.5, 3)):
        found = checked(lambda x: model(x.to(kind)), rows, precision, noise=noise, shape=(3, 8, 8))
        assert found.shape == (rows // 2, 10)


@pytest.mark.parametrize("noise", sorted(radii.NOISES))
def test_networks_pass_under_every_noise(noise: str) -> None:
    kind = example(radii.NOISES[noise])
    model = network(shape=kind.output_shape(SHAPE))
    for one in (model, lambda images: model(images)):  # a function gets float32, too
        assert radii.Smoothed(one, kind, batch=33).ready(SHAPE).classes == 10


def test_denoised_networks_pass() -> None:
    model = Denoised(network("denoiser-4-8"), network()).eval()
    assert vote(model, 64).counts.sum() == 30


def test_logits_that_differ_by_rounding_give_a_warning() -> None:
    def uneven(images: Tensor) -> Tensor:
        return NETWORK(images) * (1 + 1e-6 * torch.arange(len(images))[:, None])

    with pytest.warns(RadiiWarning, match="last digits"):
        checked(uneven, 32)


def test_a_batch_of_one_may_round_otherwise() -> None:
    def products_of_11_bits(images: Tensor) -> Tensor:
        return NETWORK(images if len(images) == 1 else (images * 2048).round() / 2048)

    checked(products_of_11_bits, 64)


@pytest.mark.parametrize("alone", [True, False])
def test_models_for_batches_of_one_size(alone: bool) -> None:
    def of_one_size(images: Tensor) -> Tensor:
        assert len(images) == 64
        return plain(images)

    checked(of_one_size, 64, alone=alone)
    assert vote(of_one_size, 64).counts.sum() == 30

    def of_several(images: Tensor) -> Tensor:
        return plain(images).squeeze()

    assert vote(of_several, 8).counts.sum() == 30


def test_models_that_are_compiled_see_one_size() -> None:
    seen = []

    def spy(images: Tensor) -> Tensor:
        seen.append(len(images))
        return plain(images)

    spy._torchdynamo_orig_callable = plain  # as torch.compile marks its functions
    vote(spy, 64)
    assert set(seen) == {64}


def test_models_that_write_into_their_images_pass() -> None:
    def writing(images: Tensor) -> Tensor:
        return plain(images.sub_(0.1))

    np.testing.assert_array_equal(vote(writing, 8, 400).counts, vote(lambda x: plain(x - 0.1), 8, 400).counts)


def test_models_that_return_one_buffer_pass() -> None:
    buffer = torch.zeros(8, 10)
    votes = vote(lambda images: buffer[: len(images)].copy_(plain(images)), 8, 400)
    np.testing.assert_array_equal(votes.counts, vote(plain, 8, 400).counts)


def test_classes_that_are_switched_off_hide_no_dependence() -> None:
    def off(images: Tensor) -> Tensor:
        return plain(images).index_fill(1, torch.tensor([4]), -torch.inf)

    def dependent(images: Tensor) -> Tensor:
        return statistics(images).index_fill(1, torch.tensor([4]), -torch.inf)

    def now_and_then(images: Tensor) -> Tensor:
        """A class that is switched off at some places of a batch alone."""
        return plain(images).masked_fill(torch.arange(len(images))[:, None] % 3 == 0, -torch.inf)

    checked(off, 32)
    for model in (dependent, now_and_then):
        with pytest.raises(InputError, match=MESSAGE):
            checked(model, 32)


def test_what_is_no_number_is_left_to_the_images_themselves() -> None:
    assert checked(lambda images: torch.full((len(images), 4), torch.nan), 8).shape == (4, 4)


# what is compared ---------------------------------------------------------------------------------


def test_the_samples_are_those_of_the_run() -> None:
    """A model that only misbehaves on bright images is found if the run has some."""

    def bright(images: Tensor) -> Tensor:
        return plain(images - (images.flatten(1).mean(1) > 0.9).view(-1, 1, 1, 1) * images.mean(0))

    checked(bright, 64)
    with pytest.raises(InputError, match=MESSAGE):
        vote(bright, 64, images=torch.ones(3, *SHAPE))


def test_samples_and_companions() -> None:
    noisy = NoisyImages(from_arrays(IMAGES), radii.PowerLinf(0.5, 3), 0, "predict")
    probe = make_probe(noisy, 33)
    assert probe.samples.shape == (16, *SHAPE) and probe.rows == 33
    again = noisy.first(33)
    np.testing.assert_array_equal(torch.cat([probe.samples, probe.usual]).numpy(), again)
    assert len(np.unique(again.reshape(33, -1), axis=0)) == 33, "all of them differ"
    reach = FAR * float(np.abs(again - 0.5).max())
    assert (probe.dark == 0).all() and (probe.far[0] == 1).all()
    torch.testing.assert_close(
        probe.far[1:3], torch.stack([torch.full(SHAPE, -reach), torch.full(SHAPE, 1 + reach)])
    )
    assert len(np.unique(probe.far[3:].numpy().reshape(FEW, -1), axis=0)) == FEW, "the others have noise"


@pytest.mark.parametrize("name", ["splitting", "independent-splitting", "flips", "ablation"])
def test_companions_of_noise_that_is_not_added_are_its_samples(name: str) -> None:
    """Models of such noise may take nothing else."""
    noise = example(radii.NOISES[name])
    probe = make_probe(NoisyImages(random_images(SHAPE), noise, 0, "predict"), 512)
    for companions, count in ((probe.dark, FEW // 2), (probe.far, FEW)):
        assert companions.shape == (count, *noise.output_shape(SHAPE))
        assert float(companions.min()) >= 0 and float(companions.max()) <= 1


LOGITS = torch.tensor([[1.0, 3.0, 2.0], [0.5, -2.0, 1.0], [2.0, 1.0, 0.0], [0.0, 1.0, 3.0]])


@pytest.mark.parametrize(
    ("first", "again", "expected"),
    [
        (LOGITS, LOGITS, 0.0),
        (LOGITS, LOGITS + torch.tensor([[0, 0, 0], [0, 0.02, 0], [0, 0, 0], [0, 0, 0]]), 0.01),
        # the median image counts where an image has small logits by chance
        (
            LOGITS * torch.tensor([[1], [1e-6], [1], [1]]),
            LOGITS * torch.tensor([[1], [1.1e-6], [1], [1]]),
            1e-7,
        ),
        # a large part that all logits have in common decides no vote
        (LOGITS + 100, LOGITS * 1.1 + 100, 0.1),
        # unless they differ by little more than rounding
        (LOGITS + 1e4, LOGITS * 1.1 + 1e4, 0.002),
        # neither do the large logits of one image hide the changes of others
        (
            LOGITS * torch.tensor([[1], [1e6], [1], [1]]),
            1.1 * LOGITS * torch.tensor([[1], [1e6], [1], [1]]),
            0.1,
        ),
        (LOGITS.masked_fill(LOGITS == 1, -torch.inf), LOGITS.masked_fill(LOGITS == 1, -torch.inf), 0.0),
        (LOGITS.masked_fill(LOGITS == 1, -torch.inf), LOGITS, torch.inf),
        (LOGITS, LOGITS.masked_fill(LOGITS == 1, torch.nan), torch.inf),
        (torch.zeros(4, 3), torch.zeros(4, 3), 0.0),
        (torch.zeros(4, 3), torch.ones(4, 3), torch.inf),
        (torch.ones(4, 1), torch.full((4, 1), 1.25), 0.25),
    ],
)
def test_the_change_of_logits(first: Tensor, again: Tensor, expected: float) -> None:
    assert check_same(first, again, torch.inf, "") == pytest.approx(expected, rel=0.05)
    if expected > 0:
        with pytest.raises(InputError, match="changed here"):
            check_same(first, again, 0.9 * min(expected, 1.0), "here")


# during a run -------------------------------------------------------------------------------------


def rare(images: Tensor) -> Tensor:
    """Takes the batch into account for one noise sample in thousands."""
    far = (images.flatten(1).amax(1) > 2.55).view(-1, 1, 1, 1)
    return plain(images - 2 * far * images.mean(0))


def test_a_dependence_of_rare_noise_samples_is_found_in_the_run() -> None:
    checked(rare, 64)
    vote(rare, 64, 100)
    with pytest.raises(
        InputError, match=rf"{MESSAGE} when noise samples of this run .* sample all votes again"
    ):
        vote(rare, 64, 20_000)


@pytest.mark.parametrize("rows", SIZES)
def test_state_that_begins_to_matter_is_found_at_the_end_of_the_run(rows: int) -> None:
    vote(Counter(after=100), rows, 20 * rows)
    for n in (40 * rows, 400 * rows):
        with pytest.raises(InputError, match=rf"{MESSAGE} when noise samples of this run"):
            vote(Counter(after=100), rows, n)


def test_a_model_that_failed_stays_rejected() -> None:
    sampler = radii.Smoothed(Counter(after=20), NOISE, batch=64).ready(SHAPE)
    examples = from_arrays(IMAGES)
    with pytest.raises(InputError, match=MESSAGE):
        sampler.vote(examples, radii.fixed(1000), 0)
    with pytest.raises(InputError, match=MESSAGE):
        sampler.vote(examples, radii.fixed(1), 0)


@pytest.mark.parametrize(("rows", "n"), [(8, 1000), (64, 6000), (64, 12_000)])
def test_votes_are_those_of_the_model_alone(rows: int, n: int) -> None:
    plan, examples = radii.fixed(n, selection=0), from_arrays(IMAGES)
    scheduler = Scheduler(plan.stopping_rule(NoiseRules(NOISE, SHAPE)), len(IMAGES), 10, None)
    count_votes(plain, NoisyImages(examples, NOISE, 0), scheduler, rows, lambda _: None)
    np.testing.assert_array_equal(vote(plain, rows, n).counts, scheduler.counts)


@pytest.mark.parametrize(("rows", "n", "most"), [(8, 6000, 10), (64, 6000, 2), (64, 20_000, 4)])
def test_the_cost_of_re_checks(rows: int, n: int, most: int) -> None:
    """Less than .5 % of all queries."""
    sizes = []

    def spy(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return plain(images)

    sampler = radii.Smoothed(spy, NOISE, batch=rows).ready(SHAPE)
    before = len(sizes)
    sampler.vote(from_arrays(IMAGES), radii.fixed(n, selection=0), 0)
    again = len(sizes) - before - -(-3 * n // rows)
    assert before == 5 and set(sizes) == {1, rows}
    assert 1 <= again <= most and again / (len(sizes) - before) < 0.005


def test_the_cost_of_many_short_runs() -> None:
    """As the units of the engine, and the requests to a server: the first has a re-check, then some have."""
    calls = []
    sampler = radii.Smoothed(lambda images: calls.append(0) or plain(images), NOISE, batch=8).ready(SHAPE)
    calls.clear()
    again = []
    for seed in range(120):
        sampler.vote(from_arrays(IMAGES), radii.fixed(24, selection=0), seed)
        again.append(len(calls) - 9 * (seed + 1))
    assert again[0] == 1 and 3 <= again[-1] <= len(calls) / LEAST_BETWEEN < len(calls) / 200


def test_re_checks_of_threads_that_share_a_model() -> None:
    sampler, found = radii.Smoothed(plain, NOISE, batch=8).ready(SHAPE), []
    examples = from_arrays(IMAGES)
    expected = sampler.vote(examples, radii.fixed(2000), 0).counts

    def work() -> None:
        found.append(sampler.vote(examples, radii.fixed(2000), 0).counts)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 4
    for counts in found:
        np.testing.assert_array_equal(counts, expected)


def test_a_part_that_fails_is_not_kept(tmp_path) -> None:
    """The engine keeps parts that were drawn before."""
    smoothed, plan = radii.Smoothed(Counter(after=400), NOISE, batch=64), radii.fixed(20_000)
    with pytest.raises(InputError, match=MESSAGE):
        radii.engine.vote(smoothed, IMAGES, plan=plan, folder=tmp_path / "parts", block=20_100)
    assert len(list((tmp_path / "parts").glob("part-*"))) == 1


def test_memory_that_runs_out_in_between_is_no_change() -> None:
    """Smaller batches may have other kernels."""

    def narrow(images: Tensor) -> Tensor:
        narrow.calls += 1
        if narrow.calls > 20 and len(images) > 32:
            raise MemoryError
        return plain(images) * (1.01 if len(images) == 32 else 1.0)

    narrow.calls = 0
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert vote(narrow, 64, 2000).counts.sum() == 6000
    assert any("out of memory" in str(one.message) for one in said)
