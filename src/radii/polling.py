"""The loop that asks a model about noisy copies: micro-batches of one size, counted draws, counts."""

import copy
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from radii.data.base import DataSet
from radii.devices import check_compiler
from radii.errors import InputError
from radii.lattice import GREY_LEVELS, draw_levels
from radii.noises import Noise
from radii.streams import Stream

Ask = Callable[[Tensor], Tensor]

WORKERS = max(1, min(4, (os.cpu_count() or 1) // 2))
"""Threads that draw noise while the model runs; numpy lets go of the interpreter lock meanwhile."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images to poll: float32 in [0, 1] or uint8 pixels `(images, *shape)`, and what is known about them."""

    images: np.ndarray
    labels: np.ndarray | None
    index: np.ndarray
    data: str = ""
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.images.shape[1:]

    def check_classes(self, classes: int) -> None:
        """Refuse a model whose number of logits does not fit what is known."""
        if self.classes and len(self.classes) != classes:
            raise InputError(
                f"the model gives {classes} logits, but {self.data} has {len(self.classes)} classes"
            )
        if self.labels is not None and not 0 <= self.labels.min() <= self.labels.max() < classes:
            raise InputError(
                f"labels must lie in 0..{classes - 1}, as the model gives {classes} logits; "
                f"found {self.labels.min()} to {self.labels.max()}"
            )

    def clean(self, rows: np.ndarray) -> np.ndarray:
        """Images without noise, float32 in [0, 1]."""
        images = self.images[rows]
        return images / np.float32(255) if images.dtype == np.uint8 else images


@dataclass(frozen=True)
class Draws:
    """Noisy copies to make of every image: draws `first` to `stop - 1` of one purpose under one seed.

    `exact`: the noise is rounded to a lattice on which it can be added without rounding to images that are bytes.
    """

    noise: Noise
    seed: int
    purpose: str
    first: int
    stop: int
    exact: bool = False

    @property
    def each(self) -> int:
        """Copies of each image."""
        return self.stop - self.first


def examples_of(data: DataSet) -> Examples:
    """A data set, with its true labels, positions and names."""
    return Examples(
        data.pixels.numpy(), data.labels.numpy(), data.index.numpy(), data.description, data.classes
    )


def examples_from(
    images: Tensor | np.ndarray, labels: Tensor | np.ndarray | None, index: Tensor | np.ndarray | None
) -> Examples:
    """Arrays or tensors, checked; positions are 0, 1, 2, ... unless given."""
    array = _plain(images)
    if array.ndim < 2 or not array.size:
        raise InputError(f"images must have the shape (images, *shape), at least one; got {array.shape}")
    if array.dtype.kind != "f":
        raise InputError(f"images must be real numbers in [0, 1], not {array.dtype}: divide bytes by 255")
    if not (array.min() >= 0 and array.max() <= 1):  # said this way round, NaN fails too
        raise InputError(f"images must lie in [0, 1]; found {array.min():g} to {array.max():g}: rescale them")
    numbers = np.arange(len(array)) if index is None else _plain(index)
    truth = None if labels is None else _plain(labels)
    for name, values in (("index", numbers), ("labels", truth)):
        if values is not None and values.shape != (len(array),):
            raise InputError(
                f"{name} must be one number for each of the {len(array)} images; got {values.shape}"
            )
        if values is not None and values.dtype.kind not in "iu":
            raise InputError(f"{name} must be whole numbers; got {values.dtype}")
    return Examples(array.astype(np.float32, copy=False), truth, numbers)


def prepare(model: Ask, precision: str, shape: tuple[int, ...], fuse: bool = False) -> Ask:
    """The model as it is polled: a copy in its precision and the fastest memory layout, on its own device.

    `fuse`: with its layers fused by torch.compile, around weights that are fixed from then on.
    """
    if not isinstance(model, nn.Module):
        return model
    if any(part.training for part in model.modules()):
        raise InputError(
            "the model is in training mode, where answers depend on the rest of the batch: call model.eval()"
        )
    first = next(itertools.chain(model.parameters(), model.buffers()), torch.zeros(0))
    dtype = getattr(torch, precision)
    layout = torch.channels_last if len(shape) == 3 else torch.preserve_format
    own = copy.deepcopy(model).to(dtype).to(memory_format=layout)  # type: ignore[call-overload]
    if fuse:
        check_compiler(first.device)
        own = torch.compile(own, dynamic=False, options={"freezing": True})
    return lambda noisy: own(noisy.to(first.device, dtype, memory_format=layout))


def count(ask: Ask, examples: Examples, draws: Draws, rows: int, report: Callable[[int], None]) -> np.ndarray:
    """How often each class wins for each image, int64 `(images, classes)`, in micro-batches of `rows` copies."""
    counts: Tensor | None = None
    with torch.inference_mode():
        for numbers, noisy in noisy_batches(examples, draws, rows):
            logits = ask(torch.from_numpy(noisy))
            if counts is None:
                classes = _classes(logits, rows)
                examples.check_classes(classes)
                counts = torch.zeros(len(examples), classes, dtype=torch.int64, device=logits.device)
            logits = logits[: len(numbers)]
            if not torch.isfinite(logits).all():
                raise _not_finite(logits, examples.index[numbers])
            images = torch.from_numpy(numbers).to(logits.device)
            counts.index_put_((images, logits.argmax(1)), counts.new_ones(()), accumulate=True)
            report(len(numbers))
    assert counts is not None
    return counts.cpu().numpy()


def noisy_batches(examples: Examples, draws: Draws, rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Micro-batches of noisy copies: rows of their images `(used,)`, and copies `(rows, *shape)`, reused.

    All copies of the first image come first. The last micro-batch is filled up with whatever was there.
    """
    total = len(examples) * draws.each
    starts = iter(range(0, total, rows))
    buffers = [np.zeros((rows, *examples.shape), dtype=np.float32) for _ in range(WORKERS + 1)]
    with ThreadPoolExecutor(WORKERS) as pool:

        def fill(buffer: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
            return _fill(buffer, examples, draws, np.arange(start, min(start + rows, total))), buffer

        waiting = [pool.submit(fill, buffer, start) for buffer, start in zip(buffers, starts, strict=False)]
        while waiting:
            numbers, buffer = waiting.pop(0).result()
            yield numbers, buffer
            for start in itertools.islice(starts, 1):
                waiting.append(pool.submit(fill, buffer, start))


def _fill(buffer: np.ndarray, examples: Examples, draws: Draws, copies: np.ndarray) -> np.ndarray:
    """Noisy copies number `copies` into the first rows of the buffer; the rows of their images."""
    numbers = copies // draws.each
    pairs = examples.index[numbers].tolist(), (draws.first + copies % draws.each).tolist()
    stream, shape = Stream(draws.seed, draws.purpose).at(*pairs), (len(copies), *examples.shape)
    noisy = buffer[: len(copies)]
    if draws.exact:
        np.add(examples.images[numbers], draw_levels(draws.noise, stream, shape), out=noisy)
        np.divide(noisy, np.float32(GREY_LEVELS), out=noisy)
    else:
        np.add(examples.clean(numbers), draws.noise.draw(stream, shape), out=noisy)
    return numbers


def _classes(logits: Tensor, rows: int) -> int:
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != rows or not logits.shape[1]:
        raise InputError(f"the model must return logits (batch, classes) = ({rows}, ...); got {shape}")
    return logits.shape[1]


def _not_finite(logits: Tensor, index: np.ndarray) -> InputError:
    wrong = int((~torch.isfinite(logits)).any(1).nonzero()[0, 0])
    return InputError(
        f"the model gives NaN or infinite logits on a noisy copy of image {index[wrong]}: that is no vote"
    )


def _plain(values: Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
