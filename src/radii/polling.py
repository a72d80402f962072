"""The loop that asks a model about noisy copies: micro-batches of one size, counted draws, counts."""

import copy
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from radii.agenda import Agenda, Copies
from radii.asking import Ask
from radii.data.base import DataSet
from radii.devices import check_compiler
from radii.errors import InputError
from radii.fingerprints import fingerprints
from radii.lattice import draw_levels
from radii.noises import GREY_LEVELS, Independent, Listed, Noise
from radii.streams import Stream

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

    def __getitem__(self, rows: slice) -> "Examples":
        """Some of them."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, images=self.images[rows], labels=labels, index=self.index[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.images.shape[1:]

    @cached_property
    def fingerprints(self) -> np.ndarray:
        """By which the images are known again, int64 `(images,)`."""
        rows = (slice(row, row + 1) for row in range(len(self)))
        return np.concatenate([fingerprints(self.clean(one)) for one in rows])

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

    def clean(self, rows: np.ndarray | slice) -> np.ndarray:
        """Images without noise, float32 in [0, 1]."""
        images = self.images[rows]
        return images / np.float32(255) if images.dtype == np.uint8 else images


@dataclass(frozen=True)
class Law:
    """How noisy copies are made: under one seed, for one purpose, besides selection.

    `exact`: the noise is rounded to a lattice on which it can be added without rounding to images that are bytes.
    """

    noise: Noise
    seed: int
    purpose: str = "bound"
    exact: bool = False


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
        raise InputError(
            f"images must lie in [0, 1]; found {array.min():g} to {array.max():g}: rescale them, and "
            "declare what the model takes, as input_range, mean and std of radii.load_model"
        )
    numbers = np.arange(len(array)) if index is None else _plain(index)
    truth = None if labels is None else _plain(labels)
    for name, values in (("index", numbers), ("labels", truth)):
        if values is not None and values.shape != (len(array),):
            raise InputError(
                f"{name} must be one number for each of the {len(array)} images; got {values.shape}"
            )
        if values is not None and values.dtype.kind not in "iu":
            raise InputError(f"{name} must be whole numbers; got {values.dtype}")
    if numbers.min() < 0 or len(np.unique(numbers)) < len(numbers):
        raise InputError("index must be positions, none below 0, none twice")
    return Examples(array.astype(np.float32, copy=False), truth, numbers)


def examples_in(
    images: Tensor | np.ndarray | DataSet,
    labels: Tensor | np.ndarray | None,
    index: Tensor | np.ndarray | None,
) -> Examples:
    """Arrays, tensors or a data set as what is polled."""
    if not isinstance(images, DataSet):
        return examples_from(images, labels, index)
    if labels is not None or index is not None:
        raise InputError("a data set brings its own labels and positions: leave out labels and index")
    return examples_of(images)


def prepare(model: Ask, precision: str, shape: tuple[int, ...], fuse: bool = False) -> Ask:
    """The model as it is polled: a copy in its precision and the fastest memory layout, on its own device.

    `fuse`: with its layers fused by torch.compile, around weights that are fixed from then on.
    """
    if not isinstance(model, nn.Module):
        return model
    if learning := [(name, part) for name, part in model.named_modules() if part.training]:
        name, part = next(filter(_depends, learning), learning[0])
        raise InputError(
            f"the model is in training mode ({f'{type(part).__name__} {name}'.strip()}), where answers depend on the "
            "rest of the batch or on luck: call model.eval()"
        )
    first = next(itertools.chain(model.parameters(), model.buffers()), torch.zeros(0))
    dtype = getattr(torch, precision)
    layout = torch.channels_last if len(shape) == 3 else torch.preserve_format
    own = copy.deepcopy(model).to(dtype).to(memory_format=layout)  # type: ignore[call-overload]
    if fuse:
        check_compiler(first.device)
        own = torch.compile(own, dynamic=False, options={"freezing": True})
    return lambda noisy: own(noisy.to(first.device, dtype, memory_format=layout))


def _depends(named: tuple[str, nn.Module]) -> bool:
    """Whether a layer in training mode does more than its parts."""
    return "Norm" in (kind := type(named[1]).__name__) or "Drop" in kind


def poll(
    ask: Ask, examples: Examples, law: Law, agenda: Agenda, rows: int, report: Callable[[int], None]
) -> None:
    """Follow the agenda to its end, in micro-batches of `rows` copies; `report` is told how many were used."""
    with torch.inference_mode():
        for copies, noisy in noisy_batches(examples, law, agenda, rows):
            logits = ask(torch.from_numpy(noisy))[: len(copies)]
            # one transfer: what is not finite is no class
            winners = logits.argmax(1).masked_fill_(~torch.isfinite(logits).all(1), -1).cpu().numpy()
            if (winners < 0).any():
                raise _not_finite(examples.index[copies.rows[winners < 0][0]])
            agenda.record(copies, winners)
            report(len(copies))


def noisy_batches(
    examples: Examples, law: Law, agenda: Agenda, rows: int
) -> Iterator[tuple[Copies, np.ndarray]]:
    """Micro-batches: which copies, and their images with noise `(rows, *shape)`, reused, the last rows left over.

    The answers to one must be on the agenda before the next is asked for.
    """
    shape = (rows, *law.noise.seen(examples.shape))
    free = deque(np.zeros(shape, dtype=np.float32) for _ in range(WORKERS + 1))
    waiting: deque[tuple[Copies, np.ndarray, Future]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        while True:
            # part of a micro-batch is worth its time only when nothing else can be done meanwhile
            while free and (copies := agenda.take(rows, whole=bool(waiting))):
                buffer = free.popleft()
                waiting.append((copies, buffer, pool.submit(_fill, buffer, examples, law, copies)))
            if not waiting:
                return
            copies, buffer, filled = waiting.popleft()
            try:
                filled.result()
            except MemoryError:
                # the model, which is at rest now, had taken all of it
                _fill(buffer, examples, law, copies)
            yield copies, buffer
            free.append(buffer)


def _fill(buffer: np.ndarray, examples: Examples, law: Law, copies: Copies) -> None:
    """Noisy copies into the first rows of the buffer."""
    noisy = buffer[: len(copies)]
    for purpose, mine in {"select": copies.selects, law.purpose: ~copies.selects}.items():
        if mine.any():
            noisy[mine] = _perturbed(examples, law, purpose, copies.rows[mine], copies.draws[mine])


def _perturbed(examples: Examples, law: Law, purpose: str, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Noisy copies `(copies, *seen)` of the images in `rows`, by draws number `draws`."""
    stream = Stream(law.seed, purpose).at(examples.index[rows].tolist(), draws.tolist())
    if isinstance(law.noise, Listed):
        return law.noise.outcome(examples.clean(rows), draws)
    if not law.exact:
        return law.noise.perturb(examples.clean(rows), stream)
    assert isinstance(law.noise, Independent)
    levels = draw_levels(law.noise, stream, (len(rows), *examples.shape))
    np.add(examples.images[rows], levels, out=levels)
    return np.divide(levels, np.float32(GREY_LEVELS), out=levels)


def first_copies(examples: Examples, law: Law) -> np.ndarray:
    """The first noisy copy of each image, as a model under this law is shown it, `(images, *seen)`."""
    rows = np.arange(len(examples))
    return _perturbed(examples, law, law.purpose, rows, np.zeros_like(rows))


def _not_finite(image: int) -> InputError:
    return InputError(
        f"the model gives NaN or infinite logits on a noisy copy of image {image}: that is no vote"
    )


def _plain(values: Tensor | np.ndarray) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
