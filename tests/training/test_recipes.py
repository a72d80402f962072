"""Recipes: each named one can be read, and a wrong one is refused in one sentence."""

import pytest
import torch

import radii
from radii.cli.options import parse_loss_options
from radii.data import DATASETS
from radii.errors import InputError
from radii.models import make_model
from radii.training.recipe import NAMES, RECIPES, make_recipe, read_recipe

OWN = """
data = "digits"
model = "small-cnn"
noise = "uniform"
sigma = 0.25
loss = "consistency"
average = 0.99
epochs = 3

[options]
m = 4
weight = 5
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


def test_named_recipes():
    assert NAMES == ["cifar10-cpu", "cifar10-wrn-40-2", "digits", "mnist5k"]
    for name in NAMES:
        recipe = read_recipe(name)
        assert recipe.data in DATASETS and recipe.law() == radii.Laplace(0.5)
        make_model(recipe.model, (3, 32, 32), 10)
    for name in ("digits", "mnist5k"):
        assert read_recipe(name) == make_recipe(name, noise="laplace", sigma=0.5)
    assert set(RECIPES) == set(DATASETS)


def test_a_file_and_changes(own):
    recipe = read_recipe(str(own))
    assert (
        recipe.options == {"m": 4, "weight": 5} and recipe.average == 0.99 and recipe.law().name == "uniform"
    )
    changed = read_recipe(str(own), sigma=0.5, epochs=None, options={"m": 2})
    assert (changed.sigma, changed.epochs, changed.options) == (0.5, 3, {"m": 2, "weight": 5})
    assert read_recipe(str(own), loss="macer").options == {}
    assert read_recipe(str(own), loss="consistency").options == recipe.options


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epoch = 3", r"unknown field in own\.toml 'epoch'; did you mean 'epochs'\?"),
        ('seed = "one"', "seed must be a whole number; got 'one'"),
        ("augment = 1", "augment must be true or false; got 1"),
        ("lr = true", "lr must be a finite number; got True"),
        ('schedule = "cosin"', "unknown schedule 'cosin'; did you mean 'cosine'"),
        ("batch = ", r"own\.toml is not a recipe: "),
        ("weight_decay = 1" + "0" * 400, "weight_decay must be a finite number"),
        ("lr = 1e300", "lr must be above 0"),
        ("batch = 99999999999999", "batch must be at least 1, at most"),
        ("x = " + "[" * 3000, r"own\.toml is not a recipe: "),
        ("options = 3", r"own\.toml is not a recipe: "),
    ],
)
def test_wrong_files(own, line, message):
    own.write_text(line + "\n" + OWN)
    with pytest.raises(InputError, match=message):
        read_recipe(str(own))


def test_wrong_names(own):
    with pytest.raises(InputError, match=r"unknown recipe 'cifar10-gpu'; did you mean 'cifar10-cpu'"):
        read_recipe("cifar10-gpu")
    with pytest.raises(InputError, match=r"nothing\.toml does not exist"):
        read_recipe("nothing.toml")
    own.write_text('data = "digits"')
    with pytest.raises(InputError, match="must say which model"):
        read_recipe(str(own))
    own.write_bytes(b"\xff")
    with pytest.raises(InputError, match="is not a recipe"):
        read_recipe(str(own))


def test_options_in_words():
    assert parse_loss_options(["m=4", "weight=0.5", "margin=1e1"]) == {"m": 4, "weight": 0.5, "margin": 10.0}
    for text in ("m", "m=", "m=x"):
        with pytest.raises(InputError, match="NAME=VALUE"):
            parse_loss_options([text])


def test_the_largest_recipes_fit_their_images():
    for name in ("cifar10-cpu", "cifar10-wrn-40-2"):
        recipe = read_recipe(name)
        with torch.no_grad():
            assert make_model(recipe.model, (3, 32, 32), 10).eval()(torch.zeros(1, 3, 32, 32)).shape == (
                1,
                10,
            )
