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
from radii.training.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from radii.training.distributed import Processes, together
from radii.training.losses import LOSSES, SEE_CLEAN_IMAGES, WITHOUT_NOISE, Draw, check_noise
from radii.training.optimization import SCHEDULES, Average
from radii.training.recipe import Recipe
from radii.training.run_folder import WEIGHTS, Config, save_config, save_metrics, save_model

FOLDER = "tensorboard"


@contextmanager
def events(folder: Path | None, epochs: int) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Record the metrics of each epoch in `folder`/tensorboard; nothing without TensorBoard or a folder.

    `epochs`: those that are already done; later ones in old files are of a training that was killed, and void.
    """
    if folder is None or find_spec("tensorboard") is None:
        yield lambda metrics: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / FOLDER), purge_step=epochs + 1) as writer:

        def record(metrics: Mapping[str, float]) -> None:
            for name, value in metrics.items():
                if name != "epoch":
                    writer.add_scalar(name, value, int(metrics["epoch"]))
            writer.flush()

        yield record


BORDER = 4


def crop_and_flip(pixels: Tensor, generator: Generator) -> Tensor:
    """Each image `(batch, channels, height, width)` moved by up to 4 pixels, half of them mirrored.

    What lies beyond the border is the image's own reflection: black edges would be a clue that tests do not have.
    """
    batch, channels, height, width = pixels.shape

    def pick(choices: int) -> Tensor:
        return torch.randint(choices, (batch, 1), generator=generator, device=pixels.device)

    def moved(size: int) -> Tensor:
        places = pick(2 * BORDER + 1) - BORDER + torch.arange(size, device=pixels.device)
        return (size - 1 - (size - 1 - places.abs()).abs()).abs()

    rows, columns = moved(height), moved(width)
    columns = torch.where(pick(2) == 1, columns.flip(1), columns)
    image = torch.arange(batch, device=pixels.device)[:, None, None, None]
    channel = torch.arange(channels, device=pixels.device)[None, :, None, None]
    return pixels[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


TrainingProgress = Callable[[int, int, dict[str, float]], object]
"""Called after each step as `progress(done, total, metrics)`, in images; the metrics are those of the last epoch."""
ALONE = Processes()

STATISTICS = 100
"""Batches from which the statistics of averaged weights are estimated."""


def train(
    recipe: Recipe,
    data: DataSet,
    folder: str | Path,
    progress: TrainingProgress | None = None,
    device: torch.device | None = None,
    classifier: nn.Module | None = None,
) -> nn.Module:
    """Train a model by its recipe and write the run folder: config.json, metrics.csv, model.safetensors.

    Every image is seen under fresh noise in image units, after any augmentation and before the normalisation
    that is the model's first layer; batch normalisation so learns the statistics of noisy images. After each epoch
    all is kept in a checkpoint, from which the same call continues. The weights are written last, and the checkpoint
    is removed: a folder that has weights is complete. Returns the model in evaluation mode.

    `classifier`: for a denoiser, what it stands in front of; it stays as it is, and the run names it by its digest.

    Guarantee: the same recipe gives the same weights on the same device with the same number of threads, however
    often the training was killed and started again. Processes that torchrun started share every batch; their number
    counts as part of the device.
    """
    folder, place = Path(folder), device or best_device()
    if (folder / WEIGHTS).exists():
        raise InputError(f"{folder} already holds a trained model: choose another folder or remove it")
    if is_denoiser(recipe.model) != (classifier is not None):
        raise InputError(
            f"a denoiser, and nothing else, is trained in front of a classifier; got {recipe.model} "
            f"{'with' if classifier else 'without'} one"
        )
    if classifier is not None:
        recipe = replace(recipe, classifier=digest(classifier))
    with together(place) as processes:
        return _train(Loop(recipe, data, place, processes, classifier), data, folder, progress)


def _train(loop: "Loop", data: DataSet, folder: Path, progress: TrainingProgress | None) -> nn.Module:
    # what the recipe asks for was built before anything is written
    recipe, first = loop.recipe, loop.processes.rank == 0
    config = Config(recipe, data.shape, data.classes, data.description)
    rows, state = load_checkpoint(folder, config, loop.kind) or ([], None)
    if state is not None:
        loop.restore(state, len(rows))
    if first:
        save_config(folder, config)
        check_writable(folder / WEIGHTS)

    def report(images: int) -> None:
        if progress is not None and first:
            done = len(rows) * len(data) + images
            progress(done, recipe.epochs * len(data), rows[-1] if rows else {})

    with limit_threads(loop.model), repeatable(), events(folder if first else None, len(rows)) as record:
        for epoch in range(len(rows) + 1, recipe.epochs + 1):
            rows.append({"epoch": epoch, **loop.epoch(report)})
            state = loop.state()
            if first:
                save_checkpoint(folder, config, loop.kind, rows, state)
                save_metrics(folder, rows)
            record(rows[-1])
            report(0)
        model = loop.finish()
    if first:
        save_metrics(folder, rows)
        save_model(folder, model, config)
        remove_checkpoint(folder)
    return model


class Loop:
    """A training under way: the model, its optimizer, and the random numbers still to come."""

    def __init__(
        self,
        recipe: Recipe,
        data: DataSet,
        device: torch.device,
        processes: Processes = ALONE,
        classifier: nn.Module | None = None,
    ) -> None:
        check_noise(recipe.loss, recipe.law(), data.shape)
        self.recipe = recipe
        self.loss = partial(LOSSES[recipe.loss], **recipe.options)
        assert data.labels is not None
        self.pixels, self.labels = (
            torch.from_numpy(values).to(device) for values in (data.pixels, data.labels)
        )
        self.processes = processes
        self.kind = device.type if processes.count == 1 else f"{device.type} x {processes.count}"
        self.source = TensorSource(processes.seed(recipe.seed), device)
        self.draw = Draw(recipe.law(), self.source)
        self.fast = has_bfloat16(device)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed)
            model = make_model(recipe.model, recipe.law().output_shape(data.shape), len(data.classes)).to(
                device
            )
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.asked = self.model
        if classifier is not None:
            behind = copy.deepcopy(classifier).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.asked = Denoised(self.model, behind.eval().requires_grad_(False))
        self.compiled = self.compile() if recipe.compile else self.asked
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay, nesterov=True
        )
        self.share = len(processes.share(torch.arange(recipe.batch))[0])
        self.steps_per_epoch = math.ceil(len(data) / recipe.batch)
        self.steps = 0
        self.rate = SCHEDULES[recipe.schedule]
        self.average = Average(self.model, recipe.average) if recipe.average else None

    def compile(self) -> nn.Module:
        """The model with fused layers, of the same weights, for batches of one size."""
        check_compiler(self.labels.device)
        return torch.compile(self.asked, dynamic=False)  # type: ignore[return-value]

    def state(self) -> dict[str, Tensor]:
        """All that the rest of the training depends on, besides the recipe and the number of epochs done."""
        momentum = {
            name: self.optimizer.state[weight]["momentum_buffer"]
            for name, weight in self.model.named_parameters()
        }
        parts = {"model": self.model.state_dict(), "momentum": momentum}
        if self.average:
            parts["average"] = self.average.weights
        named = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        random = self.processes.gather(self.source.generator.get_state(), self.labels.device)
        return {**named, **{f"random.{rank}": kept for rank, kept in enumerate(random)}}

    def restore(self, state: dict[str, Tensor], epochs: int) -> None:
        """Go on from `state`, which was taken after so many epochs."""

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(f"{name}."): state[key] for key in state if key.startswith(f"{name}.")}

        try:
            self.model.load_state_dict(part("model"))
            for name, weight in self.model.named_parameters():
                kept = torch.empty_like(weight, requires_grad=False).copy_(part("momentum")[name])
                self.optimizer.state[weight]["momentum_buffer"] = kept
                if self.average:
                    self.average.weights[name].copy_(part("average")[name])
            self.source.generator.set_state(state[f"random.{self.processes.rank}"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise InputError(
                f"the checkpoint does not fit {self.recipe.model}: remove it to start again"
            ) from error
        self.steps = epochs * self.steps_per_epoch

    def epoch(self, report: Callable[[int], None]) -> dict[str, float]:
        """Every image once, in random order; loss and accuracy are those of the noisy images while training.

        `report` is called with the number of images seen after each step but the last.
        """
        self.model.train()
        start = time.perf_counter()
        size = len(self.labels)
        order = torch.randperm(size, generator=self.source.generator, device=self.labels.device)
        totals = torch.zeros(2, device=self.labels.device)
        seen = 0
        for rows in self.processes.same(order).split(self.recipe.batch):
            if seen:
                report(seen)
            seen += len(rows)
            mine, weight = self.processes.share(rows)
            loss, logits = self.step(self.pixels[mine], self.labels[mine], weight)
            right = (logits.argmax(1) == self.labels[mine]).float().mean()
            totals += torch.stack([loss, right]) * weight * len(rows)
        self.processes.mean_statistics(self.model)
        mean, accuracy = (self.processes.sum(totals) / size).tolist()
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
        """The model to keep, in evaluation mode: the averaged weights, if the recipe asks for them."""
        if self.average:
            self.average.copy_to(self.model)
        if self.average or self.recipe.loss in SEE_CLEAN_IMAGES:
            # statistics remembered so far belong to the weights of the last steps, or to clean images as well
            # (Izmailov et al. 2018)
            with self.autocast():
                update_bn(self.batches(), self.model)
        for value in self.model.state_dict().values():
            self.processes.same(value)
        # what is returned is what is stored
        return self.model.to(getattr(torch, self.recipe.storage)).float().eval()

    def batches(self) -> Iterator[Tensor]:
        """Training images, in batches as the model is to see them: noisy, unless it is for images without noise."""
        order = torch.randperm(len(self.labels), generator=self.source.generator, device=self.labels.device)
        for rows in order.split(self.recipe.batch)[:STATISTICS]:
            images = self.images(self.pixels[rows])
            yield images if self.recipe.loss in WITHOUT_NOISE else self.draw(images)

    def images(self, pixels: Tensor) -> Tensor:
        """Images in [0, 1], moved and mirrored if the recipe says so."""
        if self.recipe.augment:
            pixels = crop_and_flip(pixels, self.source.generator)
        images = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        return images.contiguous(memory_format=torch.channels_last)

    def autocast(self) -> torch.autocast:
        """Compute in bfloat16 where the device can."""
        return torch.autocast(self.labels.device.type, torch.bfloat16, enabled=self.fast)

    def step(self, pixels: Tensor, labels: Tensor, weight: float = 1.0) -> tuple[Tensor, Tensor]:
        """One step of the optimizer; `weight`: of these images in the mean over those of all processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.lr * self.rate(self.steps, self.recipe.epochs * self.steps_per_epoch)
        images = self.images(pixels)
        # the last batch of an epoch may be smaller: not worth compiling for
        model = self.compiled if len(images) == self.share else self.asked
        with self.autocast():
            loss, logits = self.loss(model, images, labels, self.draw)
        self.optimizer.zero_grad()
        (loss * weight).backward()
        self.processes.sum_gradients(self.model)
        self.optimizer.step()
        self.steps += 1
        if self.average:
            self.average.update(self.model, self.steps)
        return loss.detach(), logits.detach()
