"""Run folders: the recipe of a training, its weights and its metrics, in files that anyone can read."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from radii.data.dataset import DataSet
from radii.errors import InputError
from radii.models import Denoised, is_denoiser, make_model
from radii.noises.norms import check_shape
from radii.storage import atomic
from radii.storage.class_names import find_positions, first_few, without
from radii.storage.documents import parse_json, read_document
from radii.storage.kinds import foreign
from radii.training.recipe import Recipe
from radii.votes import software_versions

FORMAT = 1
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
        places = find_positions(self.sized(images).classes, self.classes)
        if places is None:
            raise InputError(
                f"the classes of {images.name} must be among those of the model, {first_few(self.classes)}; "
                f"{first_few(without(images.classes, self.classes)) or 'some'} are not: give images of its classes, or "
                "say which of its outputs each class is, class_map= or --class-map FILE"
            )
        return replace(images, labels=np.array(places)[images.labels], classes=self.classes, named=True)

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
    atomic.write(folder / CONFIG, (text + "\n").encode())


def save_model(folder: Path, model: nn.Module, config: Config) -> None:
    """Write model.safetensors: the weights, and in its header all that is needed to rebuild the model."""
    kind = getattr(torch, config.recipe.storage)
    weights = {
        name: value.detach().to("cpu", kind if value.is_floating_point() else value.dtype).contiguous()
        for name, value in model.state_dict().items()
    }
    header = {"model": config.recipe.model, "shape": config.shape, "classes": config.classes}
    metadata = {"radii": str(FORMAT)} | {name: json.dumps(value) for name, value in header.items()}
    atomic.write(folder / WEIGHTS, save(weights, metadata))


def save_metrics(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write metrics.csv, one line an epoch."""
    lines: Iterable[str] = (",".join(f"{value:.6g}" for value in row.values()) for row in rows)
    atomic.write(folder / METRICS, ("\n".join([",".join(rows[0]), *lines]) + "\n").encode())


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
    made_for = config.recipe.model, config.recipe.law().output_shape(config.shape), len(config.classes)
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


def _missing(path: Path) -> str:
    """Why a file is not in its folder."""
    if path.parent.is_dir():
        return f"{path.name} is missing"
    return "it is a file" if path.parent.exists() else "it does not exist"


def load_config(folder: str | Path) -> Config:
    """The configuration of a run folder."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise InputError(f"{path.parent} is no run folder: {_missing(path)}; radii train writes one")
    document = read_document(atomic.read(path), path, FORMAT, FIELDS, OPTIONAL, remedy=REMEDY)
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
        if other := foreign(atomic.read(path), "safetensors"):
            raise InputError(f"{path} is {other}, not weights: {advice}") from error
        raise InputError(f"{path} is damaged ({error}): {advice}") from error
