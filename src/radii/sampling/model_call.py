"""Queries of a model: in a precision, in batches that fit into memory, with checked logits."""

import copy
import itertools
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from radii.errors import InputError, RadiiWarning
from radii.models.adapters.outputs import check_same_classes, logits_in
from radii.models.adapters.preprocess import unwrap
from radii.models.devices import check_compiler
from radii.models.digest import Identified
from radii.storage.memory import is_out_of_memory

BaseClassifier = Callable[[Tensor], Tensor]
"""From images `(batch, *shape)` to logits `(batch, classes)`."""

LEAST_ROWS = 8
"""Fewest images in one query: single ones would take other kernels, with other rounding."""


class WithinMemory:
    """A model that is queried in parts of a batch once a whole batch has not fitted into memory.

    `classes`: the number of logits that every answer must have; 0 for that of the first answer.
    """

    def __init__(self, model: BaseClassifier, classes: int = 0) -> None:
        self._model, self.classes = model, classes
        self.pieces = 1

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits `(images, classes)`; raise `InputError` if too few images fit into memory."""
        # `pieces` only grows, and `_halve` ends the loop where parts become too small
        while True:
            pieces = min(self.pieces, len(images))
            try:
                return torch.cat([self._logits(part) for part in images.tensor_split(pieces)])
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(len(images), error)

    def _logits(self, images: Tensor) -> Tensor:
        logits = logits_of(self._model, images)
        self.classes = self.classes or logits.shape[1]
        check_same_classes(self.classes, logits.shape[1])
        return logits

    def _halve(self, images: int, error: BaseException) -> None:
        # for good: trying the whole batch each time would cost a failed query
        self.pieces *= 2
        if (rows := images // self.pieces) < LEAST_ROWS:
            raise InputError(
                f"not enough memory to query the model on {2 * rows} images at a time: free some memory"
            ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(
            RadiiWarning(f"out of memory: continuing with {rows} images in one query of the model"),
            stacklevel=2,
        )


def logits_of(model: BaseClassifier, images: Tensor) -> Tensor:
    """Return the logits of a model, `(batch, classes)`; raise `InputError` if it returns anything else."""
    logits = logits_in(model(images))
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    # one number per image first: the fix, a declared output, is another one than for other shapes
    if isinstance(logits, Tensor) and shape in ((len(images),), (len(images), 1)):
        raise InputError(
            f"the model must return logits (batch, classes) of at least two classes; got {shape}: if it is a binary "
            "model, declare its output, binary= or --binary logit or probability"
        )
    if (
        not isinstance(logits, Tensor)
        or logits.ndim != 2
        or len(logits) != len(images)
        or not logits.shape[1]
    ):
        raise InputError(
            f"the model must return logits (batch, classes) = ({len(images)}, ...), as a torch tensor; got {shape}"
        )
    check_numbers(logits)
    return logits


def check_numbers(logits: Tensor) -> None:
    """Raise `InputError` for logits that are not real numbers, or come from a model without weights."""
    if logits.dtype == torch.bool or logits.is_complex():
        raise InputError(
            f"the model must return logits as real numbers; got {logits.dtype}: return the scores, without a "
            "comparison or a threshold"
        )
    if logits.is_meta:
        raise InputError(
            "the model must return logits as numbers, but they are on the meta device, which holds none: load its "
            "weights onto a processor or a GPU"
        )


def prepare(
    model: BaseClassifier, precision: str, shape: tuple[int, ...], fuse: bool = False
) -> BaseClassifier:
    """Return a copy of a module in the precision and the fastest memory layout, on its own device.

    A model that is not a module is returned unchanged. `fuse`: layers are fused by torch.compile, with weights as
    constants. Raises `InputError` for a module in training mode.
    """
    # other models cannot be cast or copied in general, and takes float32 images as they are
    if not isinstance(model, nn.Module):
        return model
    # A layer whose mode matters is named if there is one; any layer in training mode is an error, since functions
    # inside a module may depend on the mode, too.
    if training := [(name, layer) for name, layer in model.named_modules() if layer.training]:
        name, layer = next(filter(_depends_on_mode, training), training[0])
        raise InputError(
            f"the model is in training mode ({f'{type(layer).__name__} {name}'.strip()}), where logits depend on "
            "the rest of the batch or on chance: call model.eval()"
        )
    device = next(itertools.chain(model.parameters(), model.buffers()), torch.zeros(0)).device
    dtype = getattr(torch, precision)
    # channels last is the order in which convolutions are fastest
    layout = torch.channels_last if len(shape) == 3 else torch.preserve_format
    # a copy, so that later changes of the weights have no effect on the votes
    prepared = copy.deepcopy(model).to(dtype).to(memory_format=layout)  # type: ignore[call-overload]
    if fuse:
        check_compiler(device)
        # every batch of a run has the same size, so kernels need not be dynamic; constant weights can be folded into
        # them
        prepared = torch.compile(prepared, dynamic=False, options={"freezing": True})
    return lambda noisy: prepared(noisy.to(device, dtype, memory_format=layout))


def unused(model: BaseClassifier) -> BaseClassifier:
    """Return a copy of a model that is not a module, so that it carries no state from other queries.

    `prepare` copies modules. Models that `load_model` made of a file, an address or an estimator are assumed to have no
    state. These, and models that cannot be copied, are returned unchanged.
    """
    if isinstance(model, nn.Module) or isinstance(unwrap(model), Identified):
        return model
    try:
        return copy.deepcopy(model)
    # objects may hold locks, connections and more, and raise anything
    except Exception:
        return model


def _depends_on_mode(named_layer: tuple[str, nn.Module]) -> bool:
    """Return whether a layer is itself a normalization or dropout, by its name, not just a container."""
    return "Norm" in (kind := type(named_layer[1]).__name__) or "Drop" in kind
