"""The digest that identifies a model in votes, and a check that all weights of a model are loaded."""

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from radii.errors import InputError
from radii.models.wrappers import Denoised


class Identified(ABC):
    """A model that is identified by its file, address or type, and not by its weights."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A SHA-256 in hexadecimal, or several with names; `unknown:` and a name if the model can change unnoticed."""


def digest(model: Callable[..., Any]) -> str:
    """Compute the digest by which votes identify a model.

    Parameters
    ----------
    model
        A torch module or any callable.

    Returns
    -------
    str
        SHA-256, in hexadecimal, over names, types, shapes and bytes of all weights; for a callable without
        weights, `unknown:` and the name of its type or function; for an `Ensemble` or `Mirrored`, a name
        with the digests of its models, `probabilities(DIGEST, DIGEST)`.

    Notes
    -----
    Architectures that share every weight differ only in code, which the digest does not cover; votes also hold
    answers of the model, their canary. A denoiser in front of a callable without weights has the digest of
    that callable. Models that `radii.load_model` makes of files, endpoints and scales have digests of their
    own, also as a part of a module.

    Examples
    --------
    >>> import torch
    >>> from radii.models import digest
    >>> len(digest(torch.nn.Linear(2, 2))), digest(print)
    (64, 'unknown:builtins.print')
    """
    if isinstance(model, Identified):
        return model.identity
    if isinstance(model, Denoised) and (identity := digest(model.classifier)).startswith("unknown:"):
        return identity  # a hash of the denoiser alone would claim to cover the classifier too
    weights = model.state_dict() if hasattr(model, "state_dict") else {}
    if not weights:
        # a function or class has a name of its own, an object only that of its type
        kind = model if hasattr(model, "__qualname__") else type(model)
        return f"unknown:{kind.__module__}.{kind.__qualname__}"
    hashed = hashlib.sha256()
    # a module may add other objects to its state, which have no defined bytes
    add_tensors(hashed, {name: value for name, value in weights.items() if isinstance(value, torch.Tensor)})
    # such parts hold more than tensors, for example the range that images are mapped to
    for name, part in model.named_modules() if isinstance(model, nn.Module) else ():
        if isinstance(part, Identified):
            hashed.update(f"{name}\0{part.identity}\0".encode())
    return hashed.hexdigest()


def add_tensors(hashed: "hashlib._Hash", tensors: Mapping[str, torch.Tensor]) -> None:
    """Add names, types, shapes and bytes of tensors to a hash."""
    # sorted, so that the order in which layers are defined does not matter; \0 separates fields of any content
    for name, value in sorted(tensors.items()):
        tensor = value.detach().cpu().contiguous()
        hashed.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        # numpy has no bfloat16, but every type has bytes
        hashed.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())


def check_loaded(model: object) -> None:
    """Raise `InputError` for a module with weights on the meta device, or of a lazy layer before its first batch."""
    if not isinstance(model, nn.Module):
        return
    # buffers too: the statistics of batch normalisation are part of the classifier
    for name, value in itertools.chain(model.named_parameters(), model.named_buffers()):
        # torch's own errors would come later, from the digest, and name no weight
        if is_lazy(value):
            raise InputError(
                f"the model must have all of its weights, but {name} of a lazy layer has no shape yet: call the model "
                "once on a batch of images, then load its weights"
            )
        if value.is_meta:
            raise InputError(
                f"the model must have all of its weights, but {name} is on the meta device, which holds no numbers: "
                "load the weights onto a processor or a GPU"
            )
