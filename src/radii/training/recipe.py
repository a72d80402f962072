"""Recipes: what to train and how, by name (the TOML files beside this) or from a file of one's own."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from radii.errors import InputError, check_name
from radii.models import is_denoiser
from radii.noises import Noise, make_noise
from radii.noises.streams import check_seed
from radii.storage.documents import WORDS, fits, names_in, toml_path
from radii.training.losses import LOSSES, check_options
from radii.training.optimization import SCHEDULES
from radii.votes import PRECISIONS

MOST, MOST_FLOAT = 10**9, 1e30
"""Of whole and other numbers in a recipe: beyond, torch has no such numbers."""


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, under which noise, and how.

    `noise`: a name that `radii.make_noise` takes; `sigma`: in image units, 0.5 unless the noise says it or has none.

    `average`: decay of the moving average of the weights that is kept instead of the last ones; 0 for none.
    `compile`: let torch.compile fuse the layers, which takes a C++ compiler and half a minute at the start.
    `storage`: the precision of the weights that are kept, "float32" or "bfloat16".
    `options`: what the method of training is told, by name (`radii.training.losses.options_of`).
    `classifier`: for a denoiser, the digest of the model that it was trained in front of; `train` fills it in.
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
        self._check_types()
        check_name("loss", self.loss, LOSSES)
        check_options(self.loss, self.options)
        if is_denoiser(self.model) != (self.loss == "denoising"):
            raise InputError(
                f"the loss denoising is for denoisers, and they for it; got {self.loss} for {self.model}"
            )
        check_name("schedule", self.schedule, SCHEDULES)
        check_name("storage", self.storage, PRECISIONS)
        self.law()
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
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type in WORDS and not fits(value, one.type):
                raise InputError(f"{one.name} must be {WORDS[one.type]}; got {value!r}")

    def law(self) -> Noise:
        """The noise itself."""
        return make_noise(self.noise, self.sigma)


RECIPES = {
    "mnist5k": {"model": "small-cnn", "epochs": 10},
    "digits": {"model": "small-cnn", "epochs": 20},
    "cifar10": {"model": "wrn-40-2", "epochs": 90, "augment": True},
    "cifar100": {"model": "wrn-40-2", "epochs": 90, "augment": True},
}
"""What suits each data set; anything may be changed."""
SMALL = {"model": "small-cnn", "epochs": 20}
LARGE = {"model": "wrn-16-2", "epochs": 40}
"""What is usual for images of one's own: grey ones up to 32x32, and others. They may be digits, so none is mirrored."""


def usual(data: str, shape: tuple[int, ...] | None = None) -> dict[str, Any]:
    """Model and epochs for a data set, or for images of one's own of this `shape`."""
    if data in RECIPES or shape is None:
        return RECIPES[check_name("data set", data, RECIPES)]
    return SMALL if shape[0] == 1 and max(shape) <= 32 else LARGE


def make_recipe(data: str, shape: tuple[int, ...] | None = None, **changes: Any) -> Recipe:
    """The usual recipe for a data set, or for images of one's own of this `shape`; None leaves a field as it is."""
    known = [item.name for item in fields(Recipe)]
    for name in changes:
        check_name("field of a recipe", name, known)
    given = {name: value for name, value in changes.items() if value is not None}
    return Recipe(**{"data": data, **usual(data, shape), **given})


HERE = Path(__file__).parent / "recipes"
NAMES = names_in(HERE)


def read_recipe(name: str, **changes: Any) -> Recipe:
    """The recipe called `name`, or that of the file NAME.toml, with changes; None leaves a field as it is.

    Options of the method are changed one by one; another method starts with its usual ones.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    document = _read(name)
    if given.get("loss", document.get("loss")) != document.get("loss"):
        document.pop("options", None)
    for key, value in document.items():
        if key == "options" and isinstance(value, dict):
            given[key] = value | given.get(key, {})
        given.setdefault(key, value)
    for key in ("data", "model"):
        if key not in given:
            raise InputError(f"the recipe {name} must say which {key}")
    return Recipe(**given)


def _read(name: str) -> dict[str, Any]:
    path = toml_path(name, HERE, "recipe")
    if not path.is_file():
        raise InputError(f"the recipe {path} does not exist; there are also {', '.join(NAMES)}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of TOML, or of the encoding
        raise InputError(f"{path} is no recipe: {error}") from error
    for key in document:
        check_name(f"field in {path.name}", key, [one.name for one in fields(Recipe)])
    return document
