"""Input format of a model, declared once: images stay in [0, 1], which is the unit of sigma and radii."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from radii.errors import InputError, check_name
from radii.models.adapters.outputs import Model, WithOutputs, class_names, extend_digest
from radii.models.digest import Identified, digest

LAYOUTS = ("nchw", "nhwc", "flat")
"""Channels before or after height and width, or all features of an image in one row."""


@dataclass(frozen=True)
class Inputs:
    """Input format of a model, to which images in [0, 1] are converted, in this order.

    `input_range`: range to which [0, 1] is mapped. `mean`, `std`: subtracted and divided by, one number or one per
    channel, in units of `input_range`; both or neither. `layout`: one of `LAYOUTS`.
    """

    input_range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: str = "nchw"

    def __post_init__(self) -> None:
        # as tuples of floats, since they are hashed as JSON: 1, [1] and 1.0 must give one digest
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
    """Layer from images in [0, 1] plus noise, `(batch, channels, ...)`, to the input format of a model."""

    mean: Tensor
    std: Tensor

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.inputs = inputs
        # buffers move to the device of the model
        self.register_buffer("mean", torch.tensor(inputs.mean or (0.0,)))
        self.register_buffer("std", torch.tensor(inputs.std or (1.0,)))

    def forward(self, images: Tensor) -> Tensor:
        low, high = self.inputs.input_range
        # each step is skipped where it would change nothing, so that it cannot round either
        if (low, high) != (0, 1):
            images = low + (high - low) * images
        if self.inputs.mean is not None:
            images = (images - self._channels(self.mean, images)) / self._channels(self.std, images)
        if self.inputs.layout == "flat":
            return images.flatten(1)
        return images if self.inputs.layout == "nchw" else _channels_last(images)

    def _channels(self, values: Tensor, images: Tensor) -> Tensor:
        # otherwise broadcasting could turn one channel into three
        if len(values) not in (1, images.shape[1]):
            raise InputError(
                f"mean and std have {len(values)} numbers, but images have {images.shape[1]} channels: give one, or "
                "one per channel"
            )
        return values.view(-1, *(1,) * (images.ndim - 2))


class Preprocessed(Identified):
    """A model behind a preprocessing layer."""

    preprocess: Preprocess
    model: Model

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits `(batch, classes)` of images in [0, 1] plus noise, `(batch, *shape)`."""
        return self.model(self.preprocess(images))

    @property
    def identity(self) -> str:
        # another scale or layout makes another classifier
        return extend_digest(digest(self.model), json.dumps(asdict(self.preprocess.inputs)))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; empty if unknown."""
        return class_names(self.model)


class PreprocessedModule(Preprocessed, nn.Module):
    """A module behind a preprocessing layer."""

    def __init__(self, preprocess: Preprocess, model: nn.Module) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.model = model


class PreprocessedCallable(Preprocessed):
    """A callable other than a module, behind a preprocessing layer."""

    def __init__(self, preprocess: Preprocess, model: Model) -> None:
        self.preprocess = preprocess
        self.model = model

    __call__ = Preprocessed.forward


def with_preprocessing(model: Model, inputs: Inputs) -> Model:
    """Return the model behind a preprocessing layer, or itself if it takes images in [0, 1]."""
    if inputs == Inputs():
        return model
    layer = Preprocess(inputs).eval()
    if isinstance(model, nn.Module):
        wrapped = PreprocessedModule(layer, model)
        wrapped.training = False  # not eval(): a module in training mode must stay so, to be rejected
        return wrapped
    return PreprocessedCallable(layer, model)


def split_preprocessing(model: Model) -> tuple[Model, Inputs]:
    """Return the model without its preprocessing layer, and its input format: the arguments of `with_preprocessing`."""
    if isinstance(model, Preprocessed):
        return model.model, model.preprocess.inputs
    return model, Inputs()


def change_inner(model: Model, change: Callable[[Model], Model]) -> Model:
    """Return `change` of the model without its preprocessing layer, behind that layer."""
    inner, inputs = split_preprocessing(model)
    return with_preprocessing(change(inner), inputs)


def unwrap(model: Model) -> Model:
    """Return the model without the layers that `load_model` added before and behind it."""
    while isinstance(model, Preprocessed | WithOutputs):
        model = model.model
    return model


def _channels_last(images: Tensor) -> Tensor:
    if images.ndim != 4:
        raise InputError(
            f"the layout nhwc is of images (channels, height, width); got {tuple(images.shape[1:])}"
        )
    return images.movedim(1, -1).contiguous()  # as images of this layout usually are


def _numbers(name: str, values: object) -> tuple[float, ...]:
    """Return one number or several as a tuple; raise `InputError` unless they are finite."""
    try:
        array = np.atleast_1d(np.asarray(values, dtype=float))
    # NaN leads to the same message as numbers that are not finite
    except (TypeError, ValueError):
        array = np.full(1, np.nan)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise InputError(f"{name} must be finite numbers, for example 0.5 or 0.5,0.4,0.3; got {values!r}")
    return tuple(array.tolist())


def check_input_shape(path: str, expected: tuple[int | str | None, ...], shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless the model in the file at `path` takes images of this `shape`.

    Sizes in `expected` that are not integers are dynamic: any size fits.
    """
    fits = len(shape) == len(expected) and all(
        size == wanted or not isinstance(wanted, int) for size, wanted in zip(shape, expected, strict=True)
    )
    if not fits:
        raise InputError(
            f"{path} takes images of shape {expected}; got {shape}: declare its layout, nchw, nhwc or flat"
        )
