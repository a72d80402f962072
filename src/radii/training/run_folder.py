"""Run folders: recipe, weights and metrics of a training, in files that other programs can read."""

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from radii.data.dataset import DataSet
from radii.errors import InputError
from radii.models import Denoised, is_denoiser, make_model
from radii.noises.norms import check_shape
from radii.storage import atomic
from radii.storage.class_names import find_positions, first_few, without
from radii.storage.documents import parse_json, read_document
from radii.training.recipe import Recipe
from radii.training.tensor_file import encode_tensors, read_tensors
from radii.votes import Canary, canary_of, canary_pixels, check_canary, other_answers, software_versions

FORMAT = 1
FIELDS = {
    "recipe": dict[str, Any],
    "shape": list[int],
    "classes": list[str],
    "trained_on": str,
    "software": dict[str, str],
}
OPTIONAL = ("trained_on", "software")
"""Fields of config.json with their types, and those that older files lack."""

REMEDY = "remove the run folder and train again, or fetch another copy of it"
WEIGHTS, CONFIG, METRICS = "model.safetensors", "config.json", "metrics.csv"


@dataclass(frozen=True)
class Config:
    """Recipe of a run, and the images for which its model was made.

    Parameters
    ----------
    recipe
        Recipe of the training.
    shape : channels, height, width
        Shape of one image.
    classes
        Names of the classes, in the order of the logits.
    trained_on
        Description of the training images; "" if unknown.
    software
        Versions of the packages, by name.
    """

    recipe: Recipe
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    trained_on: str = ""
    software: dict[str, str] = field(default_factory=software_versions)

    def match_classes(self, images: DataSet) -> DataSet:
        """Return the images with the classes and labels of the model, matched by name.

        Their classes may be fewer than the model's, and in another order. Raises `InputError` for unknown classes and
        for another shape.
        """
        positions = find_positions(self.match_shape(images).classes, self.classes)
        if positions is None:
            raise InputError(
                f"the classes of {images.name} must be among those of the model, {first_few(self.classes)}; "
                f"{first_few(without(images.classes, self.classes)) or 'some'} are not: give images of its classes, or "
                "say which of its outputs each class is, class_map= or --class-map FILE"
            )
        return replace(images, labels=np.array(positions)[images.labels], classes=self.classes, named=True)

    def match_shape(self, images: DataSet) -> DataSet:
        """Return the images; raise `InputError` unless they have the shape of the training images."""
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
    """Write model.safetensors: the weights, with a header from which the model can be rebuilt."""
    kind = getattr(torch, config.recipe.storage)
    # whole numbers, such as counters of batches, keep their type
    weights = {
        name: value.detach().to("cpu", kind if value.is_floating_point() else value.dtype)
        for name, value in model.state_dict().items()
    }
    # also in config.json, from which the weights can be separated: `load_run` compares both
    header: dict[str, Any] = {
        "model": config.recipe.model,
        "shape": config.shape,
        "classes": config.classes,
    }
    # of the weights as they are stored, which are rounded
    stored = copy.deepcopy(model).to("cpu").eval()
    stored.load_state_dict(weights)
    header["canary"] = _canary(stored, config)
    # the header of safetensors holds text only
    metadata = {"radii": str(FORMAT)} | {name: json.dumps(value) for name, value in header.items()}
    # whole or not at all, since a folder with this file counts as a finished training
    atomic.write(folder / WEIGHTS, encode_tensors(weights, metadata))


def save_metrics(folder: Path, rows: list[dict[str, float]]) -> None:
    """Write metrics.csv, one line per epoch."""
    lines: Iterable[str] = (",".join(f"{value:.6g}" for value in row.values()) for row in rows)
    atomic.write(folder / METRICS, ("\n".join([",".join(rows[0]), *lines]) + "\n").encode())


def load_run(folder: str | Path) -> tuple[nn.Module, Config]:
    """Return the model of a run folder and its configuration.

    Parameters
    ----------
    folder
        Run folder that `radii train` or `radii.training.train` wrote.

    Returns
    -------
    model, config : torch.nn.Module, Config
        Model in evaluation mode, and what config.json holds.

    Raises
    ------
    InputError
        If files are missing or damaged, or do not fit together.

    Notes
    -----
    Guarantee: the weights fit the architecture that both files name, and give the answers that they gave after the
    training, up to rounding; folders of older versions do not hold these. Nothing is unpickled.
    """
    config = load_config(folder)
    header, weights = _read_weights(Path(folder) / WEIGHTS)
    expected = {"model": config.recipe.model, "shape": list(config.shape), "classes": list(config.classes)}
    # files of two trainings may have been put into one folder
    for name, value in expected.items():
        if header.get(name) != value:
            raise InputError(f"{folder}: {CONFIG} says {name} {value}, {WEIGHTS} says {header.get(name)}")
    made_for = config.recipe.model, config.recipe.law().output_shape(config.shape), len(config.classes)
    # on the meta device: a damaged file must not make a large model be allocated
    with torch.device("meta"):
        empty = make_model(*made_for).state_dict()
    if _kinds(empty) != _kinds(weights):
        raise InputError(f"{folder}: the weights do not fit {config.recipe.model}: train it again")
    model = make_model(*made_for)
    # copied into float32 weights, whatever the stored precision
    model.load_state_dict(weights)
    # older files have none
    canary = check_canary(header.get("canary", ()))
    if difference := other_answers(canary, _canary(model.eval(), config), "float32"):
        raise InputError(
            f"{folder}: {config.recipe.model} gives {difference} than after its training: use radii "
            f"{config.software.get('radii', 'of that time')}, {REMEDY}"
        )
    model.class_names = config.classes  # type: ignore[assignment]
    return model, config


def _canary(model: nn.Module, config: Config) -> Canary:
    """Return the canary of a network in evaluation mode, on images without noise."""
    shape = config.recipe.law().output_shape(config.shape)
    images = torch.from_numpy(canary_pixels(shape).astype(np.float32) / 255)
    with torch.inference_mode():
        # those of a denoiser are images
        return canary_of(model(images).flatten(1).numpy())


def load_classifier(folder: str | Path, behind: str | Path | None = None) -> tuple[nn.Module, Config]:
    """Return the base classifier of a run, with a classifier behind a denoiser, and its configuration.

    Parameters
    ----------
    folder
        Run folder of a classifier or a denoiser.
    behind
        For a denoiser, the run folder of the classifier behind it.

    Returns
    -------
    model, config : torch.nn.Module, Config
        Model from images to logits in evaluation mode, and the configuration in `folder`.

    Raises
    ------
    InputError
        If a folder is damaged, `behind` is missing or superfluous, or both differ in the shape or classes of images.
    """
    model, config = load_run(folder)
    if not is_denoiser(config.recipe.model):
        if behind is not None:
            raise InputError(f"{folder} holds no denoiser: leave the classifier {behind} out")
        return model, config
    if behind is None:
        raise InputError(f"{folder} holds a denoiser: say which classifier it stands in front of")
    # of the same images and classes: a denoiser was trained on the answers of its classifier
    classifier, other = load_run(behind)
    if is_denoiser(other.recipe.model) or (other.shape, other.classes) != (config.shape, config.classes):
        raise InputError(
            f"{behind} holds no classifier for {config.recipe.data}, on which {folder} was trained"
        )
    return Denoised(model, classifier).eval(), config


def load_config(folder: str | Path) -> Config:
    """Return the configuration of a run folder; raise `InputError` if it is missing or damaged."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise InputError(f"{path.parent} is not a run folder: {_missing(path)}; radii train writes one")
    document = read_document(atomic.read(path), path, FORMAT, FIELDS, OPTIONAL, remedy=REMEDY)
    # Recipe raises a TypeError for a field that it does not have, or that is missing
    try:
        recipe = Recipe(**document.pop("recipe"))
        shape, classes = check_shape(document.pop("shape")), tuple(document.pop("classes"))
    except (TypeError, InputError) as error:
        raise InputError(f"{path} does not describe a run of radii ({error}): {REMEDY}") from error
    return Config(recipe, shape, classes, **document)


def _missing(path: Path) -> str:
    """Return the reason why a file cannot be found."""
    if path.parent.is_dir():
        return f"{path.name} is missing"
    return "it is a file" if path.parent.exists() else "it does not exist"


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


def _kinds(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[Any, bool]]:
    """Return the shape of each weight, and whether it is a float, since files may store another precision."""
    return {name: (value.shape, value.is_floating_point()) for name, value in weights.items()}
