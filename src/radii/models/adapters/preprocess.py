"""What a model takes, declared once: images stay in [0, 1], and so do sigma and radii."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from radii.errors import InputError, check_name
from radii.models.adapters.outputs import Model, WithOutputs, class_names
from radii.models.digest import Identified, digest

LAYOUTS = ("nchw", "nhwc", "flat")
"""Channels before or after the positions, or all features of an image in one row."""


@dataclass(frozen=True)
class Inputs:
    """Images in [0, 1] are mapped to `input_range`; then `mean` is taken off, and divided by `std`; then `layout`.

    `mean`, `std`: one number, or one a channel, in units of `input_range`; both or neither.
    """

    input_range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: str = "nchw"

    def __post_init__(self) -> None:
        for name in ("input_range", "mean", "std"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        check_name("layout", self.layout, LAYOUTS)
        if len(self.input_range) != 2 or not self.input_range[0] < self.input_range[1]:
            raise InputError(
                f"input_range is the least and the largest value of a pixel, for example -1,1; "
                f"got {self.input_range}"
            )
        if (self.mean is None) != (self.std is None) or len(self.mean or ()) != len(self.std or ()):
            raise InputError(
                f"mean and std come together, with as many numbers; got mean {self.mean} and std {self.std}"
            )
        if self.std is not None and min(self.std) <= 0:
            raise InputError(f"std must be above 0; got {self.std}")


class Preprocess(nn.Module):
    """From images in [0, 1], noise included, `(batch, channels, ...)`, to what a model takes."""

    mean: Tensor
    std: Tensor

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.inputs = inputs
        self.register_buffer("mean", torch.tensor(inputs.mean or (0.0,)))
        self.register_buffer("std", torch.tensor(inputs.std or (1.0,)))

    def forward(self, images: Tensor) -> Tensor:
        low, high = self.inputs.input_range
        if (low, high) != (0, 1):
            images = low + (high - low) * images
        if self.inputs.mean is not None:
            images = (images - self._channels(self.mean, images)) / self._channels(self.std, images)
        if self.inputs.layout == "flat":
            return images.flatten(1)
        return images if self.inputs.layout == "nchw" else _channels_last(images)

    def _channels(self, values: Tensor, images: Tensor) -> Tensor:
        if len(values) not in (1, images.shape[1]):
            raise InputError(
                f"mean and std have {len(values)} numbers, but images have {images.shape[1]} channels: give one, or "
                f"one a channel"
            )
        return values.view(-1, *(1,) * (images.ndim - 2))


class Preprocessed(Identified):
    """A model behind what it takes."""

    preprocess: Preprocess
    model: Callable[[Tensor], Tensor]

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(batch, classes)` of images in [0, 1] plus noise, `(batch, *shape)`."""
        return self.model(self.preprocess(images))

    @property
    def identity(self) -> str:
        return _with_inputs(digest(self.model), self.preprocess.inputs)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of its classes; empty if they are not known."""
        return class_names(self.model)


class PreprocessedModule(Preprocessed, nn.Module):
    """A module behind what it takes."""

    def __init__(self, preprocess: Preprocess, model: nn.Module) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.model = model


class PreprocessedCallable(Preprocessed):
    """The same for a model that is no module."""

    def __init__(self, preprocess: Preprocess, model: Callable[[Tensor], Tensor]) -> None:
        self.preprocess = preprocess
        self.model = model

    __call__ = Preprocessed.forward


def preprocessed(model: Callable[[Tensor], Tensor], inputs: Inputs) -> Callable[[Tensor], Tensor]:
    """A model as one of images in [0, 1]; itself, if it takes them as they are."""
    if inputs == Inputs():
        return model
    layer = Preprocess(inputs).eval()
    if isinstance(model, nn.Module):
        wrapped = PreprocessedModule(layer, model)
        wrapped.training = False
        return wrapped
    return PreprocessedCallable(layer, model)


def taken_apart(model: Callable[[Tensor], Tensor]) -> tuple[Callable[[Tensor], Tensor], Inputs]:
    """What `preprocessed` was given."""
    if isinstance(model, Preprocessed):
        return model.model, model.preprocess.inputs
    return model, Inputs()


def rewrapped(model: Model, change: Callable[[Model], Model]) -> Model:
    """The model with its inner part changed, behind the inputs that were declared for it."""
    inner, inputs = taken_apart(model)
    return preprocessed(change(inner), inputs)


def innermost(model: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the model without any of what `load_model` put before and behind it."""
    while isinstance(model, Preprocessed | WithOutputs):
        model = model.model
    return model


def _with_inputs(model: str, inputs: Inputs) -> str:
    """Another scale or layout makes another classifier, so that it belongs to the digest."""
    words = json.dumps(asdict(inputs))
    if model.startswith("unknown:"):
        return f"{model} {words}"
    return hashlib.sha256(f"{model}\0{words}".encode()).hexdigest()


def _channels_last(images: Tensor) -> Tensor:
    if images.ndim != 4:
        raise InputError(
            f"the layout nhwc is of images (channels, height, width); got {tuple(images.shape[1:])}"
        )
    return images.movedim(1, -1).contiguous()


def _numbers(name: str, values: object) -> tuple[float, ...]:
    """One number or several as a tuple."""
    try:
        found = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise InputError(f"{name} must be finite numbers, for example 0.5 or 0.5,0.4,0.3; got {values!r}")
    return tuple(found.tolist())


def check_takes(path: str, expected: tuple[int | str | None, ...], shape: tuple[int, ...]) -> None:
    """Refuse images of a `shape` that the model of `path` does not take; sizes that are no numbers are open."""
    fits = len(shape) == len(expected) and all(
        mine == theirs or not isinstance(theirs, int) for mine, theirs in zip(shape, expected, strict=True)
    )
    if not fits:
        raise InputError(
            f"{path} takes images of shape {expected}; got {shape}: declare its layout, nchw, nhwc or flat"
        )
