"""Match the classes of a model to those of the images by name, so that a label means the same to both."""

import warnings
from collections.abc import Sequence

from radii.data.dataset import DataSet
from radii.errors import InputError, RadiiWarning
from radii.models.adapters.outputs import class_names, reordered
from radii.models.adapters.preprocess import change_inner
from radii.sampling.model_call import BaseClassifier
from radii.storage.class_names import SHOWN, are_counted, by_number, match


def matched(model: BaseClassifier, data: DataSet) -> BaseClassifier:
    """Return the model with its classes in the order of those of the images; the model itself if they match already.

    Where the model or the images have no class names, labels are positions among the model's outputs; a `RadiiWarning`
    lists them if the model has names. Raises `InputError` for sets of names that differ.
    """
    names = class_names(model)
    if data.labels is not None and not has_names(names, data.classes, data.named):
        _warn_of_positions(names)
    return renamed(model, data.classes, data.description, data.named)


def renamed(model: BaseClassifier, classes: Sequence[str], where: str, named: bool = True) -> BaseClassifier:
    """Return the model with its classes in the order of `classes`.

    `where` says in errors what they belong to; `named`: whether they are names, not mere numbers.
    """
    # unchanged where it can be: another layer around a model gives it another digest, and its votes no longer add up.
    # An empty order, for labels that are positions, is equal to an empty range.
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
    """Return whether the model, with `names`, and the images, with `classes`, can be matched by name.

    Labels that are mere numbers can be matched to a model whose class names are numbers.
    """
    return bool(names and classes) and (named or by_number(names) is not None)


def _order(names: Sequence[str], classes: Sequence[str], where: str, named: bool) -> list[int]:
    """Return the model's output for each class of the images; an empty list where labels are positions."""
    return match(classes, names, where) if has_names(names, classes, named) else []


def _warn_of_positions(names: Sequence[str]) -> None:
    """Warn which classes the labels 0, 1, 2, ... are taken for, unless the class names are these numbers."""
    if are_counted(names):
        return
    shown = ", ".join(f"{label} for {name!r}" for label, name in enumerate(names[:SHOWN]))
    more = f" and so on, {len(names)} in all" if len(names) > SHOWN else ""
    warnings.warn(
        RadiiWarning(
            f"labels are numbers, and the model has names for its classes: labels are taken as {shown}{more}; if they "
            "mean something else, give a data set with class names, or class_map="
        ),
        stacklevel=3,
    )
