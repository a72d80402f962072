"""Checkpoints: one file of tensors, from which an interrupted training continues to the same weights."""

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
"""Metrics that each epoch has at least."""

Rows = list[dict[str, float]]
"""Metrics of finished epochs, one row each."""


def save_checkpoint(
    folder: Path, config: Config, device: str, rows: Rows, tensors: dict[str, Tensor]
) -> None:
    """Write the state after `len(rows)` epochs in place of the previous checkpoint.

    Guarantee: if the process is killed or the disk is full, the previous checkpoint stays complete.
    """
    # safetensors stores contiguous tensors only
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {"training": json.dumps(_identity(config, device)), "rows": json.dumps(rows), "radii": FORMAT}
    atomic.write(folder / CHECKPOINT, save(stored, metadata))


def load_checkpoint(folder: Path, config: Config, device: str) -> tuple[Rows, dict[str, Tensor]] | None:
    """Return metrics and state of the unfinished training in `folder`, or None if there is none.

    Guarantee: it has the same recipe, images and kind of device, else `InputError` is raised; nothing is unpickled.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    metadata, tensors = read_tensors(path, "remove it to start again")
    message = f"{path} is not a checkpoint that this radii wrote: remove it to start again"
    try:
        stored, rows = parse_json(metadata["training"]), parse_json(metadata["rows"])
    except (KeyError, ValueError):
        stored, rows = {}, []
    valid = fits(stored, dict) and fits(rows, list[dict[str, float]]) and all(map(METRICS.issubset, rows))
    # a checkpoint is written after each epoch, so it has at least one row
    if not rows or not valid or metadata.get("radii") != FORMAT:
        raise InputError(message)
    # through JSON, which turns tuples into lists
    own = json.loads(json.dumps(_identity(config, device)))
    # fields of both: another version of radii may have more of them, or fewer
    for name in {**own, **stored}:
        if stored.get(name) != own.get(name):
            raise InputError(
                f"{folder} holds an unfinished training with {name} {stored.get(name)}, not {own.get(name)}: "
                f"choose another folder, or remove {CHECKPOINT} to start again"
            )
    # last, because another recipe may have more epochs, and is then to be named as such
    if len(rows) > config.recipe.epochs:
        raise InputError(message)
    return rows, tensors


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a finished training."""
    # a process that is killed while it writes leaves a part of a file
    for path in (folder / CHECKPOINT, *folder.glob(f".{CHECKPOINT}.*.part")):
        path.unlink(missing_ok=True)


def _identity(config: Config, device: str) -> dict[str, Any]:
    """Return everything that determines the weights; each kind of device has its own random numbers."""
    return {
        **asdict(config.recipe),
        "shape": config.shape,
        "classes": config.classes,
        "images": config.trained_on,
        "device": device,
    }
