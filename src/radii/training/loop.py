"""The training loop: augmented images, fresh noise at every step, SGD with a schedule, averaged weights, metrics."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import update_bn

from radii.data.dataset import DataSet
from radii.errors import InputError
from radii.models import Denoised, digest, is_denoiser, make_model
from radii.models.devices import (
    TensorSource,
    best_device,
    check_compiler,
    has_bfloat16,
    limit_threads,
    repeatable,
)
from radii.storage.atomic import check_writable
from radii.storage.owner import Owner, owned
from radii.training.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from radii.training.distributed import Processes, together
from radii.training.losses import LOSSES, MIXES_CLEAN_IMAGES, WITHOUT_NOISE, NoiseSampler, check_noise
from radii.training.recipe import SCHEDULES, Recipe
from radii.training.run_folder import WEIGHTS, Config, save_config, save_metrics, save_model

TrainingProgress = Callable[[int, int, dict[str, float]], object]
"""Called after each step as `progress(done, total, metrics)`, in images; the metrics are those of the last epoch."""

BORDER = 4
"""Largest shift of an augmented image in pixels, as is usual for CIFAR-10."""

STATISTICS = 100
"""Batches from which the statistics of averaged weights are estimated.

With 128 images each, the standard error of a mean is at most 1 / sqrt(12800) = 0.9 % of the standard deviation.
"""

FOLDER = "tensorboard"
ALONE = Processes()


def train(
    recipe: Recipe,
    data: DataSet,
    folder: str | Path,
    progress: TrainingProgress | None = None,
    device: torch.device | None = None,
    classifier: nn.Module | None = None,
) -> nn.Module:
    """Train a model by its recipe and write the run folder.

    Parameters
    ----------
    recipe
        Settings of the training.
    data
        Training images with labels.
    folder
        Run folder for config.json, metrics.csv and model.safetensors.
    progress
        Called after each step as `progress(done, total, metrics)`, in images.
    device
        By default a GPU, or the processor without one.
    classifier
        For a denoiser, the classifier behind it, which is not changed; the recipe stores its digest.

    Returns
    -------
    torch.nn.Module
        Trained model in evaluation mode.

    Raises
    ------
    InputError
        If the folder holds a trained model or another unfinished training, another process trains there, the recipe
        does not fit the images, or the loss diverges.

    Notes
    -----
    Noise is added in image units, after augmentation and before normalisation, which is the first layer of the model.
    The statistics of batch normalisation are therefore those of noisy images. A checkpoint is written after each epoch,
    from which the same call continues. The weights are written last, so a folder that contains them is complete. While
    it trains, the process owns the folder (`owner.json` in it).

    Guarantee: a recipe gives the same weights on the same device with the same number of threads, however often the
    training was interrupted. Processes that torchrun started share every batch; their number counts as part of the
    device.
    """
    folder, device = Path(folder), device or best_device()
    _check_untrained(folder)
    if is_denoiser(recipe.model) != (classifier is not None):
        raise InputError(
            f"a denoiser, and nothing else, is trained in front of a classifier; got {recipe.model} "
            f"{'with' if classifier else 'without'} one"
        )
    if classifier is not None:
        recipe = replace(recipe, classifier=digest(classifier))
    with together(device) as processes:
        # everything in the recipe is built, and so checked, before a file is written
        loop = Loop(recipe, data, device, processes, classifier)
        # of all processes the first one writes
        if processes.rank:
            return _train(loop, data, folder, progress, None)
        with owned(folder) as owner:
            # again, since another training may have ended here meanwhile
            _check_untrained(folder)
            return _train(loop, data, folder, progress, owner)


def _check_untrained(folder: Path) -> None:
    if (folder / WEIGHTS).exists():
        raise InputError(f"{folder} already holds a trained model: choose another folder or remove it")


def _train(
    loop: "Loop", data: DataSet, folder: Path, progress: TrainingProgress | None, owner: Owner | None
) -> nn.Module:
    recipe = loop.recipe
    config = Config(recipe, data.shape, data.classes, data.description)
    # before config.json is written, so that another training in this folder is rejected and stays as it is
    rows, state = load_checkpoint(folder, config, loop.kind) or ([], None)
    if state is not None:
        loop.restore(state, len(rows))
    if owner:
        save_config(folder, config)
        check_writable(folder / WEIGHTS)  # now, not after hours of training

    def report(images: int) -> None:
        if progress is not None and owner:
            done = len(rows) * len(data) + images
            progress(done, recipe.epochs * len(data), rows[-1] if rows else {})

    # the base classifier, since the network behind a denoiser, often the larger one, runs in each step too
    threads = limit_threads(loop.base_classifier)
    with threads, repeatable(), tensorboard(folder if owner else None, len(rows)) as record:
        for epoch in range(len(rows) + 1, recipe.epochs + 1):
            rows.append({"epoch": epoch, **loop.epoch(report)})
            # all processes take part, since the state holds the random numbers of each
            state = loop.state()
            # the checkpoint first: metrics are made of its rows, never the other way round
            if owner:
                owner.check()
                save_checkpoint(folder, config, loop.kind, rows, state)
                save_metrics(folder, rows)
            record(rows[-1])
            report(0)
        model = loop.finish()
    if owner:
        owner.check()
        # again, because a process killed after its last checkpoint had not written the last row
        save_metrics(folder, rows)
        # again, because two processes may have taken over a stale folder at the same moment, and one of them ended
        save_config(folder, config)
        # the checkpoint goes last: a kill in between must not cost the training
        save_model(folder, model, config)
        remove_checkpoint(folder)
    return model


@contextmanager
def tensorboard(folder: Path | None, epochs: int) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Yield a function that records metrics in `folder`/tensorboard; it does nothing without TensorBoard or folder.

    `epochs`: number of finished epochs. Later ones in the folder are of a training that was killed, and are dropped.
    """
    if folder is None or find_spec("tensorboard") is None:
        yield lambda metrics: None
        return
    # imported here, since the package is optional
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / FOLDER), purge_step=epochs + 1) as writer:

        def record(metrics: Mapping[str, float]) -> None:
            for name, value in metrics.items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(metrics["epoch"]))
            writer.flush()  # to be seen during the training; by default events are held back for two minutes

        yield record


class Loop:
    """State of a training: the model, its optimizer, and the random numbers still to come."""

    def __init__(
        self,
        recipe: Recipe,
        data: DataSet,
        device: torch.device,
        processes: Processes = ALONE,
        classifier: nn.Module | None = None,
    ) -> None:
        noise = recipe.law()
        check_noise(recipe.loss, noise, data.shape)
        self.recipe = recipe
        self.loss = partial(LOSSES[recipe.loss], **recipe.options)
        assert data.labels is not None
        # all images stay on the device, as bytes where they can be, so that no step waits for a copy
        self.pixels, self.labels = (
            torch.from_numpy(values).to(device) for values in (data.pixels, data.labels)
        )
        self.processes = processes
        self.kind = device.type if processes.count == 1 else f"{device.type} x {processes.count}"
        # a seed for each process, or all would add the same noise to their shares of a batch
        self.source = TensorSource(processes.seed(recipe.seed), device)
        self.sampler = NoiseSampler(noise, self.source)
        self.bfloat16 = has_bfloat16(device)
        # torch initialises weights from its global generator, whose state belongs to the caller
        with torch.random.fork_rng():
            # one seed for all processes: only gradients are exchanged, so they must start from the same weights
            torch.manual_seed(recipe.seed)
            model = make_model(recipe.model, noise.output_shape(data.shape), len(data.classes)).to(device)
        # convolutions are fastest in this memory format
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.base_classifier = self.model
        if classifier is not None:
            # a copy, since mode, device and gradients are those of the caller
            behind = copy.deepcopy(classifier).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.base_classifier = Denoised(self.model, behind.eval().requires_grad_(False))
        self.compiled = self.compile() if recipe.compile else self.base_classifier
        # Nesterov momentum of 0.9, as Zagoruyko & Komodakis (2016) train wide ResNets
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay, nesterov=True
        )
        self.full_batch = len(processes.share(torch.arange(recipe.batch))[0])
        self.steps_per_epoch = math.ceil(len(data) / recipe.batch)
        self.steps = 0
        self.schedule = SCHEDULES[recipe.schedule]
        self.average = Average(self.model, recipe.average) if recipe.average else None

    def compile(self) -> nn.Module:
        """Return the base classifier, with the same weights, compiled for batches of one size."""
        check_compiler(self.labels.device)
        return torch.compile(self.base_classifier, dynamic=False)  # type: ignore[return-value]

    def state(self) -> dict[str, Tensor]:
        """Return all that the rest of the training depends on, besides the recipe and the number of epochs done."""
        # by name: the optimizer's own state_dict numbers the weights, so that those of another model may seem to fit
        momentum = {
            name: self.optimizer.state[weight]["momentum_buffer"]
            for name, weight in self.model.named_parameters()
        }
        parts = {"model": self.model.state_dict(), "momentum": momentum}
        if self.average:
            parts["average"] = self.average.weights
        tensors = {
            f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()
        }
        generators = self.processes.gather(self.source.generator.get_state(), self.labels.device)
        return {**tensors, **{f"random.{rank}": generator for rank, generator in enumerate(generators)}}

    def restore(self, state: dict[str, Tensor], epochs: int) -> None:
        """Continue from the `state` after `epochs` epochs; raise `InputError` if it is that of another model."""

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(f"{name}."): state[key] for key in state if key.startswith(f"{name}.")}

        try:
            self.model.load_state_dict(part("model"))
            for name, weight in self.model.named_parameters():
                # like the weight, so that device and memory format are those of the model
                momentum = torch.empty_like(weight, requires_grad=False).copy_(part("momentum")[name])
                self.optimizer.state[weight]["momentum_buffer"] = momentum
                if self.average:
                    self.average.weights[name].copy_(part("average")[name])
            self.source.generator.set_state(state[f"random.{self.processes.rank}"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise InputError(
                f"the checkpoint does not fit {self.recipe.model}: remove it to start again"
            ) from error
        self.steps = epochs * self.steps_per_epoch

    def epoch(self, report: Callable[[int], None]) -> dict[str, float]:
        """Train on every image once, in random order, and return loss and accuracy on the noisy images on the way.

        `report` is called with the number of images done after each step but the last.
        """
        self.model.train()
        start = time.perf_counter()
        size = len(self.labels)
        order = torch.randperm(size, generator=self.source.generator, device=self.labels.device)
        # a permutation of the first process for all, since their random numbers differ
        # summed on the device: reading a number at each step would make a GPU wait
        totals = torch.zeros(2, device=self.labels.device)
        done = 0
        for batch in self.processes.same(order).split(self.recipe.batch):
            # at the start of the next step: after the last one, the metrics of the epoch are reported too
            if done:
                report(done)
            done += len(batch)
            rows, weight = self.processes.share(batch)
            loss, logits = self.step(self.pixels[rows], self.labels[rows], weight)
            correct = (logits.argmax(1) == self.labels[rows]).float().mean()
            totals += torch.stack([loss, correct]) * weight * len(batch)
        # before the state is saved: it has the statistics of the first process, from which all would continue
        self.processes.mean_statistics(self.model)
        mean, accuracy = (self.processes.sum(totals) / size).tolist()
        # before the state is saved, so that the last checkpoint is one from before the divergence
        if not math.isfinite(mean):
            raise InputError(f"training diverged (loss {mean}): lower lr, now {self.recipe.lr}")
        seconds = time.perf_counter() - start
        return {
            "loss": mean,
            "accuracy": accuracy,
            "images_per_second": size / seconds,
            "seconds": seconds,
        }

    def finish(self) -> nn.Module:
        """Return the trained model in evaluation mode, with averaged weights if the recipe asks for them."""
        if self.average:
            self.average.copy_to(self.model)
        if self.average or self.recipe.loss in MIXES_CLEAN_IMAGES:
            # the statistics so far are those of the last weights, or of clean images too (Izmailov et al. 2018)
            # in the precision of the training, whose rounding is part of the statistics
            with self.autocast():
                update_bn(self.batches(), self.model)
        # each process has estimated statistics on noise of its own
        for value in self.model.state_dict().values():
            self.processes.same(value)
        # rounded as in the file, so that the returned model and the stored one have the same digest
        return self.model.to(getattr(torch, self.recipe.storage)).float().eval()

    def batches(self) -> Iterator[Tensor]:
        """Yield batches of training images under noise; without it if the method trains for clean images."""
        order = torch.randperm(len(self.labels), generator=self.source.generator, device=self.labels.device)
        for rows in order.split(self.recipe.batch)[:STATISTICS]:
            images = self.images(self.pixels[rows])
            yield images if self.recipe.loss in WITHOUT_NOISE else self.sampler(images)

    def images(self, pixels: Tensor) -> Tensor:
        """Return images in [0, 1], augmented if the recipe says so."""
        # cropped as bytes, which take a quarter of the memory of floats
        if self.recipe.augment:
            pixels = crop_and_flip(pixels, self.source.generator)
        images = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        return images.contiguous(memory_format=torch.channels_last)

    def autocast(self) -> torch.autocast:
        """Return the context in which the model computes in bfloat16, if the device has instructions for it."""
        return torch.autocast(self.labels.device.type, torch.bfloat16, enabled=self.bfloat16)

    def step(self, pixels: Tensor, labels: Tensor, weight: float = 1.0) -> tuple[Tensor, Tensor]:
        """Take one step of the optimizer and return loss and logits.

        `weight`: weight of the loss on these images in the mean over all processes.
        """
        # from the number of steps, so that a checkpoint needs no state of a scheduler
        for group in self.optimizer.param_groups:
            factor = self.schedule(self.steps, self.recipe.epochs * self.steps_per_epoch)
            group["lr"] = self.recipe.lr * factor
        images = self.images(pixels)
        # the last batch of an epoch may be smaller, and compiling for another size takes longer than it saves
        model = self.compiled if len(images) == self.full_batch else self.base_classifier
        with self.autocast():
            loss, logits = self.loss(model, images, labels, self.sampler)
        self.optimizer.zero_grad()
        (loss * weight).backward()
        self.processes.sum_gradients(self.model)
        self.optimizer.step()
        self.steps += 1
        if self.average:
            self.average.update(self.model, self.steps)
        return loss.detach(), logits.detach()


def crop_and_flip(pixels: Tensor, generator: Generator) -> Tensor:
    """Return images `(batch, channels, height, width)` shifted by up to `BORDER` pixels, half of them mirrored.

    Beyond the border, images are reflected: black edges would be a clue that test images do not have.
    """
    batch, channels, height, width = pixels.shape

    def pick(choices: int) -> Tensor:
        return torch.randint(choices, (batch, 1), generator=generator, device=pixels.device)

    def shifted(size: int) -> Tensor:
        positions = pick(2 * BORDER + 1) - BORDER + torch.arange(size, device=pixels.device)
        # reflected at 0, then at size - 1, without repeating the border itself
        return (size - 1 - (size - 1 - positions.abs()).abs()).abs()

    rows, columns = shifted(height), shifted(width)
    columns = torch.where(pick(2) == 1, columns.flip(1), columns)
    # one gather for the whole batch, without a loop over images
    image = torch.arange(batch, device=pixels.device)[:, None, None, None]
    channel = torch.arange(channels, device=pixels.device)[None, :, None, None]
    return pixels[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


class Average:
    """Exponential moving average of a model's weights (Polyak and Juditsky 1992; Tarvainen and Valpola 2017)."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    def update(self, model: nn.Module, steps: int) -> None:
        """Include the weights after `steps` steps of the optimizer."""
        # at first over fewer steps, so that the initial weights are soon forgotten: the ramp of TensorFlow's average
        decay = min(self.decay, steps / (steps + 9))
        # one call for all weights, where a loop would launch a GPU kernel for each
        new = [weight.detach() for weight in model.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), new, 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Copy the averaged weights into the model, whose batch statistics stay those of its last weights."""
        for name, weight in model.named_parameters():
            weight.copy_(self.weights[name])
