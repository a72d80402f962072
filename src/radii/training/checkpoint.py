"""Checkpoints: one file of tensors, from which an interrupted training continues to the same weights."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from radii.errors import InputError
from radii.models.digest import add_tensors
from radii.storage import atomic
from radii.storage.documents import fits, parse_json
from radii.training.run_folder import Config
from radii.training.tensor_file import encode_tensors, read_tensors

CHECKPOINT = "checkpoint.safetensors"
FORMAT = "2"

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
    stored = {name: value.detach().cpu() for name, value in tensors.items()}
    metadata = {"training": json.dumps(_identity(config, device)), "rows": json.dumps(rows), "radii": FORMAT}
    metadata["digest"] = _digest(metadata, stored)
    atomic.write(folder / CHECKPOINT, encode_tensors(stored, metadata))


def load_checkpoint(folder: Path, config: Config, device: str) -> tuple[Rows, dict[str, Tensor]] | None:
    """Return metrics and state of the unfinished training in `folder`, or None if there is none.

    Guarantee: it is what `save_checkpoint` wrote, of the same recipe, images and kind of device, else `InputError` is
    raised; nothing is unpickled.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    advice = "remove it to start again"
    metadata, tensors = read_tensors(path, advice)
    message = f"{path} is not a checkpoint that this radii wrote: {advice}"
    try:
        stored, rows = parse_json(metadata["training"]), parse_json(metadata["rows"])
    except (KeyError, ValueError):
        stored, rows = {}, []
    valid = fits(stored, dict) and fits(rows, list[dict[str, float]]) and all(map(METRICS.issubset, rows))
    # a checkpoint is written after each epoch, so it has at least one row
    if not rows or not valid or metadata.get("radii") != FORMAT:
        raise InputError(message)
    # any change would give other weights without notice
    if metadata.pop("digest", None) != _digest(metadata, tensors):
        raise InputError(f"{path} is damaged (its content does not match its digest): {advice}")
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


def _digest(metadata: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 over the text of a checkpoint and its tensors."""
    hashed = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    add_tensors(hashed, tensors)
    return hashed.hexdigest()


def _identity(config: Config, device: str) -> dict[str, Any]:
    """Return everything that determines the weights; each kind of device has its own random numbers."""
    return {
        **asdict(config.recipe),
        "shape": config.shape,
        "classes": config.classes,
        "images": config.trained_on,
        "device": device,
    }
