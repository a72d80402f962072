"""Classes of a model and of the images, matched by name, so that a label means the same to both."""

import warnings
from collections.abc import Sequence

from radii.data.dataset import DataSet
from radii.errors import InputError, RadiiWarning
from radii.models.adapters.outputs import class_names, reordered
from radii.models.adapters.preprocess import change_inner
from radii.sampling.model_call import BaseClassifier
from radii.storage.class_names import SHOWN, are_counted, by_number, match


def matched(model: BaseClassifier, data: DataSet) -> BaseClassifier:
    """Return the model with its classes in the order of those of the images, by name; itself if they are so already.

    Where the model or the images have no names, labels are positions among the model's outputs. A warning says what
    they mean if the model has names. Sets of names that differ are an error.
    """
    names = class_names(model)
    if data.labels is not None and not has_names(names, data.classes, data.named):
        _note_positions(names)
    return renamed(model, data.classes, data.description, data.named)


def renamed(model: BaseClassifier, classes: Sequence[str], where: str, named: bool = True) -> BaseClassifier:
    """Return the model with `classes` in their order; `where` they are from; `named`: whether they are names."""
    order = _order(class_names(model), classes, where, named)
    if order == list(range(len(order))):
        return model
    return change_inner(model, lambda inner: reordered(inner, order, classes))


def check_matched(model: BaseClassifier, data: DataSet) -> None:
    """Raise `InputError` for a model whose classes come in another order than those of the images."""
    order = _order(class_names(model), data.classes, data.description, data.named)
    if order != list(range(len(order))):
        raise InputError(
            f"the model must have its classes in the order of {data.description}; they come in another "
            "one: call Smoothed.matched first, which Smoothed.vote does by itself"
        )


def has_names(names: Sequence[str], classes: Sequence[str], named: bool) -> bool:
    """Whether both the model, by `names`, and the images, by `classes`, say what their classes are.

    Labels that are mere numbers still say so to a model whose names are numbers.
    """
    return bool(names and classes) and (named or by_number(names) is not None)


def _order(names: Sequence[str], classes: Sequence[str], where: str, named: bool) -> list[int]:
    """Return the output of the model for each class of the images; an empty list where labels are positions."""
    if not has_names(names, classes, named):
        return []
    return match(classes, names, where)


def _note_positions(names: Sequence[str]) -> None:
    """Say which classes the positions 0, 1, 2, ... are, unless their names are these numbers."""
    if are_counted(names):
        return
    meant = ", ".join(f"{place} for {name!r}" for place, name in enumerate(names[:SHOWN]))
    more = f" and so on, {len(names)} in all" if len(names) > SHOWN else ""
    warnings.warn(
        RadiiWarning(
            f"labels are numbers, and the model has names for its classes: labels stand {meant}{more}; if they mean "
            "something else, give a data set with class names, or class_map="
        ),
        stacklevel=3,
    )
