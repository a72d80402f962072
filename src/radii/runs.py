"""Run folders: the recipe of a training, its weights and its metrics, in files that anyone can read."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from radii import files
from radii.class_names import few, find_places, without
from radii.data.base import DataSet
from radii.errors import InputError, check_name
from radii.kinds import foreign
from radii.losses import LOSSES, check_options
from radii.models import Denoised, is_denoiser, make_model
from radii.noises import Noise, make_noise
from radii.norms import check_shape
from radii.plain import WORDS, fits, parse_json, read_document
from radii.schedules import SCHEDULES
from radii.streams import check_seed
from radii.votes import PRECISIONS, software_versions

FORMAT = 1
MOST, MOST_FLOAT = 10**9, 1e30
"""Of whole and other numbers in a recipe: beyond, torch has no such numbers."""
FIELDS = {
    "recipe": dict[str, Any],
    "shape": list[int],
    "classes": list[str],
    "trained_on": str,
    "software": dict[str, str],
}
OPTIONAL = ("trained_on", "software")
"""The fields of config.json and the kinds of their values."""
REMEDY = "remove the run folder and train again, or fetch another copy of it"
WEIGHTS, CONFIG, METRICS = "model.safetensors", "config.json", "metrics.csv"


@dataclass(frozen=True)
class Recipe:
    """What to train, on what, under which noise, and how.

    `noise`: a name that `radii.make_noise` takes; `sigma`: in image units, 0.5 unless the noise says it or has none.

    `average`: decay of the moving average of the weights that is kept instead of the last ones; 0 for none.
    `compile`: let torch.compile fuse the layers, which takes a C++ compiler and half a minute at the start.
    `storage`: the precision of the weights that are kept, "float32" or "bfloat16".
    `options`: what the method of training is told, by name (`radii.losses.options_of`).
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


@dataclass(frozen=True)
class Config:
    """A recipe, and what the model was made for."""

    recipe: Recipe
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    trained_on: str = ""
    software: dict[str, str] = field(default_factory=software_versions)

    def fitting(self, images: DataSet) -> DataSet:
        """Images that the model can be asked about, with the classes of the model; others are refused.

        Their own classes may be fewer, and in another order: they are matched by name, and labels become the model's.
        """
        places = find_places(self.sized(images).classes, self.classes)
        if places is None:
            raise InputError(
                f"the classes of {images.name} must be among those of the model, {few(self.classes)}; "
                f"{few(without(images.classes, self.classes)) or 'some'} are not: give images of its classes, or say "
                "which of its outputs each class is, class_map= or --class-map FILE"
            )
        return replace(images, labels=torch.tensor(places)[images.labels], classes=self.classes, named=True)

    def sized(self, images: DataSet) -> DataSet:
        """Images of the shape that the model takes, whatever their classes; others are refused."""
        if images.shape != self.shape:
            raise InputError(
                f"{images.name} has images of the shape {images.shape}; the model was trained on {self.shape}: "
                "resize them"
            )
        return images


def save_config(folder: Path, config: Config) -> None:
    """Write config.json."""
    text = json.dumps({"format": FORMAT, **asdict(config)}, indent=2, ensure_ascii=False)
    files.write(folder / CONFIG, (text + "\n").encode())


def save_model(folder: Path, model: nn.Module, config: Config) -> None:
    """Write model.safetensors: the weights, and in its header all that is needed to rebuild the model."""
    kind = getattr(torch, config.recipe.storage)
    weights = {
        name: value.detach().to("cpu", kind if value.is_floating_point() else value.dtype).contiguous()
        for name, value in model.state_dict().items()
    }
    header = {"model": config.recipe.model, "shape": config.shape, "classes": config.classes}
    metadata = {"radii": str(FORMAT)} | {name: json.dumps(value) for name, value in header.items()}
    files.write(folder / WEIGHTS, save(weights, metadata))


def save_metrics(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write metrics.csv, one line an epoch."""
    lines: Iterable[str] = (",".join(f"{value:.6g}" for value in row.values()) for row in rows)
    files.write(folder / METRICS, ("\n".join([",".join(rows[0]), *lines]) + "\n").encode())


def load_run(folder: str | Path) -> tuple[nn.Module, Config]:
    """The model of a run folder, in evaluation mode, and its configuration.

    Guarantee: the weights fit the architecture that both files name; nothing is unpickled.
    """
    config = load_config(folder)
    header, weights = _read_weights(Path(folder) / WEIGHTS)
    expected = {"model": config.recipe.model, "shape": list(config.shape), "classes": list(config.classes)}
    for name, value in expected.items():
        if header.get(name) != value:
            raise InputError(f"{folder}: {CONFIG} says {name} {value}, {WEIGHTS} says {header.get(name)}")
    made_for = config.recipe.model, config.recipe.law().seen(config.shape), len(config.classes)
    # nothing is allocated for a model whose weights are not there
    with torch.device("meta"):
        empty = make_model(*made_for).state_dict()
    if _kinds(empty) != _kinds(weights):
        raise InputError(f"{folder}: the weights do not fit {config.recipe.model}: train it again")
    model = make_model(*made_for)
    model.load_state_dict(weights)
    model.class_names = config.classes  # type: ignore[assignment]
    return model.eval(), config


def load_classifier(folder: str | Path, behind: str | Path | None = None) -> tuple[nn.Module, Config]:
    """A model that gives logits, in evaluation mode, and the configuration of its run.

    If `folder` holds a denoiser, it stands in front of the model in `behind`, trained on images of the same shape
    and classes.
    """
    model, config = load_run(folder)
    if not is_denoiser(config.recipe.model):
        if behind is not None:
            raise InputError(f"{folder} holds no denoiser: leave the classifier {behind} out")
        return model, config
    if behind is None:
        raise InputError(f"{folder} holds a denoiser: say which classifier it stands in front of")
    classifier, other = load_run(behind)
    if is_denoiser(other.recipe.model) or (other.shape, other.classes) != (config.shape, config.classes):
        raise InputError(
            f"{behind} holds no classifier for {config.recipe.data}, on which {folder} was trained"
        )
    return Denoised(model, classifier).eval(), config


def _kinds(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[Any, bool]]:
    return {name: (value.shape, value.is_floating_point()) for name, value in weights.items()}


def load_config(folder: str | Path) -> Config:
    """The configuration of a run folder."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise InputError(f"{path.parent} is no run folder: {path.name} is missing; radii train writes one")
    document = read_document(files.read(path), path, FORMAT, FIELDS, OPTIONAL, remedy=REMEDY)
    try:
        recipe = Recipe(**document.pop("recipe"))
        shape, classes = check_shape(document.pop("shape")), tuple(document.pop("classes"))
    except (TypeError, InputError) as error:
        raise InputError(f"{path} does not describe a run of radii ({error}): {REMEDY}") from error
    return Config(recipe, shape, classes, **document)


def _read_weights(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    if not path.is_file():
        raise InputError(f"{path} is missing: the training did not finish; run radii train again")
    metadata, weights = read_tensors(path, "train again, or fetch another copy")
    try:
        if metadata.pop("radii", None) == str(FORMAT):
            return {name: parse_json(value) for name, value in metadata.items()}, weights
    except ValueError:
        pass
    raise InputError(f"{path} holds no weights that this radii wrote")


def read_tensors(path: Path, advice: str) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Header and tensors of a safetensors file; `advice` says what to do where it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        if other := foreign(files.read(path), "safetensors"):
            raise InputError(f"{path} is {other}, not weights: {advice}") from error
        raise InputError(f"{path} is damaged ({error}): {advice}") from error
