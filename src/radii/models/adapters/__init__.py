"""Any model: what it is given as, in one function, and what it takes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from radii.errors import InputError
from radii.models.adapters.attribute import load_attribute
from radii.models.adapters.endpoint import Endpoint
from radii.models.adapters.estimator import Estimator, is_estimator
from radii.models.adapters.exported import load_exported
from radii.models.adapters.onnx import load_onnx
from radii.models.adapters.preprocess import LAYOUTS, Inputs, preprocessed
from radii.models.loaded import check_loaded

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
FORMS = "PACKAGE.MODULE:ATTRIBUTE, FILE.pt2, FILE.onnx or http://HOST/PATH"


def load_model(
    spec: Any,
    *,
    input_range: Sequence[float] = (0.0, 1.0),
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    layout: str = "nchw",
) -> Callable[[Tensor], Tensor]:
    """Any classifier as a model of images in [0, 1], which `radii.Smoothed` polls.

    `spec`: a torch module, any callable, or a fitted scikit-learn estimator; or the name of one,
    `package.module:attribute`, which may also be a function of no arguments that makes it; a file of `torch.export`,
    `FILE.pt2`, or of ONNX, `FILE.onnx`; the address of an endpoint, `http://...`.

    `input_range`, `mean`, `std`, `layout`: what the model takes. Images in [0, 1] are mapped to `input_range`, then
    normalised, `mean` and `std` in its units, one number or one a channel; then laid out as "nchw", "nhwc" or "flat".
    Noise is added before, so that sigma and radii are in units of [0, 1] whatever is declared.

    A module must be in evaluation mode. Nothing in files is unpickled; a name runs the code that it stands for.
    """
    inputs = Inputs(input_range, mean, std, layout)  # type: ignore[arg-type]
    return preprocessed(_from_text(str(spec)) if isinstance(spec, str | Path) else as_model(spec), inputs)


def as_model(found: Any) -> Callable[[Tensor], Tensor]:
    """A Python object as a callable from images to logits."""
    if isinstance(found, nn.Module):
        check_loaded(found)
        return found
    if is_estimator(found):
        return Estimator(found)
    if callable(found):
        return found
    raise InputError(
        f"a model is a torch module, a callable from images to logits, or an estimator with predict; "
        f"got {type(found).__name__}"
    )


def is_spec(text: str) -> bool:
    """Whether text means a model of `load_model`, and no folder."""
    known = (".onnx", ".pt2", *PICKLES)
    return not Path(text).is_dir() and (":" in text or Path(text).suffix.lower() in known)


def _from_text(spec: str) -> Callable[[Tensor], Tensor]:
    ending = Path(spec).suffix.lower()
    if "://" in spec:
        return Endpoint(spec)
    if ending == ".onnx":
        return load_onnx(spec)
    if ending == ".pt2":
        return load_exported(spec)
    if ending in PICKLES:
        raise InputError(
            f"{spec} is a pickle, which could run any program, and is not read: export the model as .pt2 or .onnx, or "
            f"name it in Python, PACKAGE.MODULE:ATTRIBUTE"
        )
    if ":" in spec:
        return as_model(load_attribute(spec))
    raise InputError(f"a model is {FORMS}; got {spec!r}")


__all__ = ["FORMS", "LAYOUTS", "Inputs", "is_spec", "load_model"]
