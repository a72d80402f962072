"""Training methods, one function each: clean images and a way to make noisy copies in, a loss and noisy logits out.

What a method can be told are its keyword arguments; a recipe gives them as plain data.
"""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radii.errors import InputError, check_name
from radii.models import Denoised
from radii.noises import Additive, Noise, Source
from radii.training.pgd import project, steepest

Model = Callable[[Tensor], Tensor]

TEMPERATURE = 16
"""What macer multiplies logits by, so that mean soft predictions come near to votes: in all of its authors' runs."""


@dataclass(frozen=True)
class Draw:
    """Fresh noise, and where it comes from."""

    noise: Noise
    source: Source

    def __call__(self, images: Tensor) -> Tensor:
        """One noisy copy of each image."""
        return self.noise.perturb(images, self.source)


Loss = Callable[..., tuple[Tensor, Tensor]]
"""`(model, images, labels, draw, **options) -> (loss, logits)`, with `(batch, classes)` logits of each image as the
method sees it: of one noisy copy, but for `ordinary`."""


def noise_augmentation(
    model: Model, images: Tensor, labels: Tensor, draw: Draw, *, m: int = 1, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cross-entropy on `m` noisy copies of each image (Lecuyer et al. 2019; Cohen et al. 2019).

    `smoothing`: the share of each label that is spread over all classes (Szegedy et al. 2016).
    """
    logits = ask(model, noisy(images, draw, m), m)
    return cross_entropy(logits, labels, smoothing), logits[0]


def stability(
    model: Model, images: Tensor, labels: Tensor, draw: Draw, *, weight: float = 2.0, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cross-entropy on the clean image, plus `weight` times that of its noisy copy against the clean prediction.

    Stability training (Zheng et al. 2016; for smoothing Li, Chen, Wang & Carin 2019, section 4.2). Both go
    through the network as one batch.
    """
    logits = ask(model, torch.cat([images, noisy(images, draw, 1)]), 2)
    clean, moved = logits
    drift = -(clean.softmax(1) * moved.log_softmax(1)).sum(1).mean()
    return F.cross_entropy(clean, labels, label_smoothing=smoothing) + weight * drift, moved


def consistency(
    model: Model,
    images: Tensor,
    labels: Tensor,
    draw: Draw,
    *,
    m: int = 2,
    weight: float = 10.0,
    entropy: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Noise augmentation that also asks the predictions on noisy copies to agree (Jeong & Shin 2020, equation 8).

    Added to the cross-entropy: `weight` (lambda) times the mean divergence KL(mean prediction || prediction), and
    `entropy` (eta) times the entropy of the mean prediction.
    """
    logits = ask(model, noisy(images, draw, m), m)
    logs = logits.log_softmax(2)
    log_mean = logs.logsumexp(0) - math.log(m)
    mean = log_mean.exp()
    divergence = (mean * (log_mean - logs)).sum(2).mean()
    uncertainty = -(mean * log_mean).sum(1).mean()
    return cross_entropy(logits, labels) + weight * divergence + entropy * uncertainty, logits[0]


def smoothadv(
    model: Model,
    images: Tensor,
    labels: Tensor,
    draw: Draw,
    *,
    m: int = 2,
    epsilon: float = 0.5,
    steps: int = 2,
) -> tuple[Tensor, Tensor]:
    """Noise augmentation on images that were first moved against the smoothed classifier (Salman et al. 2019).

    Projected gradient ascent (`steps` steps of 2 `epsilon` / `steps`) on minus the logarithm of the mean soft
    prediction over `m` draws, within the l2 ball `epsilon` and [0, 1], the network in evaluation mode; the same
    draws are used for training. The warm-up of epsilon in the authors' code is left out.
    """
    noise = cast(Additive, draw.noise).draw(draw.source, (m * len(images), *images.shape[1:]))
    with evaluating(model):
        moved = attack(model, images, labels, noise, (m, steps, epsilon))
    logits = ask(model, copies(moved, m) + noise, m)
    return cross_entropy(logits, labels), logits[0]


def attack(
    model: Model, images: Tensor, labels: Tensor, noise: Tensor, effort: tuple[int, int, float]
) -> Tensor:
    """Images moved within l2 distance epsilon so that the mean soft prediction under `noise` turns away.

    `noise`: `(m * batch, *shape)`; `effort`: m, steps, epsilon.
    """
    m, steps, epsilon = effort
    move, radius = torch.zeros_like(images), images.new_full((len(images),), epsilon)
    for _ in range(steps):
        move.requires_grad_()
        objective = F.nll_loss(log_mean_prediction(ask(model, copies(images + move, m) + noise, m)), labels)
        (slope,) = torch.autograd.grad(objective, move)
        move = project(move.detach() + steepest(slope, "l2", 2 / steps * radius), "l2", radius)
        # back into [0, 1]: each feature only comes nearer to where it was, so the length does not grow
        move = (images + move).clamp(0, 1) - images
    return images + move


def macer(
    model: Model,
    images: Tensor,
    labels: Tensor,
    draw: Draw,
    *,
    m: int = 16,
    weight: float = 12.0,
    margin: float = 8.0,
) -> tuple[Tensor, Tensor]:
    """Loss of the smoothed classifier, and of the certified radius of images that it gets right (Zhai et al. 2020).

    The first is minus the logarithm of the mean soft prediction over `m` draws. The second, `weight` (lambda) times
    the hinge `scale / 2 * max(0, margin - (Q(first) - Q(second)))` on the two largest mean predictions of logits
    times 16 (beta), counts only right images whose difference is finite and at most `margin` (gamma).

    `scale / 2 * (Q(first) - Q(second))`, with the quantile Q of the noise at scale 1, is the certified radius: in l2
    for Gaussian noise, as published. With the quantiles of Laplace and uniform noise it is that of their exact
    l1 rule (Teng et al. 2019; Yang et al. 2020). That use is ours; the margin is in units of the noise's scale.
    """
    quantile = QUANTILES[draw.noise.name]
    logits = ask(model, noisy(images, draw, m), m)
    missed = F.nll_loss(log_mean_prediction(logits), labels)
    top = (TEMPERATURE * logits).softmax(2).mean(0).topk(2)
    with torch.no_grad():
        gap = quantile(top.values[:, 0]) - quantile(top.values[:, 1])
        counted = (top.indices[:, 0] == labels) & gap.isfinite() & (gap <= margin)
    # chosen before the quantile is differentiated: an infinite one would turn the whole gradient into nan
    first, second = top.values[counted].unbind(1)
    lost = (margin - (quantile(first) - quantile(second))).sum() * draw.noise.scale / 2
    return missed + weight * lost / len(images), logits[0]


def ordinary(
    model: Model, images: Tensor, labels: Tensor, draw: Draw, *, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cross-entropy on images without noise: a model as most models are, for a denoiser to stand in front of."""
    logits = ask(model, images, 1)
    return cross_entropy(logits, labels, smoothing), logits[0]


def denoising(
    model: Denoised,
    images: Tensor,
    labels: Tensor,
    draw: Draw,
    *,
    fidelity: float = 10.0,
    weight: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """A denoiser in front of a classifier that stays as it is (Salman, Sun, Yang, Kapoor & Kolter 2020).

    `fidelity` times the mean squared error of restored images, plus `weight` times the cross-entropy of their
    classification against the class of the image without noise: their objectives MSE and Stab, which they also
    combine. Labels are not looked at.
    """
    copies = noisy(images, draw, 1)
    with torch.no_grad():
        classes = model.classifier(images).argmax(1)
    restored = model.denoiser(copies).float()
    error = (restored - images).square().mean()
    logits = ask(model.classifier, restored, 1)
    return fidelity * error + weight * cross_entropy(logits, classes), logits[0]


def laplace_quantile(p: Tensor) -> Tensor:
    """Quantile of the Laplace law of scale 1."""
    tail = torch.log(2 * torch.minimum(p, 1 - p))
    return torch.where(p < 0.5, tail, -tail)


QUANTILES: dict[str, Callable[[Tensor], Tensor]] = {
    "gaussian": torch.special.ndtri,
    "laplace": laplace_quantile,
    "uniform": lambda p: 2 * p - 1,
}
"""Of one feature of the noise, at scale 1."""
LOSSES: dict[str, Loss] = {
    "noise-augmentation": noise_augmentation,
    "stability": stability,
    "consistency": consistency,
    "smoothadv": smoothadv,
    "macer": macer,
    "ordinary": ordinary,
    "denoising": denoising,
}

SEE_CLEAN_IMAGES = {"stability"}
"""Methods that mix other than noisy images into the statistics of batch normalisation."""

ASK_ABOUT_IMAGES = {"stability", "ordinary", "denoising"}
"""Methods that also show the model images without noise."""

WITHOUT_NOISE = {"ordinary"}
"""Methods whose models are for images without noise."""
LEAST = {"m": 1, "steps": 1}
"""Whole-number options and the least they may be; all others are numbers of at least 0."""


def options_of(loss: str) -> dict[str, float]:
    """What a method can be told, with the usual values."""
    parameters = inspect.signature(LOSSES[check_name("loss", loss, LOSSES)]).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def check_options(loss: str, given: Mapping[str, Any]) -> None:
    """Fail with one sentence where a method cannot be told so."""
    if not isinstance(given, Mapping):
        raise InputError(f"options of a loss are names with values; got {given!r}")
    usual = options_of(loss)
    for name, value in given.items():
        check_name(f"option of {loss}", name, usual)
        whole = name in LEAST
        kinds = int if whole else (int, float)
        least = LEAST.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < math.inf:
            kind = "whole number" if whole else "number"
            raise InputError(f"{name} of {loss} must be a {kind} of at least {least}; got {value!r}")
        if name == "smoothing" and value >= 1:
            raise InputError(f"smoothing of {loss} must be below 1; got {value!r}")


def check_noise(loss: str, noise: Noise, shape: tuple[int, ...]) -> None:
    """Fail with one sentence where a method cannot do with this noise on images of `shape`."""
    if loss in ASK_ABOUT_IMAGES and noise.output_shape(shape) != shape:
        raise InputError(f"{loss} asks about images without noise, but {noise.name} changes their shape")
    if loss == "macer":
        check_name("noise with a quantile for macer", noise.name, QUANTILES)
    if loss == "smoothadv" and not isinstance(noise, Additive):
        raise InputError(f"smoothadv needs noise that is added to images, which {noise.name} is not")


# parts --------------------------------------------------------------------------------------------


def copies(images: Tensor, m: int) -> Tensor:
    """All images m times, `(m * batch, *shape)`, as `ask` takes them apart."""
    if m == 1:
        return images
    repeated = images.repeat(m, *[1] * (images.dim() - 1))
    return repeated.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else repeated


def noisy(images: Tensor, draw: Draw, m: int) -> Tensor:
    """m noisy copies of each image, `(m * batch, *shape)`."""
    return draw(copies(images, m))


def ask(model: Model, inputs: Tensor, m: int) -> Tensor:
    """Logits `(m, batch, classes)` in float32."""
    return model(inputs).float().unflatten(0, (m, -1))


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over copies and images; logits `(m, batch, classes)`."""
    return F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), label_smoothing=smoothing)


def log_mean_prediction(logits: Tensor) -> Tensor:
    """Logarithm `(batch, classes)` of the mean of the soft predictions."""
    return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """A network in evaluation mode for a while: what is tried out leaves no trace in its statistics."""
    training = isinstance(model, nn.Module) and model.training
    if training:
        model.eval()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if training:
            model.train()  # type: ignore[attr-defined]
