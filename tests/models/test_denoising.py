"""Denoised smoothing: a denoiser in front of a classifier that was trained without noise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import radii
from commands import call, fine
from radii.data import load_data
from radii.errors import InputError
from radii.models import Denoised, digest, make_model
from radii.models.devices import SMALL
from radii.training import train
from radii.training.loop import Loop
from radii.training.recipe import Recipe
from radii.training.run_folder import load_classifier, load_run, save_config, save_model

CPU = torch.device("cpu")
PLAIN = Recipe("digits", "small-cnn", "gaussian", 0.5, "ordinary", epochs=12, batch=64)
RECIPE = Recipe("digits", "denoiser-5-16", "gaussian", 0.5, "denoising", epochs=20, batch=64, average=0.9)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of a classifier and a denoiser in front of it."""
    folder = tmp_path_factory.mktemp("denoised")
    images = load_data("digits", "train")
    classifier = train(PLAIN, images, folder / "plain", device=CPU)
    train(RECIPE, images, folder / "denoiser", device=CPU, classifier=classifier)
    return folder / "plain", folder / "denoiser"


def test_a_denoiser_makes_an_ordinary_classifier_certifiable(runs: tuple[Path, Path]) -> None:
    plain, denoiser = runs
    images = load_data("digits", "test").first(150)
    found = {}
    for name, run in {"bare": (plain,), "denoised": (denoiser, plain)}.items():
        model, config = load_classifier(*run)
        votes = radii.Smoothed(model, config.recipe.law()).vote(images, plan=radii.fixed(300))
        found[name] = radii.certify(votes, "l2").accuracy([0.25])[0]
    clean = load_run(plain)[0](torch.from_numpy(images.images())).argmax(1)
    assert (clean.numpy() == images.labels).mean() > 0.9
    assert found["denoised"] > found["bare"] + 0.1


def test_restored_images_are_nearer_to_what_they_were(runs: tuple[Path, Path]) -> None:
    denoiser = load_run(runs[1])[0]
    images = torch.from_numpy(load_data("digits", "test").images())
    noisy = images + 0.5 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        left = (denoiser(noisy) - images).square().mean() / (noisy - images).square().mean()
    assert left < 0.5


def test_the_classifier_stays_as_it_is(runs: tuple[Path, Path], tmp_path: Path) -> None:
    classifier = load_run(runs[0])[0]
    before, flags = digest(classifier), [weight.requires_grad for weight in classifier.parameters()]
    images = load_data("digits", "train").first(128)
    short = Recipe("digits", "denoiser-2-4", "laplace", 0.5, "denoising", epochs=2, batch=64)
    train(short, images, tmp_path, device=CPU, classifier=classifier)
    assert digest(classifier) == before and not classifier.training
    assert [weight.requires_grad for weight in classifier.parameters()] == flags
    assert load_run(tmp_path)[1].recipe.classifier == before
    behind = Loop(short, images, CPU, classifier=classifier.train()).base_classifier.classifier
    assert not any(part.training for part in behind.modules())
    assert not any(weight.requires_grad for weight in behind.parameters())


@pytest.mark.parametrize(("width", "threads"), [(10, 1), (SMALL // 64 + 1, 2)])
def test_a_large_classifier_behind_a_small_denoiser_runs_in_all_threads(
    tmp_path: Path, width: int, threads: int
) -> None:
    with torch.random.fork_rng():
        classifier = nn.Sequential(nn.Flatten(), nn.Linear(64, width, bias=False), nn.Linear(width, 10))
    before, seen = torch.get_num_threads(), set()
    torch.set_num_threads(2)
    try:
        short = Recipe("digits", "denoiser-2-4", "gaussian", 0.5, "denoising", epochs=1, batch=16)
        images = load_data("digits", "train").first(32)
        train(
            short, images, tmp_path, lambda *_: seen.add(torch.get_num_threads()), CPU, classifier=classifier
        )
    finally:
        torch.set_num_threads(before)
    assert seen == {threads}


def test_a_classifier_of_other_images_stands_behind_no_denoiser(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    other = replace(load_run(runs[0])[1], shape=(1, 9, 9))
    save_config(tmp_path, other)
    save_model(tmp_path, make_model("small-cnn", other.shape, 10), other)
    with pytest.raises(InputError, match="holds no classifier for digits"):
        load_classifier(runs[1], tmp_path)


def test_an_ordinary_model_knows_images_without_noise(tmp_path: Path) -> None:
    recipe = Recipe("digits", "small-cnn", "gaussian", 0.5, "ordinary", epochs=1, average=0.9)
    images = load_data("digits", "train").first(640)
    model = train(recipe, images, tmp_path, device=CPU)
    with torch.no_grad():
        seen = model.features[0](model.normalize(torch.from_numpy(images.images())))  # type: ignore[operator, index]
    np.testing.assert_allclose(model.features[1].running_mean, seen.mean((0, 2, 3)), atol=2e-3)  # type: ignore[index]


def test_digests_name_both_parts(runs: tuple[Path, Path]) -> None:
    model = load_classifier(runs[1], runs[0])[0]
    others = [
        Denoised(make_model("denoiser-5-16", (1, 8, 8), 10), model.classifier),
        Denoised(model.denoiser, make_model("small-cnn", (1, 8, 8), 10)),
    ]
    assert len({digest(one) for one in (model, *others)}) == 3


def test_a_classifier_behind_a_denoiser_is_known_by_its_scale(runs: tuple[Path, Path]) -> None:
    denoiser, plain = load_run(runs[1])[0], load_run(runs[0])[0]
    scales = [radii.load_model(plain, input_range=scale) for scale in ((0, 1), (-1, 1), (0, 255))]
    assert len({digest(Denoised(denoiser, one)) for one in scales}) == 3


def test_the_commands(runs: tuple[Path, Path], tmp_path: Path) -> None:
    plain, out = tmp_path / "plain", tmp_path / "denoiser"
    said = fine("train", "--data", "digits", "--loss", "ordinary", "--epochs", 1, "--out", plain)
    assert f"Trained small-cnn without noise: {plain}" in said
    said = fine(
        "train", "--denoise", plain, "--sigma", 0.3, "--noise", "gaussian", "--epochs", 1, "--out", out
    )
    assert "Trained denoiser-8-32 under gaussian noise, sigma 0.3" in said
    assert f"Next: radii vote {out} --classifier {plain}\n" in said
    fine("vote", out, "--classifier", plain, "--n", 50, "--limit", 10)
    votes = radii.load_votes(out / "votes.parquet")
    assert votes.noise == radii.Gaussian(0.3) and votes.model == digest(load_classifier(out, plain)[0])
    for line, words in {
        ("vote", out): "holds a denoiser: say which classifier",
        ("vote", out, "--classifier", out): "holds no classifier for digits",
        ("train", "--denoise", out): "holds a denoiser",
    }.items():
        ended = call(*line, "--out", tmp_path / "new")
        assert ended.status == 2 and words in ended.err and not (tmp_path / "new").exists()


@pytest.mark.parametrize("recipe,behind", [(RECIPE, False), (PLAIN, True)])
def test_denoisers_and_nothing_else_stand_in_front(tmp_path: Path, recipe: Recipe, behind: bool) -> None:
    classifier = make_model("small-cnn", (1, 8, 8), 10) if behind else None
    with pytest.raises(InputError, match="trained in front of a classifier"):
        train(recipe, load_data("digits", "train"), tmp_path / "run", device=CPU, classifier=classifier)
    assert not (tmp_path / "run").exists()


def test_stopped_and_started_again(runs: tuple[Path, Path], tmp_path: Path) -> None:
    classifier, images = load_run(runs[0])[0], load_data("digits", "train").first(256)
    recipe = Recipe("digits", "denoiser-3-8", "laplace", 0.5, "denoising", epochs=3, batch=64)

    def stop(done: int, *_: object) -> None:
        if done >= 400:
            raise KeyboardInterrupt

    whole = train(recipe, images, tmp_path / "whole", device=CPU, classifier=classifier)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, images, tmp_path / "again", stop, CPU, classifier)
    other = make_model("small-cnn", (1, 8, 8), 10)
    with pytest.raises(InputError, match="unfinished training with classifier"):
        train(recipe, images, tmp_path / "again", None, CPU, other)
    again = train(recipe, images, tmp_path / "again", None, CPU, classifier)
    assert digest(again) == digest(whole)
