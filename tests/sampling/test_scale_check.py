"""Models in another scale than they were trained in: found on clean images, and the scale that fits is named."""

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor, nn

import radii
from given_models import NearestMean, digits, plain
from radii.data import from_arrays
from radii.engine import vote
from radii.errors import InputError, RadiiWarning
from radii.models.adapters.preprocess import Inputs, Preprocess
from radii.sampling.scale_check import COMMON_SCALES, check_scale

IMAGES, LABELS = digits(200)
NOISE = radii.Gaussian(0.25)
FITTING = {words: one for words, one in COMMON_SCALES.items() if len(one.mean or (0,)) == 1}


class Strict(nn.Module):
    """Knows digits if they come in its scale, and calls everything else 0."""

    def __init__(self, inputs: Inputs, otherwise: float = 1.0) -> None:
        super().__init__()
        self.inputs, self.otherwise = inputs, otherwise

    def forward(self, images: Tensor) -> Tensor:
        black = Preprocess(self.inputs)(torch.zeros(1, *images.shape[1:]))
        white = Preprocess(self.inputs)(torch.ones(1, *images.shape[1:]))
        unit = (images - black) / (white - black)
        flat = unit.flatten(1)
        known = (flat.amin(1).abs() < 0.02) & ((flat.amax(1) - 1).abs() < 0.02)
        known |= torch.arange(len(images)) % 100 >= 100 * self.otherwise
        return torch.where(known[:, None], plain(unit), torch.eye(10)[:1])


def check(model, labels=LABELS, noise=NOISE, images=IMAGES) -> None:
    check_scale(model, noise, from_arrays(images, labels, None))


@pytest.mark.parametrize("words", FITTING)
def test_models_in_their_scale_pass(words: str) -> None:
    inputs = FITTING[words]
    check(
        radii.load_model(
            Strict(inputs).eval(), input_range=inputs.input_range, mean=inputs.mean, std=inputs.std
        )
    )


@pytest.mark.parametrize("known", FITTING)
@pytest.mark.parametrize("declared", FITTING)
def test_the_scale_that_fits_is_named(known: str, declared: str) -> None:
    given = FITTING[declared]
    model = radii.load_model(
        Strict(FITTING[known]).eval(), input_range=given.input_range, mean=given.mean, std=given.std
    )
    if known == declared:
        return check(model)
    with pytest.raises(InputError) as error:
        check(model)
    assert str(error.value).startswith(
        f"7 of 64 clean images are classified correctly, but 60 with {known}: declare"
    )


@pytest.mark.parametrize(
    "words", [words for words, one in COMMON_SCALES.items() if len(one.mean or (0,)) == 3]
)
def test_scales_of_coloured_images(words: str) -> None:
    class Grey(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            unit = images * torch.tensor(COMMON_SCALES[words].std)[:, None, None]
            unit = unit + torch.tensor(COMMON_SCALES[words].mean)[:, None, None]
            flat = unit.flatten(1)
            known = (flat.amin(1).abs() < 0.02) & ((flat.amax(1) - 1).abs() < 0.02)
            return torch.where(known[:, None], plain(unit.mean(1, keepdim=True)), torch.eye(10)[:1])

    with pytest.raises(InputError, match=f"with {words}"):
        check(Grey().eval(), images=np.repeat(IMAGES, 3, axis=1))


def test_an_ordinary_network_that_was_trained_on_bytes() -> None:
    model = NearestMean(Inputs((0, 255))).eval()
    with pytest.raises(InputError, match="with --input-range 0,255: declare the scale"):
        check(model)
    check(radii.load_model(model, input_range=(0, 255)))


def test_layouts_stay_as_they_are_declared() -> None:
    model = nn.Sequential(nn.Unflatten(1, (1, 8, 8)), Strict(Inputs((-1, 1)))).eval()
    with pytest.raises(InputError, match="with --input-range -1,1"):
        check(radii.load_model(model, layout="flat"))
    with pytest.raises(
        InputError, match=r"failed on images of shape \(\d+, 8, 8, 1\) .* takes another layout"
    ):
        check(radii.load_model(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()).eval(), layout="nhwc"))


def test_a_model_better_than_chance_gives_a_warning() -> None:
    with pytest.warns(
        RadiiWarning, match=r"of 64 clean images are classified correctly, but 60 with --input-range -1,1"
    ):
        check(Strict(Inputs((-1, 1)), otherwise=0.5).eval())


def test_models_that_are_no_better_in_any_scale_pass() -> None:
    """Chance is no mistake of scale: none of fifty random networks is rejected."""
    for seed in range(50):
        torch.manual_seed(seed)
        check(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10)).eval())


def test_how_many_more_must_be_right() -> None:
    """As the binomial distribution says: chance is the share of the most frequent label."""
    images, labels = IMAGES[:64], LABELS[:64]
    chance = np.bincount(labels).max() / 64

    def refused(right: int) -> bool:
        def model(given: Tensor) -> Tensor:
            known = (np.arange(64) < right) & (float(given.min()) < -0.5)
            return torch.eye(10)[np.where(known, labels, (labels + 1) % 10)]

        try:
            check(model, labels, images=images)
        except InputError:
            return True
        return False

    fewest = next(right for right in range(65) if binom.sf(right - 1, 64, chance) <= 1e-6)
    assert [refused(right) for right in (0, fewest - 1, fewest, 64)] == [False, False, True, True]


def test_no_check_without_labels_or_with_few_images_or_one_class() -> None:
    model = Strict(Inputs((-1, 1))).eval()
    check(model, labels=None)
    check(model, LABELS[:5], images=IMAGES[:5])
    sevens = LABELS == 7
    check(model, LABELS[sevens], images=IMAGES[sevens])
    check(model, noise=radii.Ablation(kept=9))


def test_calls_from_python_are_checked_too(tmp_path) -> None:
    smoothed = radii.Smoothed(Strict(Inputs((-1, 1))).eval(), NOISE, batch=64)
    with pytest.raises(InputError, match="with --input-range -1,1"):
        smoothed.vote(IMAGES, LABELS, plan=radii.fixed(10))
    with pytest.raises(InputError, match="with --input-range -1,1"):
        smoothed.certify(IMAGES, LABELS, norm="l2", n_max=100)
    with pytest.raises(InputError, match="with --input-range -1,1"):
        vote(smoothed, IMAGES, LABELS, plan=radii.fixed(10), folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_images_that_were_rescaled_already() -> None:
    with pytest.raises(InputError, match=r"found -1 to 1: rescale them, and declare what the model takes"):
        radii.Smoothed(plain, NOISE).vote(2 * IMAGES - 1, LABELS, plan=radii.fixed(10))


def test_models_that_are_no_modules() -> None:
    model = Strict(Inputs((-1, 1)))
    with pytest.raises(InputError, match="with --input-range -1,1"):
        check(lambda images: model(images))
