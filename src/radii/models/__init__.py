"""Network architectures by name, the digest that identifies a model, and adapters for models of other libraries."""

import re

from torch import nn

from radii.errors import InputError, check_name
from radii.models.digest import digest
from radii.models.ensembles import Ensemble, Mirrored
from radii.models.networks import SmallCNN, WideResNet
from radii.models.wrappers import Denoised, Denoiser, Normalize

MODELS = {
    "small-cnn": "three convolutions, 25 thousand weights: grey digits, seconds of training",
    "wrn-16-2": "wide ResNet, 0.7 million weights: colour images on a laptop",
    "wrn-16-4": "wide ResNet, 2.7 million weights",
    "wrn-40-2": "wide ResNet, 2.2 million weights: the usual one for CIFAR-10",
    "wrn-22-3-half": "wide ResNet, 2.4 million weights, at half the resolution: as fast as wrn-16-2",
    "wrn-28-10": "wide ResNet, 36.5 million weights: for a GPU",
    "denoiser-8-32": "turns noisy images into images, in front of any classifier",
}
"""Names and purposes of common architectures.

`wrn-D-W` takes any depth D = 6 n + 4 and width W, optionally followed by `-half`; `denoiser-D-W` has D convolutions of
W channels.
"""

DENOISER = "denoiser-8-32"
"""The default denoiser."""

MOST_CHANNELS = 1024
"""Upper limit on channels per image.

`load_run` tries a damaged config.json on the meta device, where weights take no memory. But normalisation starts from
a tuple with a number per channel: a hundred million channels took a minute and 1.9 GB.
"""


def make_model(name: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    """Build an architecture by its name, with fresh weights.

    Parameters
    ----------
    name
        One of `MODELS`, or any `wrn-D-W`, `wrn-D-W-half` or `denoiser-D-W`.
    shape : channels, height, width
        Shape of one image.
    classes
        Number of classes; a denoiser has none, and ignores it.

    Returns
    -------
    torch.nn.Module
        A network from images to logits, or to images for a denoiser.

    Raises
    ------
    InputError
        If the name is unknown, or the shape is not that of images.

    Examples
    --------
    >>> import torch
    >>> from radii.models import make_model
    >>> make_model("small-cnn", (1, 28, 28), 10)(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    # three digits at most, for the same reason as MOST_CHANNELS: each layer is a Python object, on any device
    wide = re.fullmatch(r"wrn-([0-9]{1,3})-([0-9]{1,3})(-half)?", str(name))
    denoiser = _denoiser(name)
    if not wide and not denoiser:
        check_name("model", name, MODELS)
    if len(shape) != 3 or min(shape) < 1 or shape[0] > MOST_CHANNELS:
        raise InputError(f"{name} takes images of shape (channels, height, width); got {tuple(shape)}")
    size = (shape[0], shape[1], shape[2])
    if denoiser:
        return Denoiser(int(denoiser[1]), int(denoiser[2]), size)
    if not wide:
        return SmallCNN(size, classes)
    return WideResNet(int(wide[1]), int(wide[2]), size, classes, half=bool(wide[3]))


def is_denoiser(name: str) -> bool:
    """Tell whether the architecture called `name` returns images, not logits.

    Parameters
    ----------
    name
        Name of an architecture, as for `make_model`.

    Returns
    -------
    bool
        True for names `denoiser-D-W`.

    Examples
    --------
    >>> from radii.models import is_denoiser
    >>> is_denoiser("denoiser-8-32"), is_denoiser("wrn-16-2")
    (True, False)
    """
    return _denoiser(name) is not None


def _denoiser(name: str) -> re.Match[str] | None:
    return re.fullmatch(r"denoiser-([0-9]{1,3})-([0-9]{1,3})", str(name))


__all__ = [
    "DENOISER",
    "MODELS",
    "Denoised",
    "Denoiser",
    "Ensemble",
    "Mirrored",
    "Normalize",
    "SmallCNN",
    "WideResNet",
    "digest",
    "is_denoiser",
    "make_model",
]
