"""Adapters: any classifier as a model of images in [0, 1], from one function."""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from radii.errors import InputError
from radii.models.adapters.class_map import read_class_map
from radii.models.adapters.http import Endpoint
from radii.models.adapters.onnx import load_onnx
from radii.models.adapters.outputs import BINARY, Outputs, class_names, with_outputs
from radii.models.adapters.preprocess import LAYOUTS, Inputs, change_inner, with_preprocessing
from radii.models.adapters.sklearn import Estimator, is_estimator
from radii.models.adapters.torch_export import load_exported
from radii.models.digest import check_loaded

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
"""Endings of files that are usually pickles, which run code when they are read."""

FORMS = "PACKAGE.MODULE:ATTRIBUTE, FILE.pt2, FILE.onnx or http://HOST/PATH"
"""Names of models, for help texts and messages."""


def load_model(
    spec: Any,
    *,
    input_range: Sequence[float] = (0.0, 1.0),
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    layout: Literal["nchw", "nhwc", "flat"] | str = "nchw",
    binary: Literal["logit", "probability"] | str | None = None,
    class_map: Any = None,
    trust: bool = False,
) -> Callable[[Tensor], Tensor]:
    """Adapt any classifier to a model of images in [0, 1], which `radii.Smoothed` queries.

    Parameters
    ----------
    spec
        A torch module, any callable, or a fitted scikit-learn estimator; or the name of one,
        `package.module:attribute`, or of a function without arguments that makes it; or a file of
        `torch.export`, `FILE.pt2`, or of ONNX, `FILE.onnx`; or the address of an endpoint, `http://...`.
    input_range : lowest and highest value
        Range to which images in [0, 1] are mapped first.
    mean : one number, or one per channel, in units of `input_range`
        Subtracted next.
    std : one number, or one per channel, in units of `input_range`
        Divided by next.
    layout : "nchw", "nhwc" or "flat"
        Order of axes that the model expects.
    binary : "logit" or "probability"
        Meaning of the one output of a model with one output, which is that of class 1; class 0 has the
        logit 0, or the rest of the probability.
    class_map
        The outputs that stand for each class of the data, as numbers from 0 or as names that the model
        has: `{"cat": [281, 282], "dog": 207}`, a list in the order of the data's classes, or a file with
        one of them (docs/models.md). The largest output of a class counts; all others are ignored.
    trust
        Whether a file of `torch.export` may be any program: it is then code that runs with your rights. Without, it
        is limited to the operators of networks.

    Returns
    -------
    Callable
        Model from images `(batch, channels, height, width)` to logits `(batch, classes)`.

    Raises
    ------
    InputError
        If the model cannot be loaded, is a pickle, or contradicts what is declared.

    Notes
    -----
    Noise is added before the mapping, so that sigma and radii are in units of [0, 1] whatever is declared.
    Where both the model and a data set name their classes, they are matched by name. A module must be in
    evaluation mode. Nothing in files is unpickled unless `trust` is true; a name runs the code that it stands for.

    Examples
    --------
    >>> import radii, torch
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    >>> model = radii.load_model(net, mean=0.5, std=0.5)
    >>> model(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    inputs = Inputs(input_range, mean, std, layout)  # type: ignore[arg-type]
    if trust and not (isinstance(spec, str | Path) and Path(spec).suffix.lower() == ".pt2"):
        raise InputError(
            "only FILE.pt2 needs trust, which this model does not: leave out --trust-model, trust=True"
        )
    model = _from_text(str(spec), trust) if isinstance(spec, str | Path) else as_model(spec)
    return with_preprocessing(declare_outputs(model, binary, class_map), inputs)


def declare_outputs(
    model: Callable[[Tensor], Tensor], binary: str | None = None, class_map: Any = None
) -> Callable[[Tensor], Tensor]:
    """Return a model with declared outputs, as in `load_model`: first `binary`, then `class_map`."""
    if binary is None and class_map is None:
        return model
    # class names are those of the outputs, and a binary model has one output for two classes
    known = class_names(model) if binary is None else ()
    outputs = replace(Outputs() if class_map is None else read_class_map(class_map, known), binary=binary)
    return change_inner(model, lambda inner: with_outputs(inner, outputs))


def as_model(spec: Any) -> Callable[[Tensor], Tensor]:
    """Return a module, callable or estimator as a callable from images to logits."""
    # callables last, because modules and some estimators can be called too
    if isinstance(spec, nn.Module):
        check_loaded(spec)
        return spec
    if is_estimator(spec):
        return Estimator(spec)
    if callable(spec):
        return spec
    raise InputError(
        f"a model is a torch module, a callable from images to logits, or an estimator with predict; "
        f"got {type(spec).__name__}"
    )


def is_spec(text: str) -> bool:
    """Return whether text names a model for `load_model`, and not a run folder."""
    endings = (".onnx", ".pt2", *PICKLES)
    # a run folder may have any name, also one with a colon or an ending
    return not Path(text).is_dir() and (":" in text or Path(text).suffix.lower() in endings)


def _from_text(spec: str, trust: bool) -> Callable[[Tensor], Tensor]:
    ending = Path(spec).suffix.lower()
    # first, since the path of an address may end like a file
    if "://" in spec:
        return Endpoint(spec)
    if ending == ".onnx":
        return load_onnx(spec)
    if ending == ".pt2":
        return load_exported(spec, trust)
    if ending in PICKLES:
        raise InputError(
            f"{spec} is a pickle, which could run any program, and is not read: export the model as .pt2 or .onnx, or "
            "name it in Python, PACKAGE.MODULE:ATTRIBUTE"
        )
    if ":" in spec:
        return as_model(_load_attribute(spec))
    raise InputError(f"a model is {FORMS}; got {spec!r}")


def _load_attribute(name: str) -> Any:
    """Return the object at `package.module:attribute`, or its result if it can be called without arguments.

    Modules are also looked up in the current folder. Raises `InputError` if the import, the attribute or the call
    fails.
    """
    module, _, attribute = name.partition(":")
    with _current_folder():
        value = _imported(module, name)
        for part in attribute.split("."):
            if not hasattr(value, part):
                raise InputError(f"there is no {attribute!r} in the Python module {module}: check {name}")
            value = getattr(value, part)
        if not _is_factory(value):
            return value
        try:
            return value()
        except Exception as error:
            raise InputError(f"calling {name} ends in {type(error).__name__}: {error}") from error


def _imported(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # a missing import inside the module is another mistake than a wrong name of the module
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise InputError(
                f"there is no Python module {error.name}, here or among what is installed: check {name}"
            ) from error
        raise InputError(f"{module} needs {error.name}, which is not installed") from error
    except Exception as error:
        raise InputError(f"importing {module} ends in {type(error).__name__}: {error}") from error


def _is_factory(value: Any) -> bool:
    """Return whether an object can be called without arguments; a model cannot, since it takes images."""
    # a module's __call__ takes any arguments, so its signature tells nothing
    if not callable(value) or isinstance(value, nn.Module):
        return False
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


@contextmanager
def _current_folder() -> Iterator[None]:
    """Let imports find modules in the current folder, which an installed command does not search."""
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before


__all__ = ["BINARY", "FORMS", "LAYOUTS", "Inputs", "declare_outputs", "is_spec", "load_model"]
