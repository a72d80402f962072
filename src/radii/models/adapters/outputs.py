"""Outputs of a model as logits of classes: binary outputs, class maps, and class names."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from radii.errors import InputError, check_name
from radii.models.digest import Identified, digest
from radii.models.wrappers import Denoised

BINARY = ("logit", "probability")
"""Meanings of the one output of a binary model: the logit of class 1, or its probability."""

UNNAMED = "LABEL_"
"""Prefix of the names that Hugging Face makes up for unnamed outputs."""

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Outputs:
    """Conversion of a model's outputs to logits of classes.

    `binary`: meaning of the one output of a binary model, or None. `columns`: the outputs that stand for each class, of
    which the largest counts; a class without outputs never wins; empty for all outputs in their order. `names`: names
    of the classes, empty if unknown. `count`: number of outputs that the model must have, 0 if unknown. The digest
    covers neither `names` nor `count`.
    """

    binary: str | None = None
    columns: tuple[tuple[int, ...], ...] = ()
    names: tuple[str, ...] = ()
    count: int = 0

    def __post_init__(self) -> None:
        if self.binary is not None:
            check_name("kind of binary output", self.binary, BINARY)

    @property
    def trivial(self) -> bool:
        """Whether outputs are logits already."""
        return self.binary is None and not self.columns


def logits_in(output: Any) -> Any:
    """Return what a model has returned, of an object with logits, as classifiers of Hugging Face return, its logits."""
    return getattr(output, "logits", output)


class OutputLayer(nn.Module):
    """Layer from the outputs of a model to logits of classes."""

    index: Tensor
    off: Tensor

    def __init__(self, outputs: Outputs) -> None:
        super().__init__()
        self.outputs = outputs
        self.width = outputs.count
        most = max((len(group) for group in outputs.columns), default=0)
        # one tensor of indices selects for all classes at once, so groups are padded to one length
        # shorter groups repeat their first output, which changes no maximum; state_dict keeps the keys of the model
        padded = [[*group, *[(*group, 0)[0]] * (most - len(group))] for group in outputs.columns]
        self.register_buffer("index", torch.tensor(padded, dtype=torch.long), persistent=False)
        empty = [not group for group in outputs.columns]
        self.register_buffer("off", torch.tensor(empty, dtype=torch.bool), persistent=False)

    def forward(self, output: Any) -> Tensor:
        """Compute logits `(batch, classes)`; return all but tables of numbers unchanged: the caller rejects them."""
        logits = logits_in(output)
        if not isinstance(logits, Tensor) or logits.dtype == torch.bool:
            return logits
        if self.outputs.binary is not None and logits.ndim in (1, 2):
            logits = two_classes(logits, self.outputs.binary)
        return self._selected(logits) if self.outputs.columns and logits.ndim == 2 else logits

    def _selected(self, logits: Tensor) -> Tensor:
        # by number first: if names were matched with another model's outputs, every column may be wrong
        check_count(self.outputs.count, logits.shape[1])
        if not torch.compiler.is_compiling():  # a compiled graph has one number of outputs
            # behind this layer, the number of classes is the same whatever the model gives
            self.width = self.width or logits.shape[1]
            check_same_classes(self.width, logits.shape[1])
        # checked here, because indexing out of range on a GPU is an assertion that ends all further work there
        largest = max(column for group in self.outputs.columns for column in group)
        if largest >= logits.shape[1]:
            raise InputError(
                f"classes are mapped to outputs up to number {largest}, but the model has {logits.shape[1]} outputs, "
                f"0 to {logits.shape[1] - 1}: correct the class map"
            )
        if not logits.is_floating_point():
            logits = logits.float()  # integers have no -inf
        selected = logits[:, self.index.to(logits.device)].amax(2)
        return selected.masked_fill(self.off.to(logits.device), -torch.inf)


class WithOutputs(Identified):
    """A model followed by an output layer."""

    layer: OutputLayer
    model: Model

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits `(batch, classes)` of images `(batch, *shape)` in the format of the model."""
        return self.layer(self.model(images))

    @property
    def identity(self) -> str:
        return _identity(digest(self.model), self.layer.outputs)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; empty if unknown."""
        return self.layer.outputs.names


class ModuleWithOutputs(WithOutputs, nn.Module):
    """A module followed by an output layer."""

    def __init__(self, layer: OutputLayer, model: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.model = model


class CallableWithOutputs(WithOutputs):
    """A callable other than a module, followed by an output layer."""

    def __init__(self, layer: OutputLayer, model: Model) -> None:
        self.layer = layer
        self.model = model

    __call__ = WithOutputs.forward


def with_outputs(model: Model, outputs: Outputs) -> Model:
    """Return the model followed by an output layer, or itself if its outputs are logits already."""
    if outputs.trivial:
        return model
    layer = OutputLayer(outputs).eval()
    if isinstance(model, nn.Module):
        layer.to(next((weight.device for weight in model.parameters()), torch.device("cpu")))
        wrapped = ModuleWithOutputs(layer, model)
        wrapped.training = False  # not eval(): a module in training mode must stay so, to be rejected
        return wrapped
    return CallableWithOutputs(layer, model)


def reordered(model: Model, order: Sequence[int], names: Sequence[str]) -> Model:
    """Return the model with its classes in another `order`, and with these `names`."""
    # one layer instead of two, so that the same outputs in the same order have one digest
    if isinstance(model, WithOutputs) and model.layer.outputs.columns:
        model, outputs = model.model, model.layer.outputs
    else:
        outputs = Outputs(columns=tuple((column,) for column in range(len(order))), count=len(order))
    columns = tuple(outputs.columns[column] for column in order)
    return with_outputs(model, replace(outputs, columns=columns, names=tuple(names)))


def class_names(model: object) -> tuple[str, ...]:
    """Return the names of a model's classes in the order of its outputs; empty if the model has none.

    They are its attribute `class_names`, which models of `radii.load_model` and of run folders have, or
    `config.id2label`, which models of Hugging Face have.
    """
    if isinstance(model, Denoised):
        return class_names(model.classifier)
    names = getattr(model, "class_names", None)
    if names is None:
        labels = getattr(getattr(model, "config", None), "id2label", None)
        names = _in_order(labels) if isinstance(labels, dict) else None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names)


def check_count(names: int, outputs: int) -> None:
    """Raise `InputError` if a model has another number of class names than of outputs; 0 names are allowed."""
    if names and names != outputs:
        raise InputError(
            f"the model must have a name for each of its {outputs} logits, but it has {names} names: correct its "
            "class_names, or its config.id2label, or say which outputs are meant, class_map= or --class-map FILE"
        )


def check_same_classes(first: int, classes: int) -> None:
    """Raise `InputError` for a model with another number of classes than at first: its votes cannot be added."""
    if classes != first:
        raise InputError(
            f"the model must give as many logits in every batch as at first, {first}; got {classes}: is it still the "
            "same model?"
        )


def two_classes(output: Tensor, kind: str) -> Tensor:
    """Compute logits `(batch, 2)`, 0 and x or 1 - x and x, from one output x per image, `(batch,)` or `(batch, 1)`."""
    column = output.reshape(len(output), -1)
    if column.shape[1] != 1:
        raise InputError(
            f"binary is for models with one output; this one has {column.shape[1]}: leave it out"
        )
    # the sigmoid of x is the softmax of 0 and x
    if kind == "logit":
        return torch.cat([torch.zeros_like(column), column], dim=1)
    # NaN passes here, and is rejected with all other logits that give no vote
    if bool(((column < 0) | (column > 1)).any()):
        raise InputError(
            f"a binary model that gives probabilities must stay in [0, 1]; it gives {float(column.min()):g} to "
            f"{float(column.max()):g}: if they are logits, say binary= or --binary logit"
        )
    # probabilities vote as their logarithms would, without infinities at 0
    return torch.cat([1 - column, column], dim=1)


def _in_order(labels: dict[Any, Any]) -> list[Any] | None:
    """Return the names of outputs 0, 1, 2, ..., with None in gaps; None if all names are made up."""
    # in JSON, keys are text
    by_number = {str(number): name for number, name in labels.items()}
    names = [by_number.get(str(number)) for number in range(len(labels))]
    return None if all(str(name).startswith(UNNAMED) for name in names) else names


def _identity(model: str, outputs: Outputs) -> str:
    """Return the digest of a model with declared outputs, which make another classifier of it."""
    # without names: they only tell which class is which, and numbers select the same outputs
    declared = {"binary": outputs.binary} if outputs.binary else {}
    if outputs.columns:
        # hashed, since the identity of a model without a digest is text that users read
        declared["class_map"] = hashlib.sha256(json.dumps(outputs.columns).encode()).hexdigest()
    return extend_digest(model, json.dumps(declared))


def extend_digest(model: str, declared: str) -> str:
    """Return the digest of a model together with what is declared about it; legible unless it is one hash."""
    # digests of ensembles name their members
    if not re.fullmatch("[0-9a-f]{64}", model):
        return f"{model} {declared}"
    return hashlib.sha256(f"{model}\0{declared}".encode()).hexdigest()
