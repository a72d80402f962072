"""The Monte Carlo loop: draw noise samples of images, query the model in batches, count the votes.

Noise is drawn by the processor while the model runs, or before it where the model takes all cores.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from radii.data.dataset import DataSet
from radii.errors import InputError
from radii.noises import GREY_LEVELS, EnumerableNoise, Noise, ProductNoise
from radii.noises.lattice import draw_levels, levels_of
from radii.noises.streams import Stream
from radii.sampling.model_call import BaseClassifier
from radii.sampling.scheduler import NoiseSamples, Scheduler

THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))
"""Threads that draw noise while the model runs; numpy releases the interpreter lock meanwhile."""

LEAST = 8
"""Noise samples per thread where all cores draw, at least: handing over fewer takes longer than drawing them."""


@dataclass(frozen=True, eq=False)
class NoisyImages:
    """Images under noise, from a seed, for a purpose besides selection.

    `exact`: noise lies on a lattice, on which its sum with 8-bit images needs no rounding.
    """

    data: DataSet
    noise: Noise
    seed: int
    purpose: str = "bound"
    exact: bool = False

    def __post_init__(self) -> None:
        # once for all samples: `levels_of` rejects images that are not whole grey levels
        if self.exact or self.noise.of_bytes:
            object.__setattr__(self, "data", replace(self.data, pixels=levels_of(self.data.pixels)))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of one noise sample, as the model receives it."""
        return self.noise.output_shape(self.data.shape)

    def first(self, count: int | None = None) -> np.ndarray:
        """Return the first noise sample of each image, `(images, *output_shape)`, as the model receives it.

        With `count`, return that many noise samples: the first of each image, then the second, and so on.
        """
        # by image first: a few samples then show as many images as possible
        images = len(self.data)
        draws, rows = np.divmod(np.arange(images if count is None else count), images)
        return self._draw(self.purpose, rows, draws % (self.noise.outcomes or len(draws)))

    def fill(self, buffer: np.ndarray, samples: NoiseSamples) -> None:
        """Draw noise samples into the first rows of a buffer `(rows, *output_shape)`."""
        # rows beyond hold samples of an earlier batch: the model gets a full batch, whose size selects its kernels
        noisy = buffer[: len(samples)]
        for purpose, mask in {"select": samples.selects, self.purpose: ~samples.selects}.items():
            if mask.any():
                noisy[mask] = self._draw(purpose, samples.rows[mask], samples.draws[mask])

    def _draw(self, purpose: str, rows: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Return draws number `draws` of the images in `rows`, `(samples, *output_shape)`."""
        # a stream of its own for each call, as threads must not share one
        stream = Stream(self.seed, purpose).at(self.data.index[rows].tolist(), draws.tolist())
        if isinstance(self.noise, EnumerableNoise):
            return self.noise.outcome(self.data.images(rows), draws)
        if not self.exact:
            return self.noise.perturb(self.data.images(rows), stream)
        assert isinstance(self.noise, ProductNoise)
        # in place, without further arrays of the size of a batch
        levels = draw_levels(self.noise, stream, (len(rows), *self.data.shape))
        np.add(self.data.pixels[rows], levels, out=levels)
        return np.divide(levels, np.float32(GREY_LEVELS), out=levels)

    def batches(
        self, scheduler: Scheduler, rows: int, cores: int = 0
    ) -> Iterator[tuple[NoiseSamples, np.ndarray]]:
        """Yield batches: which noise samples, and a buffer `(rows, *output_shape)` whose first rows hold them.

        Buffers are reused, so the votes of a batch must be recorded before the next one is requested. `cores`: how many
        cores of this machine the model keeps busy.
        """
        buffer = (rows, *self.output_shape)
        return self._in_turn(scheduler, buffer, cores) if cores > 1 else self._beside(scheduler, buffer)

    def _in_turn(
        self, scheduler: Scheduler, shape: tuple[int, ...], cores: int
    ) -> Iterator[tuple[NoiseSamples, np.ndarray]]:
        """Draw on all cores, then let all of them run the model.

        A thread that draws while the model runs holds up one of the model's threads, and the others wait for that one
        after every layer.
        """
        buffer = np.zeros(shape, dtype=np.float32)
        with ThreadPoolExecutor(cores - 1) as pool:
            while samples := scheduler.take(shape[0], whole=False):
                # this thread takes a part as well, and would otherwise only wait
                size = max(LEAST, -(-len(samples) // cores))
                first, *others = (slice(start, start + size) for start in range(0, len(samples), size))
                filled = [pool.submit(self.fill, buffer[part], samples[part]) for part in others]
                self.fill(buffer[first], samples[first])
                # what a thread raised would pass unnoticed otherwise
                for future in filled:
                    future.result()
                yield samples, buffer

    def _beside(
        self, scheduler: Scheduler, shape: tuple[int, ...]
    ) -> Iterator[tuple[NoiseSamples, np.ndarray]]:
        """Draw the next batches in a few threads while the model runs."""
        # one more than there are threads: the model reads one while the threads fill the others
        free = deque(np.zeros(shape, dtype=np.float32) for _ in range(THREADS + 1))
        waiting: deque[tuple[NoiseSamples, np.ndarray, Future]] = deque()
        with ThreadPoolExecutor(THREADS) as pool:
            while True:
                # part of a batch takes as long as a whole one, so it waits until nothing else is left to query
                while free and (samples := scheduler.take(shape[0], whole=bool(waiting))):
                    buffer = free.popleft()
                    waiting.append((samples, buffer, pool.submit(self.fill, buffer, samples)))
                if not waiting:
                    return
                # in the order of scheduling, whichever thread is first, so that re-checks keep the same samples each
                # time
                samples, buffer, filled = waiting.popleft()
                try:
                    filled.result()
                except MemoryError:
                    # the model had taken all memory; it is idle now
                    self.fill(buffer, samples)
                yield samples, buffer
                # only now: the caller is done with it when it requests the next batch
                free.append(buffer)


def count_votes(
    model: BaseClassifier,
    noisy: NoisyImages,
    scheduler: Scheduler,
    rows: int,
    report: Callable[[int], None],
    cores: int = 0,
) -> None:
    """Query the model in batches of `rows` noise samples until the scheduler has no more, and record the votes.

    `report` is called with the size of each batch. `cores`: how many cores of this machine the model keeps busy, 0 if
    it runs elsewhere or that is not known. Raises `InputError` for NaN or infinite logits.
    """
    with torch.inference_mode():
        for samples, buffer in noisy.batches(scheduler, rows, cores):
            logits = model(torch.from_numpy(buffer))[: len(samples)]
            # one transfer per batch; the largest logit shows NaN, +inf, and a row of -inf alone, which give no vote
            winners = logits.argmax(1).masked_fill_(~torch.isfinite(logits.amax(1)), -1).cpu().numpy()
            if (winners < 0).any():
                image = noisy.data.index[samples.rows[winners < 0][0]]
                raise InputError(
                    f"the model gives NaN or infinite logits on a noise sample of image {image}, and no class wins; "
                    "-inf may switch off some of the classes, but not all"
                )
            scheduler.record(samples, winners)
            report(len(samples))
