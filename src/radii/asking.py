"""How a model is asked: in pieces that fit into memory, and only if its answers about images are independent."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from radii.errors import InputError, Notice
from radii.memory import is_of_memory

Ask = Callable[[Tensor], Tensor]

LEAST_ROWS = 8
"""Fewer images in one call are not tried: single ones would take other kernels, with other rounding."""

ROUNDING = {"float32": 1e-3, "bfloat16": 0.05}
"""The most by which rounding can change a logit, in units of the largest: more depends on other images."""


class WithinMemory:
    """A model that is asked about part of a micro-batch at a time once the whole of it does not fit into memory."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._pieces = 1

    def __call__(self, images: Tensor) -> Tensor:
        """Logits `(images, classes)`."""
        while True:
            try:
                return torch.cat([logits_of(self._ask, part) for part in images.tensor_split(self._pieces)])
            except (MemoryError, RuntimeError) as error:
                if not is_of_memory(error):
                    raise
                self._halve(len(images), error)

    def _halve(self, images: int, error: BaseException) -> None:
        self._pieces *= 2
        if (rows := images // self._pieces) < LEAST_ROWS:
            raise InputError(
                f"not enough memory to ask the model about {2 * rows} images at a time: free some memory"
            ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(
            Notice(f"out of memory: going on with {rows} images in one call of the model"), stacklevel=2
        )


def check_independent(ask: Ask, shape: tuple[int, ...], rows: int, precision: str) -> int:
    """The number of classes of a model whose answer about an image is the same among whichever other images.

    Two micro-batches of made-up images: half of them are in both, at other places, beside other images. Batch
    normalisation in training mode and dropout are refused, since such votes would be about no one classifier; answers
    that differ by rounding are a notice.
    """
    mine = torch.from_numpy(np.random.default_rng(0).random((rows // 2, *shape), dtype=np.float32))
    with torch.inference_mode():
        first = (
            ask(torch.cat([mine, torch.zeros(rows - len(mine), *shape)]))[: len(mine)].float().cpu().clone()
        )
        again = ask(torch.cat([mine, mine, mine])[-rows:])[-len(mine) :].float().cpu()
    # classes that are switched off by -inf in both say nothing about rounding
    gap = float((first - again).abs().nan_to_num(nan=0.0, posinf=np.inf).max())
    size = float(first.abs().nan_to_num(nan=0.0, posinf=0.0).max())
    if gap > ROUNDING[precision] * size:
        raise InputError(
            "the model's answer about an image changes with the other images in its batch, or from call to call: "
            "switch off dropout and batch statistics, as model.eval() does"
        )
    if gap > 0:
        warnings.warn(
            Notice(
                "the last digits of the model's answers depend on how images are put together into batches: work that "
                "is split in another way can give another vote where two classes are equally likely"
            ),
            stacklevel=2,
        )
    return first.shape[1]


def logits_of(ask: Ask, images: Tensor) -> Tensor:
    """What the model answers, `(batch, classes)`; anything else is an error."""
    answer = ask(images)
    # classifiers of Hugging Face give logits among other things
    logits = getattr(answer, "logits", answer)
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if isinstance(logits, Tensor) and shape in ((len(images),), (len(images), 1)):
        raise InputError(
            f"the model must return logits (batch, classes) of at least two classes; got {shape}: if it is a binary "
            "model, say what its number is, binary= or --binary logit or probability"
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
    """Refuse answers that are not real numbers, or that a model without weights gives."""
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
