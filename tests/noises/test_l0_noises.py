"""Ablation and flips: small images on which every outcome can be listed, and the worst set of them found."""

import itertools
from math import comb

import numpy as np
import pytest
import torch

import radii
from radii.errors import InputError
from radii.models.devices import TensorSource
from radii.noises.norms import Ball
from radii.noises.streams import Stream


def neyman_pearson(before: np.ndarray, after: np.ndarray, p: float) -> float:
    """The largest probability after the move of a set of outcomes, some in part, that has probability p before."""
    order = np.argsort(-after / np.maximum(before, 1e-300), kind="stable")
    mass, gained = np.cumsum(before[order]), np.cumsum(after[order])
    return float(np.interp(p, np.concatenate([[0.0], mass]), np.concatenate([[0.0], gained])))


def stream(images: int) -> Stream:
    return Stream(5).at([0] * images, range(images))


# ablation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_ablation_is_the_overlap_of_what_is_shown(kept: int) -> None:
    noise, pixels = radii.Ablation(kept), 6
    shown = [set(one) for one in itertools.combinations(range(pixels), kept)]
    family = noise.trade_offs(Ball("l0", (1, 2, 3)))
    p = np.linspace(0, 1, 101)
    for s in range(pixels + 1):
        touched = np.mean([bool(one & set(range(s))) for one in shown])
        exact = np.minimum(p + touched, 1)
        found = family.upper(p, np.full(101, s))
        assert np.all(found >= exact) and np.all(found <= exact + 1e-10)
        assert touched == pytest.approx(1 - comb(pixels - s, kept) / comb(pixels, kept))


def test_ablation_certifies_what_levine_and_feizi_do() -> None:
    """Their rule for top-1 from the label alone: p - 1/2 above the chance to see a change."""
    noise, shape = radii.Ablation(45), (1, 28, 28)
    p = np.array([0.55, 0.6, 0.8, 0.9, 0.99, 0.999])
    found = radii.certified_radius(noise, "l0", p, shape=shape, unit="pixel")
    change = [1 - comb(784 - s, 45) / comb(784, 45) for s in range(40)]
    expected = [max(s for s in range(40) if change[s] < one - 0.5) for one in p]
    assert found.tolist() == expected
    # s features are in at most s pixels
    features = radii.certified_radius(noise, "l0", p, shape=(3, 28, 28), unit="feature")
    assert features.tolist() == expected


def test_a_random_half_of_pixels_is_shown_evenly() -> None:
    noise = radii.Ablation(2)
    images = np.full((60_000, 1, 2, 2), 0.25, dtype=np.float32)
    seen = noise.perturb(images, stream(len(images)))
    assert seen.shape == (60_000, 2, 2, 2) and seen.dtype == np.float32
    shown = seen[:, 0] > 0
    np.testing.assert_array_equal(seen[:, 0], np.where(shown, np.float32(0.25), 0))
    np.testing.assert_array_equal(seen[:, 1], np.where(shown, np.float32(0.75), 0))
    codes = shown.reshape(-1, 4) @ np.array([1, 2, 4, 8])
    kinds, times = np.unique(codes, return_counts=True)
    assert set(kinds) == {3, 5, 6, 9, 10, 12} and np.abs(times - 10_000).max() < 400


def test_black_and_white_differ_from_blank() -> None:
    images = np.stack([np.zeros((1, 2, 2)), np.ones((1, 2, 2))]).astype(np.float32)
    for made in (images, torch.tensor(images)):
        source = stream(2) if made is images else TensorSource(0, torch.device("cpu"))
        seen = np.asarray(radii.Ablation(3).perturb(made, source))
        assert (seen.sum(axis=1) == 1).sum(axis=(1, 2)).tolist() == [3, 3]
        assert seen[0, 0].max() == 0 and seen[1, 1].max() == 0


# flips ------------------------------------------------------------------------------------------


def law(image: tuple[int, ...], keep: float, values: int) -> np.ndarray:
    """Probabilities of all outcomes, in the order of their numbers."""
    each = np.full((len(image), values), (1 - keep) / (values - 1))
    each[np.arange(len(image)), image] = keep
    return np.array(
        [
            np.prod([row[value] for row, value in zip(each, outcome, strict=True)])
            for outcome in itertools.product(range(values), repeat=len(image))
        ]
    )


@pytest.mark.parametrize("keep,values", [(0.8, 2), (0.6, 3), (0.26, 4)])
def test_flips_are_the_worst_set_of_all_outcomes(keep: float, values: int) -> None:
    noise = radii.Flips(keep, values)
    p = np.linspace(0.001, 0.999, 60)
    family = noise.trade_offs(Ball("l0", (4,), "feature"))
    image = (0, 1, 0, 1)
    for s in range(1, 5):
        moved = tuple((x + 1) % values if place < s else x for place, x in enumerate(image))
        before, after = law(image, noise.keep, values), law(moved, noise.keep, values)
        exact = np.array([neyman_pearson(before, after, one) for one in p])
        found = family.upper(p, np.full(60, s))
        assert np.all(found >= exact - 1e-14) and np.all(found <= exact + 1e-9)
        least = np.array([1 - neyman_pearson(before, after, 1 - one) for one in p])
        np.testing.assert_allclose(family.lower(p, np.full(60, s)), least, atol=1e-9)


@pytest.mark.parametrize("values", [2, 3])
def test_no_change_beats_a_certificate_of_flips(values: int) -> None:
    """Random classifiers of four features, their exact probabilities, and all images that there are."""
    rng, noise = np.random.default_rng(0), radii.Flips(0.85, values)
    every = list(itertools.product(range(values), repeat=4))
    laws = np.array([law(image, noise.keep, values) for image in every])
    changed = (np.array(every)[:, None] != np.array(every)[None]).sum(axis=2)
    certified = 0
    for _ in range(20):
        # smooth classifiers, so that some radii are above 0
        answers = np.sum(every, axis=1) + rng.normal(0, 1, len(every)) > 2 * (values - 1)
        p = laws @ answers
        label = p > 0.5
        mine = np.where(label, p, 1 - p)
        radius = radii.certified_radius(
            noise, "l0", np.minimum(mine, np.nextafter(1, 0)), shape=(4,), unit="feature"
        )
        lost = np.where(label[:, None] != label[None], changed, 99).min(axis=1)
        assert np.all(radius < lost)
        certified += int((radius > 0).sum())
    assert certified > 20


@pytest.mark.parametrize("keep,values", [(0.8, 2), (0.6, 3), (0.7, 256)])
def test_flips_have_their_law(keep: float, values: int) -> None:
    noise, size = radii.Flips(keep, values), 400_000
    images = np.full((4, 1, 1, size // 4), 1 / (values - 1), dtype=np.float32)
    for made, source in ((images, stream(4)), (torch.tensor(images), TensorSource(0, torch.device("cpu")))):
        seen = np.rint(np.asarray(noise.perturb(made, source)) * (values - 1)).astype(int)
        times = np.bincount(seen.ravel(), minlength=values)
        expected = np.full(values, (1 - keep) / (values - 1) * size)
        expected[1] = keep * size
        assert len(times) == values
        assert np.sum((times - expected) ** 2 / expected) < values - 1 + 5 * np.sqrt(2 * (values - 1))


def test_keep_is_drawn_exactly() -> None:
    noise = radii.Flips(0.8)
    assert noise.keep * 2**24 == round(noise.keep * 2**24) and abs(noise.keep - 0.8) < 2**-24
    grid = np.arange(2**24, dtype=np.float32) * np.float32(2.0**-24)
    assert (grid < noise.keep).sum() == noise.keep * 2**24


# both -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ablation:kept=16", "flips:keep=0.8", "splitting", "independent-splitting"])
def test_a_model_is_trained_polled_and_certified(name: str, tmp_path) -> None:
    from radii.data import load_data
    from radii.training import train
    from radii.training.recipe import make_recipe
    from radii.training.run_folder import load_run

    recipe = make_recipe("digits", noise=name, epochs=12)
    train(recipe, load_data("digits", "train"), tmp_path / "run")
    model, config = load_run(tmp_path / "run")
    noise, images = config.recipe.law(), load_data("digits", "test").first(100)
    plan = radii.exhaustive(noise) if noise.outcomes else radii.fixed(300)
    votes = radii.Smoothed(model, noise).vote(images, plan=plan)
    votes.save(tmp_path / "votes.parquet")
    again = radii.load_votes(tmp_path / "votes.parquet")
    assert again.noise == noise and again.plan == plan
    norm = "l1" if "l1" in noise.rules else "l0"
    found = radii.certify(again, norm)
    assert found.accuracy([0])[0] > 0.4 and (found.radius > 0).any()


def test_levels_of_ablation_are_whole() -> None:
    assert radii.Ablation(45).at_level(radii.Ablation(9).level) == radii.Ablation(9)


@pytest.mark.parametrize(
    "make,words",
    [
        (lambda: radii.Ablation(0), "kept must be a number of pixels"),
        (lambda: radii.Ablation(2.5), "kept must be a number of pixels"),
        (lambda: radii.Ablation(64).output_shape((1, 8, 8)), "kept must be below the 64 pixels"),
        (lambda: radii.Ablation(3).output_shape((8,)), "images \\(channels, height, width\\)"),
        (lambda: radii.Flips(0.5), "keep must be above 1 / 2"),
        (lambda: radii.Flips(1.0), "keep must be above"),
        (lambda: radii.Flips(0.9, 1), "values must be a number of grey levels"),
        (lambda: radii.make_noise("flips"), "flips noise needs keep, for example flips:keep=0.8"),
        (lambda: radii.make_noise("flips:keep=0.8", 0.5), "flips noise has no sigma"),
        (lambda: radii.make_noise("laplace:sigma=1", 0.5), "sigma is given twice"),
        (lambda: radii.make_noise("laplace:b=1"), "unknown parameter of laplace noise 'b'"),
        (lambda: radii.make_noise("flips:keep"), "a parameter of a noise is NAME=NUMBER"),
        (
            lambda: radii.certified_radius(radii.Flips(0.8), "l2", np.array([0.9]), shape=(4,)),
            "norm for flips",
        ),
        (
            lambda: radii.Smoothed(abs, radii.Flips(0.8), exact_arithmetic=True),
            "exact arithmetic is for noise that is added",
        ),
    ],
)
def test_what_cannot_be(make, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()
