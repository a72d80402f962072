"""Logits that depend on one image alone, checked before the sampling.

A certificate is about one function of an image. A model whose logits depend on the rest of the batch, or on earlier
queries, is no such function: another batch size or another order of the work gives other votes.
"""

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from radii.data.dataset import DataSet
from radii.errors import InputError, RadiiWarning
from radii.noises import Additive
from radii.sampling.model_call import WithinMemory
from radii.sampling.monte_carlo import NoisyImages

ROUNDING = {"float32": 1e-3, "bfloat16": 0.05}
"""The largest change of logits that rounding can cause in batches of one size, relative to the largest logit."""

OTHER_SIZE = {"float32": 0.02, "bfloat16": 0.25}
"""The same between batch sizes, which can have other kernels: a GPU may round products to 11 bits in one of them."""

FAR = 4
"""Extreme companions lie this many times as far out as the noise samples do: a run of millions reaches that."""

SMALL_PART = 0.01
"""Differences between logits that are smaller than this part of the largest logit count as this part."""
FEW = 6
"""Noise samples among the extreme companions; they are repeated to fill a batch."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Noise samples whose logits must be the same in every batch, and the companions beside which they are queried.

    `samples`: `(rows // 2, *seen)` for batches of `rows`. `usual`: noise samples as a run has them, which fill the
    batch. `dark`: `(few, *seen)`, which leave a batch without tails and shift its means and quantiles. `far`:
    `(few, *seen)`, as far out as the noise reaches, on both sides.
    """

    samples: Tensor
    usual: Tensor
    dark: Tensor
    far: Tensor

    @property
    def rows(self) -> int:
        """The size of a batch."""
        return len(self.samples) + len(self.usual)


def make_probe(noisy: NoisyImages, rows: int) -> Probe:
    """Return noise samples of the images for batches of `rows`, and companions of both kinds."""
    drawn = noisy.first(rows)
    black_white = replace(noisy, data=_alternating(noisy.data.shape))
    clean, perturbed = black_white.data.images(), black_white.first()
    dark, far = perturbed[::2], perturbed
    if isinstance(noisy.noise, Additive):
        # other noise is not added, and its models may take nothing but its samples
        reach = FAR * np.abs(drawn - 0.5).max()
        dark = clean[:1]
        far = np.concatenate(
            [clean[1:2], clean[:1] - reach, clean[1:2] + reach, clean + FAR * (perturbed - clean)]
        )
    samples, usual = _tensor(drawn).tensor_split([rows // 2])
    return Probe(samples, usual, _tensor(dark), _tensor(far))


def _alternating(shape: tuple[int, ...]) -> DataSet:
    """Black and white images in turn."""
    pixels = np.zeros((FEW, *shape), np.uint8)
    pixels[1::2] = 255
    return DataSet(pixels, None, np.arange(FEW))


def _tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32))


def made_up(shape: tuple[int, ...]) -> DataSet:
    """Return a few images of random bytes, for a model that is made ready before the images of the run are known."""
    pixels = np.random.default_rng(0).integers(0, 256, (FEW, *shape), dtype=np.uint8)
    return DataSet(pixels, None, np.arange(FEW))


def check_independent(
    fresh: Callable[[], WithinMemory], probe: Probe, precision: str, alone: bool = True
) -> tuple[WithinMemory, Tensor]:
    """Return a copy of the model, and its logits of the samples, which must be the same in every batch.

    One copy is queried about the samples side by side in a usual batch, about all of them beside far companions, and
    about the usual batch again. Another copy is first queried about the half of them with the least noise beside dark
    companions, so that what a model keeps of its first batch shows; then, with `alone`, about one sample by itself, if
    the model takes that. Beside dark and far companions every second row is a companion, so that statistics of parts of
    a batch change as well. `fresh` makes a copy without earlier queries, where the model can be copied.

    Raises `InputError` where logits change by more than rounding; a smaller change is a `RadiiWarning`.
    """
    bound, samples, rows = ROUNDING[precision], probe.samples, probe.rows
    places = torch.arange(len(samples))
    calm = distance(samples).argsort()[: len(samples) // 2]
    other = fresh()
    dark = query(other, samples[calm], probe.dark, 2 * places[: len(calm)] + 1, rows)
    single = _by_itself(other, samples[calm[:1]]) if alone else None
    del other  # on a GPU, a copy takes the memory of the weights once more
    model = fresh()
    first = query(model, samples, probe.usual, places, rows)
    far = query(model, samples, probe.far, 2 * places.flip(0), rows)
    again = query(model, samples, probe.usual, places, rows)
    changes = [
        check_same(first, again, bound, "when the same batch was queried again"),
        check_same(first[calm], dark, bound, "beside other images in the batch"),
        check_same(first, far, bound, "beside other images in the batch"),
    ]
    if single is not None and single.shape[1] == first.shape[1]:
        others = first[calm[1:]]
        check_same(first[calm], torch.cat([single, others]), OTHER_SIZE[precision], "in a batch of one image")
    if max(changes) > 0:
        warnings.warn(
            RadiiWarning(
                "the last digits of the model's answers depend on how images are put together into batches: work that "
                "is split in another way can give another vote where two classes are equally likely"
            ),
            stacklevel=2,
        )
    return model, first


def _by_itself(model: WithinMemory, sample: Tensor) -> Tensor | None:
    """The logits of a sample in a batch of its own, `(1, classes)`, or None where the model does not take one."""
    try:
        with torch.inference_mode():
            return model(sample.clone()).float().cpu()
    except Exception:  # a model for batches of one size, or of several images, is as good: a run has one size
        return None


def distance(images: Tensor) -> Tensor:
    """Return how far the farthest feature of each image lies from the middle of [0, 1], `(images,)`."""
    return (images - 0.5).abs().flatten(1).amax(1)


def query(model: WithinMemory, samples: Tensor, beside: Tensor, places: Tensor, rows: int) -> Tensor:
    """Return the logits of `samples`, float32 `(samples, classes)` on the processor, in one batch of `rows` images.

    `places`, `(samples,)`: their rows in the batch; `beside`, repeated, fills the others.
    """
    # the batch is a new tensor, and so is what is returned: models may write into both
    batch = beside[torch.arange(rows) % len(beside)]
    batch[places] = samples
    with torch.inference_mode():
        return model(batch)[places].float().cpu().clone()


def check_same(first: Tensor, again: Tensor, bound: float, when: str) -> float:
    """Return the change of logits, relative to their size, where it is at most `bound`.

    Raises `InputError`, with `when` it happened, for a larger one.
    """
    change = _change(first, again)
    if change > bound:
        raise InputError(
            f"the model must give an image the same logits in every batch, but they changed {when}: call model.eval(), "
            "which switches off batch statistics and dropout, quantize statically instead of dynamically, and keep no "
            "state between calls"
        )
    return change


def _change(first: Tensor, again: Tensor) -> float:
    """The larger of two relative changes; 0 only where all logits are the same, or no numbers in both.

    Of single logits, relative to the largest logit of the image, or of the median image if that is larger; and for the
    median image, of the differences between logits, which decide votes, relative to the largest difference. The second
    finds changes that are small beside a large part which all logits have in common.
    """
    same = (first == again) | (first.isnan() & again.isnan())
    change = torch.where(same, 0, first - again).nan_to_num(torch.inf, torch.inf, -torch.inf)
    size = first.nan_to_num(0, 0, 0).abs().amax(1)
    single = _ratio(change.abs().amax(1), size.clamp(min=size.median())).max()
    finite = first.isfinite()
    spread = _spread(first, finite).clamp(min=SMALL_PART * size)
    return float(torch.maximum(single, _ratio(_spread(change, finite), spread).median()))


def _spread(values: Tensor, finite: Tensor) -> Tensor:
    """The largest difference between the values of a row where `finite`; 0 without any."""
    least = values.masked_fill(~finite, torch.inf).amin(1)
    return (values.masked_fill(~finite, -torch.inf).amax(1) - least).nan_to_num(0).clamp(min=0)


def _ratio(change: Tensor, size: Tensor) -> Tensor:
    return torch.where(change > 0, change / size, 0)


EVERY = 500
"""Batches between two re-checks during a run."""

LEAST_BETWEEN = 250
"""Batches for each re-check at least, those at the end of short runs included; only the first comes at any time."""

LOOKED_THROUGH = 16
"""Rows of a batch of which the one farthest outside [0, 1] is kept."""


class Rechecked:
    """A model whose logits pass through unchanged, and are compared now and then with later ones.

    A noise sample of every few batches is kept with its logits. After `EVERY` batches, and at the end of a run, those
    and some of the probe are queried again: elsewhere in a batch, beside extreme companions. Which samples these are
    follows from the number of batches, never from time. Several threads may share a model.

    Raises `InputError` where logits changed by more than rounding, and from then on for every batch.
    """

    def __init__(self, model: WithinMemory, probe: Probe, first: Tensor, precision: str) -> None:
        self.classes = first.shape[1]
        self._model, self._probe, self._precision = model, probe, precision
        self._pieces, self._room = model.pieces, probe.rows // 4
        self._known = list(zip(probe.samples, first, strict=True))[: self._room]
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._batches = self._checks = 0
        self._failed = ""
        self._lock = threading.Lock()

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits `(rows, classes)` of a batch of `rows` images."""
        if self._failed:
            raise InputError(self._failed)
        with self._lock:
            number = self._batches
            self._batches += 1
        if number % -(-EVERY // self._room):
            logits = self._model(images)
        else:
            row = _farthest(images, number)
            sample = images[row].clone()  # before the model, which may write into its images
            logits = self._model(images)
            self._kept.append((sample, logits[row].float().cpu().clone()))
        if number % EVERY == EVERY - 1:
            self._recheck()
        return logits

    def finish(self) -> None:
        """Re-check at the end of a run, unless that would exceed the cost."""
        if self._kept and self._checks < max(1, self._batches // LEAST_BETWEEN):
            self._recheck()

    def _recheck(self) -> None:
        """Query again what was kept, and the first samples of the probe, whose logits are those before the run."""
        with self._lock:
            kept, self._kept = self._kept, []
            self._checks += 1
            beside = self._probe.far if self._checks % 2 else self._probe.dark
        rows = self._probe.rows
        samples, first = map(torch.stack, zip(*[*kept, *self._known][: rows // 2], strict=True))
        again = query(self._model, samples, beside, rows - 1 - 2 * torch.arange(len(samples)), rows)
        # a batch that ran out of memory is queried in smaller ones from then on
        bounds = ROUNDING if self._model.pieces == self._pieces else OTHER_SIZE
        try:
            check_same(
                first, again, bounds[self._precision], "when noise samples of this run were queried again"
            )
        except InputError as error:
            self._failed = f"{error}; then sample all votes again"
            raise InputError(self._failed) from error


def _farthest(images: Tensor, number: int) -> int:
    """The row farthest outside [0, 1], of a few in another place for each number: heavy tails show most."""
    start = number * LOOKED_THROUGH % len(images)
    return start + int(distance(images[start : start + LOOKED_THROUGH]).argmax())
