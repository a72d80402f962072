"""What a shell completes where a command takes a name. Nothing here imports torch: a key press must not wait for it."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from radii.certificates import LABELS
from radii.designs import PLANS
from radii.intervals import METHODS
from radii.named import names_in
from radii.noises import NOISES
from radii.norms import NORMS, UNITS
from radii.votes import PRECISIONS

HERE = Path(__file__).parents[1]

# tests/test_completion.py holds these against the modules that know them, which import torch
DATA = ("mnist5k", "digits", "cifar10", "cifar100")
MODELS = ("small-cnn", "wrn-16-2", "wrn-16-4", "wrn-40-2", "wrn-22-3-half", "wrn-28-10", "denoiser-8-32")
LOSSES = ("noise-augmentation", "stability", "consistency", "smoothadv", "macer", "ordinary", "denoising")
LAYOUTS = ("nchw", "nhwc", "flat")
BINARY = ("logit", "probability")

NAMES: Mapping[str, Iterable[str]] = {
    "binary": BINARY,
    "data": DATA,
    "executor": ("local", "ray"),
    "labels": LABELS,
    "layout": LAYOUTS,
    "loss": LOSSES,
    "method": METHODS,
    "model": MODELS,
    "name": DATA,
    "noise": NOISES,
    "norm": NORMS,
    "plan": PLANS,
    "precision": (*PRECISIONS, "auto"),
    "published": names_in(HERE / "published"),
    "recipe": names_in(HERE / "recipes"),
    "split": ("test", "train", "all"),
    "unit": UNITS,
}
"""By what commands call it; a path is completed where no name fits."""


def completed(command: Callable[..., None]) -> Callable[..., None]:
    """The command, each of whose options and arguments that takes a name knows which."""
    for one in inspect.signature(command).parameters.values():
        if one.name in NAMES:
            for info in one.annotation.__metadata__:
                info.autocompletion = _beginning(NAMES[one.name])
    return command


def _beginning(names: Iterable[str]) -> Callable[[str], list[str]]:
    def matching(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return matching
