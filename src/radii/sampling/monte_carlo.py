"""Noisy copies in micro-batches, drawn by the processor beside the model, or before it where that takes all cores."""

import copy
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from radii.data.examples import Examples
from radii.errors import InputError
from radii.models.adapters.preprocess import innermost
from radii.models.digest import Identified
from radii.noises import GREY_LEVELS, EnumerableNoise, Noise, ProductNoise
from radii.noises.lattice import draw_levels
from radii.noises.streams import Stream
from radii.sampling.model_call import Ask
from radii.sampling.scheduler import Agenda, Copies

WORKERS = max(1, min(4, (os.cpu_count() or 1) // 2))
"""Threads that draw noise while the model runs; numpy lets go of the interpreter lock meanwhile."""

PIECE = 8
"""Copies that a thread draws at least where all cores draw: for fewer, handing them over takes longer."""


@dataclass(frozen=True)
class NoiseSpec:
    """How noisy copies are made: under one seed, for one purpose, besides selection.

    `exact`: the noise is rounded to a lattice on which it can be added without rounding to images that are bytes.
    """

    noise: Noise
    seed: int
    purpose: str = "bound"
    exact: bool = False


def noisy_batches(
    examples: Examples, law: NoiseSpec, agenda: Agenda, rows: int, cores: int = 0
) -> Iterator[tuple[Copies, np.ndarray]]:
    """Micro-batches: which copies, and their images with noise `(rows, *shape)`, reused, the last rows left over.

    `cores`: how many of this machine the model keeps busy. The answers to one micro-batch must be on the agenda before
    the next is asked for.
    """
    shape = (rows, *law.noise.output_shape(examples.shape))
    if cores > 1:
        return _drawn_first(examples, law, agenda, shape, cores)
    return _drawn_beside(examples, law, agenda, shape)


def _drawn_first(
    examples: Examples, law: NoiseSpec, agenda: Agenda, shape: tuple[int, ...], cores: int
) -> Iterator[tuple[Copies, np.ndarray]]:
    """All cores draw, then all of them run the model.

    A thread that draws while the model runs holds up one of the model's, and the model's others wait for that one after
    every layer.
    """
    buffer = np.zeros(shape, dtype=np.float32)
    with ThreadPoolExecutor(cores - 1) as pool:
        while copies := agenda.take(shape[0], whole=False):
            size = max(PIECE, -(-len(copies) // cores))
            first, *others = (slice(start, start + size) for start in range(0, len(copies), size))
            filled = [pool.submit(_fill, buffer[part], examples, law, copies[part]) for part in others]
            _fill(buffer[first], examples, law, copies[first])
            for one in filled:
                one.result()
            yield copies, buffer


def _drawn_beside(
    examples: Examples, law: NoiseSpec, agenda: Agenda, shape: tuple[int, ...]
) -> Iterator[tuple[Copies, np.ndarray]]:
    """Some threads draw the next micro-batches while the model runs."""
    rows = shape[0]
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


def _fill(buffer: np.ndarray, examples: Examples, law: NoiseSpec, copies: Copies) -> None:
    """Noisy copies into the first rows of the buffer."""
    noisy = buffer[: len(copies)]
    for purpose, mine in {"select": copies.selects, law.purpose: ~copies.selects}.items():
        if mine.any():
            noisy[mine] = _perturbed(examples, law, purpose, copies.rows[mine], copies.draws[mine])


def _perturbed(
    examples: Examples, law: NoiseSpec, purpose: str, rows: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """Noisy copies `(copies, *seen)` of the images in `rows`, by draws number `draws`."""
    stream = Stream(law.seed, purpose).at(examples.index[rows].tolist(), draws.tolist())
    if isinstance(law.noise, EnumerableNoise):
        return law.noise.outcome(examples.clean(rows), draws)
    if not law.exact:
        return law.noise.perturb(examples.clean(rows), stream)
    assert isinstance(law.noise, ProductNoise)
    levels = draw_levels(law.noise, stream, (len(rows), *examples.shape))
    np.add(examples.images[rows], levels, out=levels)
    return np.divide(levels, np.float32(GREY_LEVELS), out=levels)


def first_copies(examples: Examples, law: NoiseSpec, count: int | None = None) -> np.ndarray:
    """Return the first noise sample of each image, `(images, *seen)`, as a model under this law receives it.

    With `count`, return that many noise samples: the first of each image, then the second, and so on.
    """
    draws, rows = np.divmod(np.arange(len(examples) if count is None else count), len(examples))
    return _perturbed(examples, law, law.purpose, rows, draws % (law.noise.outcomes or len(draws)))


def unused(model: Ask) -> Ask:
    """Return the model, or a copy of one that is no module, so that its state is not that of other queries.

    A module is copied by `prepare`. A plain function has no state of its own, and what `load_model` made of a file, an
    address or an estimator is taken to have none; what cannot be copied is returned as it is.
    """
    if isinstance(model, nn.Module) or isinstance(innermost(model), Identified):
        return model
    try:
        return copy.deepcopy(model)
    except Exception:  # of locks, connections and whatever else objects may hold
        return model


def poll(
    ask: Ask,
    examples: Examples,
    law: NoiseSpec,
    agenda: Agenda,
    rows: int,
    report: Callable[[int], None],
    cores: int = 0,
) -> None:
    """Follow the agenda to its end, in micro-batches of `rows` copies; `report` is told how many were used.

    `cores`: how many of this machine the model keeps busy, 0 if it runs elsewhere or that is not known.
    """
    with torch.inference_mode():
        for copies, noisy in noisy_batches(examples, law, agenda, rows, cores):
            logits = ask(torch.from_numpy(noisy))[: len(copies)]
            # one transfer; the largest logit shows NaN, +inf, and a row of -inf alone, which are no votes
            winners = logits.argmax(1).masked_fill_(~torch.isfinite(logits.amax(1)), -1).cpu().numpy()
            if (winners < 0).any():
                raise _not_finite(examples.index[copies.rows[winners < 0][0]])
            agenda.record(copies, winners)
            report(len(copies))


def _not_finite(image: int) -> InputError:
    return InputError(
        f"the model gives NaN or infinite logits on a noisy copy of image {image}: that is no vote; -inf may switch "
        "off some of the classes, and not all"
    )
