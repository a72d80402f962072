"""Check, before and during the sampling, that the logits of an image depend on this image alone.

A certificate is about one function of an image. A model whose logits depend on the rest of the batch, or on earlier
queries, is not such a function: another batch size or another order of the work gives other votes.
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
from radii.votes import INPUTS, Canary, canary_of, canary_pixels

# Measured: at most 6e-7 in float32 for models that round otherwise in another row of a batch; at least 0.02 for models
# that depend on their batch (docs/log.md). In bfloat16 a single rounding is up to 0.002, and the networks here change
# by nothing.
ROUNDING = {"float32": 1e-3, "bfloat16": 0.05}
"""Largest change of logits from rounding between batches of one size, relative to the largest logit."""

OTHER_SIZE = {"float32": 0.02, "bfloat16": 0.25}
"""The same between batch sizes, which can have other kernels: a GPU may round products to 11 bits in one of them."""

FAR = 4
"""How far out extreme companions lie, in units of the farthest noise sample: a run of millions reaches that."""

SMALL_PART = 0.01
"""Part of the largest logit up to which differences between logits are dominated by its rounding."""

FEW = 6
"""Noise samples among the extreme companions; they are repeated to fill a batch."""

EVERY = 500
"""Batches from one re-check of a run to the next: re-checks take less than 0.5 % of all queries."""

LEAST_BETWEEN = 250
"""Batches per re-check, at least, with those at the end of short runs; only the first may come earlier."""

# For 512 CIFAR-10 images, the whole batch takes 0.7 ms in one thread, the window 0.04 ms.
WINDOW = 16
"""Rows of a batch among which the farthest from [0, 1] is kept."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Noise samples whose logits must be the same in every batch, and companions that fill up the batches.

    Parameters
    ----------
    samples : `(rows // 2, *output_shape)` for batches of `rows`
    inputs : `(INPUTS, *output_shape)`, those of the canary, among the usual companions
    usual : noise samples as a run has them
    dark : `(few, *output_shape)`, a batch without tails, which shifts its means and quantiles
    far : `(few, *output_shape)`, as far out as noise reaches, on both sides
    """

    samples: Tensor
    inputs: Tensor
    usual: Tensor
    dark: Tensor
    far: Tensor

    @property
    def rows(self) -> int:
        """The number of rows of a batch."""
        return len(self.samples) + len(self.usual)


def make_probe(noisy: NoisyImages, rows: int) -> Probe:
    """Return noise samples of the images for batches of `rows`, and companions of each kind."""
    drawn = noisy.first(rows)
    black_white = replace(noisy, data=_black_and_white(noisy.data.shape))
    clean, perturbed = black_white.data.images(), black_white.first()
    # every second image is black
    dark, far = perturbed[::2], perturbed
    # only additive noise can be scaled: models for other noise may reject anything but its samples
    if isinstance(noisy.noise, Additive):
        # a white image, shifts of all features at once, which move means, and scaled noise, which moves extremes
        reach = FAR * np.abs(drawn - 0.5).max()
        dark = clean[:1]
        far = np.concatenate(
            [clean[1:2], clean[:1] - reach, clean[1:2] + reach, clean + FAR * (perturbed - clean)]
        )
    samples, usual = _tensor(drawn).tensor_split([rows // 2])
    # of one seed, and of images that are no part of the run: every run with this model has the same
    fixed = DataSet(canary_pixels(noisy.data.shape), None, np.arange(INPUTS))
    inputs = replace(noisy, data=fixed, seed=0, purpose="predict").first()
    return Probe(samples, _tensor(inputs), usual, _tensor(dark), _tensor(far))


def _black_and_white(shape: tuple[int, ...]) -> DataSet:
    """Return black and white images in turn."""
    pixels = np.zeros((FEW, *shape), np.uint8)
    pixels[1::2] = 255
    return DataSet(pixels, None, np.arange(FEW))


def _tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32))


def random_images(shape: tuple[int, ...]) -> DataSet:
    """Return a few images of random bytes, to prepare a model before the images of the run are known."""
    # always the same, so that a model is accepted or rejected alike each time
    pixels = np.random.default_rng(0).integers(0, 256, (FEW, *shape), dtype=np.uint8)
    return DataSet(pixels, None, np.arange(FEW))


def check_independent(
    new_copy: Callable[[], WithinMemory], probe: Probe, precision: str, alone: bool = True
) -> tuple[WithinMemory, Tensor, Canary]:
    """Check that the logits of the probe's samples are the same in every batch; return model, logits and canary.

    One copy of the model is queried on all samples: among usual companions, among far ones, and among the usual ones
    again. Before, another copy is queried on the half of them with the least noise, among dark companions, so that what
    a model keeps of its first batch shows. With `alone`, this copy is also queried on a single sample, if it accepts
    one. Dark and far companions take every second row, so that statistics over parts of a batch change as well.

    `new_copy` returns a copy of the model without earlier queries, if it can be copied. Raises `InputError` where
    logits change by more than rounding; a smaller change gives a `RadiiWarning`.
    """
    bound, samples, rows = ROUNDING[precision], probe.samples, probe.rows
    positions = torch.arange(len(samples))
    # under heavy tails the samples themselves hold the extremes, beside which dark companions would change nothing
    calm = distance(samples).argsort()[: len(samples) // 2]
    other = new_copy()
    # every second row: samples side by side would share statistics over parts of a batch (ghost normalization)
    dark = query(other, samples[calm], probe.dark, 2 * positions[: len(calm)] + 1, rows)
    single = _query_alone(other, samples[calm[:1]]) if alone else None
    classes = other.classes
    # on a GPU, a copy takes the memory of the weights once more
    del other
    # usual companions before and after the far ones: what a model keeps of the far ones shows in the last query
    model = new_copy()
    model.classes = classes
    # with the inputs of the canary, so that they take no query of their own
    with_inputs, place = torch.cat([samples, probe.inputs]), torch.arange(len(samples) + INPUTS)
    before = query(model, with_inputs, probe.usual, place, rows)
    far = query(model, samples, probe.far, 2 * positions.flip(0), rows)
    after = query(model, with_inputs, probe.usual, place, rows)
    first, answers = before.tensor_split([len(samples)])
    changes = [
        check_same(before, after, bound, "when the same batch was queried again"),
        check_same(first[calm], dark, bound, "beside other images in the batch"),
        check_same(first, far, bound, "beside other images in the batch"),
    ]
    if single is not None:
        # with the other samples, since changes are relative to the logits of the median image
        with_single = torch.cat([single, first[calm[1:]]])
        check_same(first[calm], with_single, OTHER_SIZE[precision], "in a batch of one image")
    if max(changes) > 0:
        warnings.warn(
            RadiiWarning(
                "the last digits of the model's logits depend on how images are put together into batches: work that "
                "is split differently can give another vote where two classes are equally likely"
            ),
            stacklevel=2,
        )
    return model, first, canary_of(answers.numpy())


def _query_alone(model: WithinMemory, sample: Tensor) -> Tensor | None:
    """Return the logits of a sample in a batch of one, `(1, classes)`, or None where the model does not accept it."""
    try:
        with torch.inference_mode():
            return model(sample.clone()).float().cpu()
    # any exception: a model for batches of one size is as good, since all batches of a run have the same
    except Exception:
        return None


def distance(images: Tensor) -> Tensor:
    """Return the distance of the farthest feature of each image from the centre of [0, 1], `(images,)`."""
    return (images - 0.5).abs().flatten(1).amax(1)


def query(model: WithinMemory, samples: Tensor, beside: Tensor, positions: Tensor, rows: int) -> Tensor:
    """Return the logits of `samples` in one batch of `rows` images, float32 `(samples, classes)` on the processor.

    `positions`, `(samples,)`: their rows in the batch; `beside`, repeated, fills the others.
    """
    # the batch is a new tensor, and so is what is returned: models may write into both
    batch = beside[torch.arange(rows) % len(beside)]
    batch[positions] = samples
    with torch.inference_mode():
        return model(batch)[positions].float().cpu().clone()


def check_same(first: Tensor, again: Tensor, bound: float, when: str) -> float:
    """Return the relative change of logits; raise `InputError`, which says `when`, if it is above `bound`."""
    change = _change(first, again)
    if change > bound:
        raise InputError(
            f"the model must give an image the same logits in every batch, but they changed {when}: call model.eval(), "
            "which switches off batch statistics and dropout, quantize statically instead of dynamically, and keep no "
            "state between calls"
        )
    return change


def _change(first: Tensor, again: Tensor) -> float:
    """Return the larger of two relative changes; 0 only where all logits are the same, or NaN or infinite in both.

    The first is of single logits, relative to the largest logit of the image, or of the median image if that is larger.
    The second is of the differences between logits, which decide votes, relative to the largest difference, for the
    median image. It finds changes that are small beside a large part which all logits have in common.
    """
    # equal infinities have a difference of NaN, and NaN equals nothing: neither is a change. What is infinite on one
    # side only is an infinite change.
    same = (first == again) | (first.isnan() & again.isnan())
    change = torch.where(same, 0, first - again).nan_to_num(torch.inf, torch.inf, -torch.inf)
    # not below that of the median image, or the rounding of an image with tiny logits would count as a change
    size = first.nan_to_num(0, 0, 0).abs().amax(1)
    single = _ratio(change.abs().amax(1), size.clamp(min=size.median())).max()
    # classes that are switched off by -inf have no difference to others
    finite = first.isfinite()
    spread = _spread(first, finite).clamp(min=SMALL_PART * size)
    return float(torch.maximum(single, _ratio(_spread(change, finite), spread).median()))


def _spread(values: Tensor, finite: Tensor) -> Tensor:
    """Return the largest difference between the `finite` values of each row; 0 without any."""
    least = values.masked_fill(~finite, torch.inf).amin(1)
    return (values.masked_fill(~finite, -torch.inf).amax(1) - least).nan_to_num(0).clamp(min=0)


def _ratio(change: Tensor, size: Tensor) -> Tensor:
    # no change is 0 even where the size is 0
    return torch.where(change > 0, change / size, 0)


class RecheckedModel:
    """A model that is checked again now and then while it is sampled; its logits pass through unchanged.

    A noise sample of every few batches is kept with its logits. After `EVERY` batches, and at the end of a run, those
    and some of the probe are queried again, elsewhere in a batch, among extreme companions. Which samples are kept
    depends on the number of batches, never on time. Several threads may share a model.

    Raises `InputError` where logits changed by more than rounding, and from then on for every batch.
    """

    def __init__(self, model: WithinMemory, probe: Probe, first: Tensor, precision: str) -> None:
        self.classes = first.shape[1]
        self._model, self._probe, self._precision = model, probe, precision
        # a re-check takes every second row of a batch: half of these for samples of the run, half for the probe
        self._pieces, self._most_kept = model.pieces, probe.rows // 4
        # samples from before the run show a slow drift, which those kept since the last re-check may not
        self._known = list(zip(probe.samples, first, strict=True))[: self._most_kept]
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._batches = self._checks = 0
        self._failure = ""
        self._lock = threading.Lock()

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits `(rows, classes)` of a batch of `rows` images."""
        # votes since the last re-check that passed may be wrong already, so no thread may go on
        if self._failure:
            raise InputError(self._failure)
        # each number is given once, also where threads share the model, so that no re-check is skipped
        with self._lock:
            number = self._batches
            self._batches += 1
        # as rarely as fills the re-check once in `EVERY` batches
        if number % -(-EVERY // self._most_kept):
            logits = self._model(images)
        else:
            row = _farthest(images, number)
            # before the query: the model may write into its images
            sample = images[row].clone()
            logits = self._model(images)
            self._kept.append((sample, logits[row].float().cpu().clone()))
        if number % EVERY == EVERY - 1:
            self._recheck()
        return logits

    def finish(self) -> None:
        """Re-check at the end of a run, unless re-checks would come too often over many short runs."""
        if self._kept and self._checks < max(1, self._batches // LEAST_BETWEEN):
            self._recheck()

    def _recheck(self) -> None:
        """Query again the kept samples, and the first ones of the probe, whose logits are those before the run."""
        # the lock covers the exchange alone: other threads go on while this one queries
        with self._lock:
            kept, self._kept = self._kept, []
            self._checks += 1
            beside = self._probe.far if self._checks % 2 else self._probe.dark
        # from the last row down, so that samples stand elsewhere than in their first batch
        rows = self._probe.rows
        samples, first = map(torch.stack, zip(*[*kept, *self._known][: rows // 2], strict=True))
        again = query(self._model, samples, beside, rows - 1 - 2 * torch.arange(len(samples)), rows)
        # a model that ran out of memory is queried in smaller batches from then on
        bounds = ROUNDING if self._model.pieces == self._pieces else OTHER_SIZE
        try:
            check_same(
                first, again, bounds[self._precision], "when noise samples of this run were queried again"
            )
        except InputError as error:
            self._failure = f"{error}; then sample all votes again"
            raise InputError(self._failure) from error


def _farthest(images: Tensor, number: int) -> int:
    """Return the row farthest from [0, 1] in a window that moves with the batch `number`.

    Samples from heavy tails show most clearly that logits depend on the rest of a batch.
    """
    start = number * WINDOW % len(images)
    return start + int(distance(images[start : start + WINDOW]).argmax())
