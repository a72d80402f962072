"""What the outputs of a model are: two classes from one number, a choice of outputs for each class, and class names."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from radii.errors import InputError, check_name
from radii.models.digest import Identified, digest
from radii.models.wrappers import Denoised

BINARY = ("logit", "probability")
"""What the one number of a binary model is: the logit of class 1, or its probability."""

UNNAMED = "LABEL_"
"""With what Hugging Face begins the names of outputs that have none."""

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Outputs:
    """How the answers of a model become logits of classes.

    `binary`: what the one number of a binary model is, or None. `columns`: for each class the outputs that stand for
    it, of which the largest counts; a class without outputs is switched off. Empty for all outputs, in their order.
    `names`: of the classes, or empty if they are not known. `count`: the outputs that the model must have, or 0 if that
    is not known. Both belong to no digest.
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
        """Whether answers stay as they are."""
        return self.binary is None and not self.columns


class OutputLayer(nn.Module):
    """From the answers of a model to logits of classes."""

    index: Tensor
    off: Tensor

    def __init__(self, outputs: Outputs) -> None:
        super().__init__()
        self.outputs = outputs
        most = max((len(group) for group in outputs.columns), default=0)
        # shorter groups repeat their first output, which changes no maximum
        padded = [[*group, *[(*group, 0)[0]] * (most - len(group))] for group in outputs.columns]
        self.register_buffer("index", torch.tensor(padded, dtype=torch.long), persistent=False)
        empty = [not group for group in outputs.columns]
        self.register_buffer("off", torch.tensor(empty, dtype=torch.bool), persistent=False)

    def forward(self, answer: Any) -> Tensor:
        """Logits `(batch, classes)`; what is no table of numbers stays as it is, to be rejected by the caller."""
        logits = getattr(answer, "logits", answer)
        if not isinstance(logits, Tensor) or logits.dtype == torch.bool:
            return logits
        if self.outputs.binary is not None and logits.ndim in (1, 2):
            logits = two_classes(logits, self.outputs.binary)
        return self._chosen(logits) if self.outputs.columns and logits.ndim == 2 else logits

    def _chosen(self, logits: Tensor) -> Tensor:
        check_count(self.outputs.count, logits.shape[1])
        largest = max(place for group in self.outputs.columns for place in group)
        if largest >= logits.shape[1]:
            raise InputError(
                f"classes are mapped to outputs up to number {largest}, but the model has {logits.shape[1]} outputs, "
                f"0 to {logits.shape[1] - 1}: correct the class map"
            )
        if not logits.is_floating_point():
            logits = logits.float()
        chosen = logits[:, self.index.to(logits.device)].amax(2)
        return chosen.masked_fill(self.off.to(logits.device), -torch.inf)


class WithOutputs(Identified):
    """A model behind which answers become logits of classes."""

    layer: OutputLayer
    model: Model

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(batch, classes)` of images, `(batch, *shape)`, in whichever form the model takes them."""
        return self.layer(self.model(images))

    @property
    def identity(self) -> str:
        return _with_outputs(digest(self.model), self.layer.outputs)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of its classes; empty if they are not known."""
        return self.layer.outputs.names


class ModuleWithOutputs(WithOutputs, nn.Module):
    """The same for a module."""

    def __init__(self, layer: OutputLayer, model: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.model = model


class CallableWithOutputs(WithOutputs):
    """The same for a model that is no module."""

    def __init__(self, layer: OutputLayer, model: Model) -> None:
        self.layer = layer
        self.model = model

    __call__ = WithOutputs.forward


def with_outputs(model: Model, outputs: Outputs) -> Model:
    """The model with logits of classes; itself, if its answers are these already."""
    if outputs.trivial:
        return model
    layer = OutputLayer(outputs).eval()
    if isinstance(model, nn.Module):
        layer.to(next((weight.device for weight in model.parameters()), torch.device("cpu")))
        wrapped = ModuleWithOutputs(layer, model)
        wrapped.training = False
        return wrapped
    return CallableWithOutputs(layer, model)


def reordered(model: Model, order: Sequence[int], names: Sequence[str]) -> Model:
    """The model with its classes in another order, and with these names; a permutation of columns."""
    if isinstance(model, WithOutputs) and model.layer.outputs.columns:
        inner, known = model.model, model.layer.outputs
    else:
        inner, known = (
            model,
            Outputs(columns=tuple((place,) for place in range(len(order))), count=len(order)),
        )
    chosen = tuple(known.columns[place] for place in order)
    return with_outputs(inner, replace(known, columns=chosen, names=tuple(names)))


def class_names(model: object) -> tuple[str, ...]:
    """The names of the classes of a model, in the order of its outputs; empty if it does not say them.

    It says them by an attribute `class_names`, as models of `radii.load_model` and of run folders do, or as those of
    Hugging Face do, by `config.id2label`.
    """
    if isinstance(model, Denoised):
        return class_names(model.classifier)
    names = getattr(model, "class_names", None)
    if names is None:
        labels = getattr(getattr(model, "config", None), "id2label", None)
        names = _in_sequence(labels) if isinstance(labels, dict) else None
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names)


def check_count(names: int, outputs: int) -> None:
    """Refuse a model with so many `names` for another number of outputs; 0 for none is fine."""
    if names and names != outputs:
        raise InputError(
            f"the model must have a name for each of its {outputs} logits, but it has {names} names: correct its "
            "class_names, or its config.id2label, or say which outputs are meant, class_map= or --class-map FILE"
        )


def two_classes(answer: Tensor, kind: str) -> Tensor:
    """Logits `(batch, 2)` from one number an image, `(batch,)` or `(batch, 1)`: 0 and the logit, or 1 - p and p."""
    column = answer.reshape(len(answer), -1)
    if column.shape[1] != 1:
        raise InputError(
            f"binary is for models with one output; this one has {column.shape[1]}: leave it out"
        )
    if kind == "logit":
        return torch.cat([torch.zeros_like(column), column], dim=1)
    if bool(((column < 0) | (column > 1)).any()):
        raise InputError(
            f"a binary model that gives probabilities must stay in [0, 1]; it gives {float(column.min()):g} to "
            f"{float(column.max()):g}: if they are logits, say binary= or --binary logit"
        )
    return torch.cat([1 - column, column], dim=1)


def _in_sequence(labels: dict[Any, Any]) -> list[Any] | None:
    """The names by output 0, 1, 2, ...; None if there are gaps, or if they are made up."""
    numbers = {str(number): name for number, name in labels.items()}
    names = [numbers.get(str(place)) for place in range(len(labels))]
    return None if all(str(name).startswith(UNNAMED) for name in names) else names


def _with_outputs(model: str, outputs: Outputs) -> str:
    """Other classes of the same outputs make another classifier, so that they belong to the digest."""
    said = {"binary": outputs.binary} if outputs.binary else {}
    if outputs.columns:
        said["class_map"] = hashlib.sha256(json.dumps(outputs.columns).encode()).hexdigest()
    words = json.dumps(said)
    if model.startswith("unknown:"):
        return f"{model} {words}"
    return hashlib.sha256(f"{model}\0{words}".encode()).hexdigest()
