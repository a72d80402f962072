"""Training: it learns, it repeats, and what it writes can be read or is refused."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import radii.training.loop
from radii.data import load_data
from radii.data.dataset import make_data
from radii.errors import InputError, UnknownName
from radii.models import digest
from radii.models.devices import SMALL, TensorSource, has_bfloat16, limit_threads
from radii.noises import NOISES, ProductNoise, example_name, make_noise
from radii.sampling import Smoothed
from radii.training import train
from radii.training.loop import BORDER, Loop, crop_and_flip
from radii.training.recipe import RECIPES, SCHEDULES, Recipe, make_recipe
from radii.training.run_folder import load_config, load_run
from radii.votes.plans import fixed

INDEPENDENT = [example_name(kind) for kind in NOISES.values() if issubclass(kind, ProductNoise)]

CPU = torch.device("cpu")
SHORT = Recipe("toy", "small-cnn", "laplace", 0.3, epochs=2, batch=16)


def toy_data(count=64):
    """Bright images are of class 1."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 100, (count, 1, 8, 8)) + labels[:, None, None, None] * 150
    return make_data("toy", "train", pixels.astype(np.uint8), labels, ("dark", "bright"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train(SHORT, toy_data(), folder, device=CPU)
    return folder


# learning -----------------------------------------------------------------------------------------


def test_digits_are_learned_under_noise(tmp_path):
    recipe = make_recipe("digits", noise="uniform", sigma=0.25, epochs=12)
    model = train(recipe, load_data("digits", "train"), tmp_path, device=CPU)
    test = load_data("digits", "test")
    votes = Smoothed(model, recipe.law()).vote(test, plan=fixed(30, selection=0))
    assert (votes.counts.argmax(1) == votes.labels).mean() > 0.9


def test_same_recipe_same_weights(tmp_path):
    models = [train(SHORT, toy_data(), tmp_path / name, device=CPU) for name in "ab"]
    other = train(replace(SHORT, seed=1), toy_data(), tmp_path / "c", device=CPU)
    assert digest(models[0]) == digest(models[1]) != digest(other)


def test_training_leaves_the_global_random_numbers_alone(tmp_path):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    train(SHORT, toy_data(), tmp_path, device=CPU)
    assert torch.equal(torch.rand(3), expected)


def test_batch_normalisation_knows_the_noisy_images(tmp_path):
    recipe = replace(SHORT, sigma=1.0, epochs=20)
    model, data = train(recipe, toy_data(), tmp_path, device=CPU), toy_data()
    source, images = TensorSource(5, CPU), torch.from_numpy(data.images()).repeat(20, 1, 1, 1)
    spread = {}
    for name, inputs in (
        ("clean", images),
        ("noisy", images + recipe.law().draw(source, tuple(images.shape))),
    ):
        with torch.no_grad():
            spread[name] = model.features[0](model.normalize(inputs)).var((0, 2, 3))
    kept = model.features[1].running_var
    assert (kept / spread["noisy"] - 1).abs().max() < 0.15
    assert (kept / spread["clean"]).min() > 1.3


def test_noise_is_fresh_at_every_step(tmp_path, monkeypatch):
    seen = []

    def spy(model, images, labels, draw):
        noisy = draw(images)
        seen.append(noisy - images)
        logits = model(noisy).float()
        return torch.nn.functional.cross_entropy(logits, labels), logits

    monkeypatch.setitem(radii.training.loop.LOSSES, "noise-augmentation", spy)
    train(SHORT, toy_data(), tmp_path, device=CPU)
    assert len(seen) == 8
    assert len(torch.unique(torch.cat(seen).flatten(1)[:, 0])) == 128
    assert abs(torch.cat(seen).std() - SHORT.sigma) < 0.02


def test_divergence_is_told(tmp_path):
    with pytest.raises(InputError, match=r"training diverged .*lower lr"):
        train(replace(SHORT, lr=1e30), toy_data(), tmp_path, device=CPU)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("rate", SCHEDULES.values(), ids=SCHEDULES)
def test_learning_rate_rises_then_falls_to_nothing(rate):
    rates = [rate(step, 100) for step in range(101)]
    assert rates[0] < 0.1 and max(rates) == rates[20] == 1 and rates[100] < 1e-12
    assert rates[:20] == sorted(rates[:20]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert all(0 < rate(step, total) <= 1 for total in (1, 2, 5) for step in range(total))


def test_averaged_weights_are_the_weighted_mean_of_all_steps():
    recipe = replace(SHORT, average=0.8)
    loop = Loop(recipe, toy_data(), CPU)
    expected = loop.model.head.weight.detach().double()
    for steps in range(1, 31):
        loop.step(loop.pixels[:16], loop.labels[:16])
        decay = min(0.8, steps / (steps + 9))
        expected = decay * expected + (1 - decay) * loop.model.head.weight.detach().double()
    last = loop.model.head.weight.detach().clone()
    kept = loop.finish().head.weight
    assert torch.allclose(kept.double(), expected, atol=1e-6) and not torch.allclose(kept, last, atol=1e-4)


def test_averaged_weights_have_statistics_of_their_own_on_noisy_images(tmp_path):
    recipe = replace(SHORT, sigma=1.0, epochs=10, average=0.95)
    model, data = train(recipe, toy_data(), tmp_path, device=CPU), toy_data()
    images = torch.from_numpy(data.images()).repeat(20, 1, 1, 1)
    noisy = images + recipe.law().draw(TensorSource(5, CPU), tuple(images.shape))
    with torch.no_grad():
        spread = model.features[0](model.normalize(noisy)).var((0, 2, 3))
    assert (model.features[1].running_var / spread - 1).abs().max() < 0.15
    assert model.features[1].momentum == 0.1
    assert digest(load_run(tmp_path)[0]) == digest(model)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_noise_drawn_as_tensors_has_its_distribution(name):
    noise = make_noise(name, 0.5)
    sample = noise.draw(TensorSource(0, CPU), (200_000,))
    fourth = {"gaussian": 3, "laplace": 6, "uniform": 1.8, "generalized-normal:exponent=4": 2.18844}[name]
    assert abs(sample.std() - 0.5) < 0.005 and abs(sample.mean()) < 0.005
    assert (sample / 0.5).pow(4).mean() == pytest.approx(fourth, rel=0.05)
    assert torch.isfinite(sample).all()


def test_bfloat16_is_not_claimed_for_unknown_devices():
    assert isinstance(has_bfloat16(CPU), bool)
    assert not has_bfloat16(torch.device("mps"))


# augmentation -------------------------------------------------------------------------------------


def test_crops_are_moved_and_mirrored_originals():
    pixels = torch.randint(1, 256, (300, 3, 9, 7), dtype=torch.uint8)
    out = crop_and_flip(pixels, torch.Generator().manual_seed(0))
    assert out.shape == pixels.shape and out.dtype == torch.uint8
    padded = torch.nn.functional.pad(pixels.float(), (BORDER,) * 4, mode="reflect").byte()
    found = set()
    for before, after in zip(padded, out, strict=True):
        matches = [
            (dy, dx, flip)
            for dy in range(2 * BORDER + 1)
            for dx in range(2 * BORDER + 1)
            for flip in (False, True)
            if torch.equal(
                before[:, dy : dy + 9, dx : dx + 7].flip(2) if flip else before[:, dy : dy + 9, dx : dx + 7],
                after,
            )
        ]
        assert matches
        found.update(matches)
    assert {dy for dy, _, _ in found} == {dx for _, dx, _ in found} == set(range(2 * BORDER + 1))
    assert {flip for _, _, flip in found} == {False, True}
    # moved to where the image is its own reflection, both are the same; in its place they differ
    assert {flip for _, dx, flip in found if dx == BORDER} == {False, True}


# recipes and folders ------------------------------------------------------------------------------


def test_recipes():
    assert set(RECIPES) == {"mnist5k", "digits", "cifar10", "cifar100"}
    assert make_recipe("cifar10").augment and not make_recipe("mnist5k").augment
    assert make_recipe("mnist5k", epochs=3, lr=None).epochs == 3
    with pytest.raises(UnknownName, match="did you mean 'epochs'"):
        make_recipe("mnist5k", epoch=3)
    for changes in (
        {"epochs": 0},
        {"batch": 0},
        {"lr": 0},
        {"weight_decay": -1},
        {"sigma": 0},
        {"seed": -1},
        {"average": 1},
    ):
        with pytest.raises(InputError):
            replace(SHORT, **changes)
    with pytest.raises(UnknownName):
        replace(SHORT, loss="noise-augmentatio")


def test_run_folder(run):
    files = ["config.json", "metrics.csv", "model.safetensors", "tensorboard"]
    assert sorted(p.name for p in run.iterdir()) == files
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "images_per_second", "seconds"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert json.loads((run / "config.json").read_text())["recipe"]["sigma"] == 0.3


def test_load_run_gives_back_the_model(tmp_path):
    model = train(SHORT, toy_data(), tmp_path, device=CPU)
    loaded, config = load_run(tmp_path)
    assert not loaded.training and digest(loaded) == digest(model)
    assert (config.recipe, config.shape, config.classes) == (SHORT, (1, 8, 8), ("dark", "bright"))
    assert config.trained_on == "toy train, all"


def test_progress_and_no_overwriting(tmp_path):
    calls = []
    train(SHORT, toy_data(), tmp_path, progress=lambda *call: calls.append(call), device=CPU)
    assert [call[:2] for call in calls] == [(done, 128) for done in range(16, 129, 16)]
    assert calls[2][2] == {} and 0 <= calls[3][2]["accuracy"] <= 1 and calls[-1][2]["epoch"] == 2
    with pytest.raises(InputError, match="already holds a trained model"):
        train(SHORT, toy_data(), tmp_path, device=CPU)


@pytest.fixture
def copy(run, tmp_path):
    for name in ("config.json", "metrics.csv", "model.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    return tmp_path


def edit_config(folder, **changes):
    document = json.loads((folder / "config.json").read_text())
    document["recipe"].update(changes.pop("recipe", {}))
    (folder / "config.json").write_text(json.dumps(document | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": {"model": "wrn-10-1"}}, "says model wrn-10-1, model.safetensors says small-cnn"),
        ({"classes": ["a", "b", "c"]}, "says classes"),
        ({"shape": [1, 28, 28]}, "says shape"),
        ({"recipe": {"colour": 1}}, "does not describe a run"),
        ({"format": 2}, "newer radii"),
        ({"format": "x"}, "does not describe a run"),
        ({"format": True}, "no format number"),
        ({"classes": "ab"}, "classes must be a list"),
        ({"classes": [0, 1]}, "classes must be a list"),
        ({"shape": [1, 0, 8]}, "shape must be the sizes"),
        ({"software": []}, "software must be names with values"),
        ({"surprise": 1}, "no field 'surprise'"),
    ],
)
def test_edited_configuration(copy, changes, message):
    edit_config(copy, **changes)
    with pytest.raises(InputError, match=message):
        load_run(copy)


def test_weights_of_another_network(copy):
    path = copy / "model.safetensors"
    weights = load_file(path)
    metadata = {"radii": "1", "model": '"small-cnn"', "shape": "[1, 8, 8]", "classes": '["dark", "bright"]'}
    weights["head.weight"] = weights["head.weight"][:, :-1].contiguous()
    save_file(weights, path, metadata)
    with pytest.raises(InputError, match="do not fit small-cnn"):
        load_run(copy)
    save_file(weights, path)
    with pytest.raises(InputError, match="holds no weights that this radii wrote"):
        load_run(copy)


@pytest.mark.parametrize("change", [{"classes": "["}, {"shape": "[" * 10**5}, {"model": "NaN"}])
def test_words_beside_the_weights_that_are_none(copy, change):
    path = copy / "model.safetensors"
    known = {"radii": "1", "model": '"small-cnn"', "shape": "[1, 8, 8]", "classes": '["dark", "bright"]'}
    save_file(load_file(path), path, known | change)
    with pytest.raises(InputError, match="holds no weights that this radii wrote"):
        load_run(copy)


def test_a_model_is_not_made_before_its_weights_are_seen(copy, monkeypatch):
    path, huge = copy / "model.safetensors", {"shape": [1, 20000, 20000]}
    known = {
        "radii": "1",
        "model": '"small-cnn"',
        "shape": "[1, 20000, 20000]",
        "classes": '["dark", "bright"]',
    }
    save_file(load_file(path), path, known)
    edit_config(copy, **huge)
    with pytest.raises(InputError, match="do not fit small-cnn"):
        load_run(copy)


def test_damaged_or_missing_files(copy):
    whole = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[:-10])
    with pytest.raises(InputError, match="is damaged"):
        load_run(copy)
    (copy / "model.safetensors").write_bytes(b"<!doctype html>")
    with pytest.raises(InputError, match="is a web page, not weights: train again, or fetch another copy"):
        load_run(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(InputError, match="training did not finish"):
        load_run(copy)
    for content in ("{", ""):
        (copy / "config.json").write_text(content)
        with pytest.raises(
            InputError, match=r"does not describe a run .*: remove the run folder and train again"
        ):
            load_config(copy)
    (copy / "config.json").unlink()
    with pytest.raises(InputError, match=r"not a run folder: config\.json is missing"):
        load_run(copy)


def test_small_models_run_in_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for weights, threads in ((SMALL, 1), (SMALL + 1, 2)):
            with limit_threads(torch.nn.Linear(weights, 1, bias=False)):
                assert torch.get_num_threads() == threads
            assert torch.get_num_threads() == 2
        with limit_threads(len):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# speed, storage, events -----------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, about itself
def test_compiled_layers_learn_the_same():
    recipe = replace(SHORT, batch=50, model="wrn-10-1", epochs=1)
    weights = []
    for compiled in (False, True):
        loop = Loop(replace(recipe, compile=compiled), toy_data(), CPU)
        assert (loop.compiled is not loop.model) == compiled
        loop.epoch(lambda images: None)
        weights.append(torch.cat([weight.detach().flatten() for weight in loop.model.parameters()]))
    first, second = weights
    assert not torch.equal(first, second) or not has_bfloat16(CPU)
    assert (first - second).norm() < 0.05 * first.norm()


def test_compiling_without_a_compiler_is_rejected(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"needs a C\+\+ compiler"):
        Loop(replace(SHORT, compile=True), toy_data(), CPU)


def test_weights_stored_in_bfloat16(tmp_path):
    recipe = replace(SHORT, storage="bfloat16")
    model = train(recipe, toy_data(), tmp_path, device=CPU)
    stored = load_file(tmp_path / "model.safetensors")
    assert {value.dtype for name, value in stored.items() if "tracked" not in name} == {torch.bfloat16}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert digest(load_run(tmp_path)[0]) == digest(model)
    with pytest.raises(UnknownName, match="storage"):
        replace(SHORT, storage="float8")


def test_events_for_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def interrupt(done, total, metrics):
        if done == 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(SHORT, toy_data(), tmp_path, progress=interrupt, device=CPU)
    train(SHORT, toy_data(), tmp_path, device=CPU)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert found.Tags()["scalars"] == ["loss", "accuracy", "images_per_second", "seconds"]
    assert [event.step for event in found.Scalars("loss")] == [1, 2]
    assert [event.value for event in found.Scalars("loss")] == pytest.approx(
        [float(row["loss"]) for row in rows], rel=1e-5
    )


def test_training_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setattr("radii.training.loop.find_spec", lambda name: None)
    train(SHORT, toy_data(), tmp_path, device=CPU)
    assert not (tmp_path / "tensorboard").exists()
