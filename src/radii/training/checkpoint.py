"""Checkpoints: an unfinished training as one file of tensors, from which it continues to the same weights."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from radii.errors import InputError
from radii.storage import atomic
from radii.storage.documents import fits, parse_json
from radii.training.run_folder import Config, read_tensors

CHECKPOINT = "checkpoint.safetensors"
FORMAT = "1"

METRICS = {"epoch", "loss", "accuracy", "images_per_second"}
"""What is known of each epoch, at least."""

Rows = list[dict[str, float]]
"""The metrics of the epochs done, one row each."""


def save_checkpoint(
    folder: Path, config: Config, device: str, rows: Rows, tensors: dict[str, Tensor]
) -> None:
    """Write the state after `len(rows)` epochs in place of the one before.

    Guarantee: killed, or out of disk space, the folder still holds the checkpoint before, whole.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {"training": json.dumps(_identity(config, device)), "rows": json.dumps(rows), "radii": FORMAT}
    atomic.write(folder / CHECKPOINT, save(plain, metadata))


def load_checkpoint(folder: Path, config: Config, device: str) -> tuple[Rows, dict[str, Tensor]] | None:
    """The metrics so far and the state of the training that `folder` holds unfinished; None if there is none.

    Guarantee: it is a training of the same recipe, images and kind of device; nothing is unpickled.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    metadata, tensors = read_tensors(path, "remove it to start again")
    foreign = f"{path} is no checkpoint that this radii wrote: remove it to start again"
    try:
        there, rows = parse_json(metadata["training"]), parse_json(metadata["rows"])
    except (KeyError, ValueError):
        there, rows = {}, []
    whole = fits(there, dict) and fits(rows, list[dict[str, float]]) and all(map(METRICS.issubset, rows))
    if not rows or not whole or metadata.get("radii") != FORMAT:
        raise InputError(foreign)
    here = json.loads(json.dumps(_identity(config, device)))
    for name in {**here, **there}:
        if there.get(name) != here.get(name):
            raise InputError(
                f"{folder} holds an unfinished training with {name} {there.get(name)}, not {here.get(name)}: "
                f"choose another folder, or remove {CHECKPOINT} to start again"
            )
    if len(rows) > config.recipe.epochs:
        raise InputError(foreign)
    return rows, tensors


def remove_checkpoint(folder: Path) -> None:
    """Remove what a finished training needs no more."""
    # a kill in the middle of writing leaves a part of a file
    for path in (folder / CHECKPOINT, *folder.glob(f".{CHECKPOINT}.*.part")):
        path.unlink(missing_ok=True)


def _identity(config: Config, device: str) -> dict[str, Any]:
    """All that the weights follow from; random numbers are those of one kind of device."""
    return {
        **asdict(config.recipe),
        "shape": config.shape,
        "classes": config.classes,
        "images": config.trained_on,
        "device": device,
    }
