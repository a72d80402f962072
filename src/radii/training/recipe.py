"""Recipes: what to train and how, by name (TOML files in `recipes/`) or from your own file."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from radii.errors import InputError, check_name
from radii.models import is_denoiser
from radii.noises import Noise, make_noise
from radii.noises.streams import check_seed
from radii.storage.documents import WORDS, fits, names_in, read_toml, toml_path
from radii.training.losses import LOSSES, check_options
from radii.votes import PRECISIONS

MOST, MOST_FLOAT = 10**9, 1e30
"""Upper limits on whole and real numbers in a recipe, below the largest that torch can hold."""

WARM_UP = 0.2
"""Share of the steps in which the learning rate rises."""


def cosine(step: int, total: int) -> float:
    """Return the factor of a linear warm-up, then of half a cosine down to 0 (Loshchilov and Hutter 2017)."""
    warm = WARM_UP * total
    if step < warm:
        return (step + 1) / (warm + 1)  # not 0 at the first step, which would then do nothing
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (total - warm))


def triangle(step: int, total: int) -> float:
    """Return the factor of a linear warm-up, then of a straight line down to 0: one cycle (Smith and Topin 2018)."""
    warm = WARM_UP * total
    if step < warm:
        return (step + 1) / (warm + 1)
    # above 0 at the last step, `total - 1`, too
    return (total - step) / (total - warm)


SCHEDULES = {"cosine": cosine, "triangle": triangle}


@dataclass(frozen=True)
class Recipe:
    """Settings of a training: data, model, noise, loss and optimizer.

    Parameters
    ----------
    data
        Name of the data set, or path of your own images.
    model
        Name of the architecture, as for `radii.models.make_model`.
    noise
        Name of the noise, as for `radii.make_noise`.
    sigma : image units
        Standard deviation of the noise; 0.5 by default, unless the name of the noise fixes it or it has none.
    loss
        Name of the training method.
    epochs
        Number of times that each image is used.
    batch
        Images per step, over all processes.
    lr
        Largest learning rate.
    weight_decay
        Factor of the l2 penalty on the weights.
    augment
        Crop and mirror images at random.
    seed
        Seed of initial weights, order of images, augmentation and noise.
    schedule : "cosine" or "triangle"
        Course of the learning rate.
    average : at least 0, below 1
        Decay of the moving average of the weights, which is stored instead of the last ones; 0 for none.
    compile
        Let torch.compile fuse layers, which takes a C++ compiler and half a minute at the start.
    storage : "float32" or "bfloat16"
        Precision of the stored weights.
    options
        Options of the training method (`radii.training.losses.options_of`).
    classifier
        For a denoiser, the digest of the classifier behind it, which `train` fills in.

    Raises
    ------
    InputError
        If a value has the wrong type or is out of range, or if model, noise and loss do not fit together.
    """

    data: str
    model: str
    noise: str = "gaussian"
    sigma: float | None = None
    loss: str = "noise-augmentation"
    epochs: int = 10
    batch: int = 128
    lr: float = 0.1
    weight_decay: float = 5e-4
    augment: bool = False
    seed: int = 0
    schedule: str = "cosine"
    average: float = 0.0
    compile: bool = False
    storage: str = "float32"
    options: dict[str, float] = field(default_factory=dict)
    classifier: str = ""

    def __post_init__(self) -> None:
        # types first: comparisons with a value of a wrong type would raise a TypeError of Python
        self._check_types()
        check_name("loss", self.loss, LOSSES)
        check_options(self.loss, self.options)
        if is_denoiser(self.model) != (self.loss == "denoising"):
            raise InputError(
                f"the loss denoising is for denoisers, and denoisers need it; got {self.loss} for {self.model}"
            )
        check_name("schedule", self.schedule, SCHEDULES)
        check_name("storage", self.storage, PRECISIONS)
        self.law()  # raises for an unknown noise or a wrong sigma
        for name in ("epochs", "batch"):
            if not 1 <= getattr(self, name) <= MOST:
                raise InputError(f"{name} must be at least 1, at most {MOST}; got {getattr(self, name)}")
        if not 0 < self.lr <= MOST_FLOAT or not 0 <= self.weight_decay <= MOST_FLOAT:
            raise InputError(
                f"lr must be above 0 and weight_decay not below, both at most {MOST_FLOAT:g}; "
                f"got {self.lr}, {self.weight_decay}"
            )
        if not 0 <= self.average < 1:
            raise InputError(f"average must be at least 0 and below 1; got {self.average}")
        check_seed(self.seed)

    def _check_types(self) -> None:
        # values may come from a TOML file, and a dataclass checks no types
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type in WORDS and not fits(value, item.type):
                raise InputError(f"{item.name} must be {WORDS[item.type]}; got {value!r}")

    def law(self) -> Noise:
        """Return the distribution of the noise."""
        return make_noise(self.noise, self.sigma)


RECIPES = {
    "mnist5k": {"model": "small-cnn", "epochs": 10},
    "digits": {"model": "small-cnn", "epochs": 20},
    "cifar10": {"model": "wrn-40-2", "epochs": 90, "augment": True},
    "cifar100": {"model": "wrn-40-2", "epochs": 90, "augment": True},
}
"""Default architecture and epochs for each data set."""

SMALL = {"model": "small-cnn", "epochs": 20}
LARGE = {"model": "wrn-16-2", "epochs": 40}
"""Defaults for your own images: grey ones up to 32x32, and others. They may be digits, so none is mirrored."""

HERE = Path(__file__).parent / "recipes"
NAMES = names_in(HERE)


def defaults(data: str, shape: tuple[int, ...] | None = None) -> dict[str, Any]:
    """Return model and epochs for a data set, or for your own images of this `shape`."""
    if data in RECIPES or shape is None:
        return RECIPES[check_name("data set", data, RECIPES)]
    return SMALL if shape[0] == 1 and max(shape) <= 32 else LARGE


def make_recipe(data: str, shape: tuple[int, ...] | None = None, **changes: Any) -> Recipe:
    """Return the default recipe with changed fields.

    Parameters
    ----------
    data
        Name of the data set, or path of your own images.
    shape : channels, height, width
        Shape of one of your own images; names of data sets need none.
    **changes
        Fields of the recipe; None keeps the default.

    Returns
    -------
    Recipe
        Default architecture and epochs for the data, with the changes.

    Raises
    ------
    InputError
        If a field or the data set is unknown, or a value is out of range.
    """
    known = [item.name for item in fields(Recipe)]
    for name in changes:
        check_name("field of a recipe", name, known)
    # options of the command line that are not given are None
    changed = {name: value for name, value in changes.items() if value is not None}
    return Recipe(**{"data": data, **defaults(data, shape), **changed})


def read_recipe(name: str, **changes: Any) -> Recipe:
    """Return a stored recipe with changed fields.

    Parameters
    ----------
    name
        Name of a recipe of this package, or path of a file NAME.toml.
    **changes
        Fields of the recipe; None keeps the stored value. `options` are changed one by one. With another `loss`,
        its options start from their defaults.

    Returns
    -------
    Recipe
        The recipe with the changes.

    Raises
    ------
    InputError
        If there is no such recipe, or if it has unknown fields, lacks data or model, or has a value out of range.
    """
    recipe = {key: value for key, value in changes.items() if value is not None}
    document = _read(name)
    # options of one method mean nothing to another
    if recipe.get("loss", document.get("loss")) != document.get("loss"):
        document.pop("options", None)
    # changes come first, and the file fills in the rest; a change of one option must not drop the others
    for key, value in document.items():
        if key == "options" and isinstance(value, dict):
            recipe[key] = value | recipe.get(key, {})
        recipe.setdefault(key, value)
    # named here, as a call without them would raise a TypeError of Python
    for key in ("data", "model"):
        if key not in recipe:
            raise InputError(f"the recipe {name} must say which {key}")
    return Recipe(**recipe)


def _read(name: str) -> dict[str, Any]:
    path = toml_path(name, HERE, "recipe")
    if not path.is_file():
        raise InputError(f"the recipe {path} does not exist; there are also {', '.join(NAMES)}")
    try:
        document = read_toml(path)
    except ValueError as error:
        raise InputError(f"{path} is not a recipe: {error}") from error
    for key in document:
        check_name(f"field in {path.name}", key, [item.name for item in fields(Recipe)])
    return document
