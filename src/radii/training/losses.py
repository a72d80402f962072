"""Losses of training methods, one function each, from clean images and a noise sampler to a loss and logits.

The options of a method are its keyword arguments; a recipe stores them as plain data.
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
"""Factor on the logits in MACER, which brings mean soft predictions near to vote shares; that of all published runs."""

MIXES_CLEAN_IMAGES = {"stability"}
"""Methods that include clean images in the statistics of batch normalisation."""

QUERIES_CLEAN_IMAGES = {"stability", "ordinary", "denoising"}
"""Methods that also query the model on images without noise."""

WITHOUT_NOISE = {"ordinary"}
"""Methods that train models for images without noise."""

LEAST = {"m": 1, "steps": 1}
"""Smallest values of whole-number options; all other options are real numbers of at least 0."""


@dataclass(frozen=True)
class NoiseSampler:
    """Sampler of fresh noise.

    Parameters
    ----------
    noise
        Distribution of the noise.
    source
        Random numbers, for example of `TensorSource` in radii.models.devices.
    """

    noise: Noise
    source: Source

    def __call__(self, images: Tensor) -> Tensor:
        """Draw one noise sample of each image `(batch, *shape)`."""
        return self.noise.perturb(images, self.source)


Loss = Callable[..., tuple[Tensor, Tensor]]
"""`(model, images, labels, sampler, **options) -> (loss, logits)`.

The logits `(batch, classes)` are those of one noise sample of each image; for `ordinary`, of the image itself.
"""


def noise_augmentation(
    model: Model, images: Tensor, labels: Tensor, sampler: NoiseSampler, *, m: int = 1, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy on noise samples of each image.

    Parameters
    ----------
    model : `(batch, *shape)` to `(batch, classes)`
        Base classifier.
    images : `(batch, *shape)`
        Images in [0, 1].
    labels : `(batch,)`
        True labels.
    sampler : NoiseSampler
        Noise under which the model is trained.
    m
        Noise samples per image.
    smoothing : at least 0, below 1
        Share of each label that is spread over all classes (Szegedy et al. 2016).

    Returns
    -------
    loss, logits : scalar, `(batch, classes)`
        Loss to minimize, and logits of one noise sample of each image.

    References
    ----------
    Lecuyer, Atlidakis, Geambasu, Hsu & Jana (2019), Certified robustness to adversarial examples with
    differential privacy, IEEE S&P.
    Cohen, Rosenfeld & Kolter (2019), Certified adversarial robustness via randomized smoothing, ICML.
    """
    logits = query(model, noise_samples(images, sampler, m), m)
    return cross_entropy(logits, labels, smoothing), logits[0]


def stability(
    model: Model,
    images: Tensor,
    labels: Tensor,
    sampler: NoiseSampler,
    *,
    weight: float = 2.0,
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Compute the loss of stability training.

    It is the cross-entropy on clean images, plus `weight` times the cross-entropy of the prediction on a noise
    sample against the prediction on the clean image.

    Parameters
    ----------
    model, images, labels, sampler
        As for `noise_augmentation`.
    weight
        Factor of the second term.
    smoothing : at least 0, below 1
        Share of each label that is spread over all classes.

    Returns
    -------
    loss, logits : scalar, `(batch, classes)`
        Loss to minimize, and logits of one noise sample of each image.

    References
    ----------
    Zheng, Song, Leung & Goodfellow (2016), Improving the robustness of deep neural networks via stability
    training, CVPR.
    Li, Chen, Wang & Carin (2019), Certified adversarial robustness with additive noise, NeurIPS, section 4.2.
    """
    # one batch, so that batch normalisation uses the same statistics for both
    clean, noisy = query(model, torch.cat([images, noise_samples(images, sampler, 1)]), 2)
    drift = -(clean.softmax(1) * noisy.log_softmax(1)).sum(1).mean()
    return F.cross_entropy(clean, labels, label_smoothing=smoothing) + weight * drift, noisy


def consistency(
    model: Model,
    images: Tensor,
    labels: Tensor,
    sampler: NoiseSampler,
    *,
    m: int = 2,
    weight: float = 10.0,
    entropy: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Compute the loss of noise augmentation plus a penalty for differing predictions on noise samples.

    Parameters
    ----------
    model, images, labels, sampler
        As for `noise_augmentation`.
    m
        Noise samples per image.
    weight
        Factor (lambda) of the mean divergence KL(mean prediction || prediction).
    entropy
        Factor (eta) of the entropy of the mean prediction.

    Returns
    -------
    loss, logits : scalar, `(batch, classes)`
        Loss to minimize, and logits of one noise sample of each image.

    References
    ----------
    Jeong & Shin (2020), Consistency regularization for certified robustness of smoothed classifiers, NeurIPS,
    equation 8.
    """
    logits = query(model, noise_samples(images, sampler, m), m)
    logs = logits.log_softmax(2)
    # in logarithms, since small predictions underflow
    log_mean = logs.logsumexp(0) - math.log(m)
    mean = log_mean.exp()
    divergence = (mean * (log_mean - logs)).sum(2).mean()
    uncertainty = -(mean * log_mean).sum(1).mean()
    return cross_entropy(logits, labels) + weight * divergence + entropy * uncertainty, logits[0]


def smoothadv(
    model: Model,
    images: Tensor,
    labels: Tensor,
    sampler: NoiseSampler,
    *,
    m: int = 2,
    epsilon: float = 0.5,
    steps: int = 2,
) -> tuple[Tensor, Tensor]:
    """Compute the loss of noise augmentation on adversarial examples of the smoothed classifier.

    The attack is projected gradient ascent on minus the logarithm of the mean soft prediction over noise samples.

    Parameters
    ----------
    model, images, labels, sampler
        As for `noise_augmentation`; the noise must be additive.
    m
        Noise samples per image, the same for the attack and the loss.
    epsilon
        Largest l2 norm of the perturbation, in image units; perturbed images stay in [0, 1].
    steps
        Steps of the attack, of length 2 `epsilon` / `steps`.

    Returns
    -------
    loss, logits : scalar, `(batch, classes)`
        Loss to minimize, and logits of one noise sample of each image.

    Notes
    -----
    The network is in evaluation mode during the attack. The warm-up of epsilon in the authors' code is left out.

    References
    ----------
    Salman, Li, Razenshteyn, Zhang, Zhang, Bubeck & Yang (2019), Provably robust deep learning via adversarially
    trained smoothed classifiers, NeurIPS.
    """
    # drawn once: the loss is on the noise samples for which the attack has searched
    noise = cast(Additive, sampler.noise).draw(sampler.source, (m * len(images), *images.shape[1:]))
    with evaluation_mode(model):
        perturbed = attack(model, images, labels, noise, (m, steps, epsilon))
    logits = query(model, repeat_images(perturbed, m) + noise, m)
    return cross_entropy(logits, labels), logits[0]


def macer(
    model: Model,
    images: Tensor,
    labels: Tensor,
    sampler: NoiseSampler,
    *,
    m: int = 16,
    weight: float = 12.0,
    margin: float = 8.0,
) -> tuple[Tensor, Tensor]:
    """Compute the loss of the smoothed classifier plus a hinge loss on its certified radius where it is correct.

    The first term is minus the logarithm of the mean soft prediction. The hinge is
    `scale / 2 * max(0, margin - (Q(first) - Q(second)))`, where `first` and `second` are the two largest mean
    predictions of logits times 16 (beta), and Q is the quantile function of the noise at scale 1.

    Parameters
    ----------
    model, images, labels, sampler
        As for `noise_augmentation`; the noise must be Gaussian, Laplace or uniform.
    m
        Noise samples per image.
    weight
        Factor (lambda) of the hinge loss.
    margin
        Largest difference of quantiles (gamma) that is increased, in units of the noise's scale.

    Returns
    -------
    loss, logits : scalar, `(batch, classes)`
        Loss to minimize, and logits of one noise sample of each image.

    Notes
    -----
    `scale / 2 * (Q(first) - Q(second))` is the certified radius: in l2 for Gaussian noise, as published; in l1 for
    Laplace (Teng et al. 2019) and uniform noise (Yang et al. 2020), by their tight rules. Its use for the last two
    is our extension.

    References
    ----------
    Zhai, Dan, He, Zhang, Gong, Ravikumar, Hsieh & Wang (2020), MACER: attack-free and scalable robust training via
    maximizing certified radius, ICLR.
    """
    quantile = QUANTILES[sampler.noise.name]
    logits = query(model, noise_samples(images, sampler, m), m)
    missed = F.nll_loss(log_mean_prediction(logits), labels)
    top = (TEMPERATURE * logits).softmax(2).mean(0).topk(2)
    with torch.no_grad():
        gap = quantile(top.values[:, 0]) - quantile(top.values[:, 1])
        # finite, since predictions of sharpened logits round to 1, where the normal and Laplace quantiles are infinite
        counted = (top.indices[:, 0] == labels) & gap.isfinite() & (gap <= margin)
    # selected before the quantile is differentiated: an infinite one would turn the whole gradient into NaN
    first, second = top.values[counted].unbind(1)
    hinge = (margin - (quantile(first) - quantile(second))).sum() * sampler.noise.scale / 2
    return missed + weight * hinge / len(images), logits[0]


def ordinary(
    model: Model, images: Tensor, labels: Tensor, sampler: NoiseSampler, *, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy on clean images, for a classifier behind a denoiser.

    Parameters
    ----------
    model, images, labels
        As for `noise_augmentation`.
    sampler
        Ignored.
    smoothing : at least 0, below 1
        Share of each label that is spread over all classes.

    Returns
    -------
    loss, logits : scalar, `(batch, classes)`
        Loss to minimize, and logits of the images.
    """
    logits = query(model, images, 1)
    return cross_entropy(logits, labels, smoothing), logits[0]


def denoising(
    model: Denoised,
    images: Tensor,
    labels: Tensor,
    sampler: NoiseSampler,
    *,
    fidelity: float = 10.0,
    weight: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Compute the loss of a denoiser in front of a fixed classifier.

    Parameters
    ----------
    model : Denoised
        Denoiser and classifier.
    images, sampler
        As for `noise_augmentation`.
    labels
        Ignored: the classes are those that the classifier predicts for the clean images.
    fidelity
        Factor of the mean squared error of restored images.
    weight
        Factor of the cross-entropy of restored images.

    Returns
    -------
    loss, logits : scalar, `(batch, classes)`
        Loss to minimize, and logits of one restored noise sample of each image.

    References
    ----------
    Salman, Sun, Yang, Kapoor & Kolter (2020), Denoised smoothing, NeurIPS: the sum of their objectives MSE and
    Stab.
    """
    # predictions, not labels: the denoiser is to preserve what the classifier answers, right or wrong
    with torch.no_grad():
        classes = model.classifier(images).argmax(1)
    restored = model.denoiser(noise_samples(images, sampler, 1)).float()
    error = (restored - images).square().mean()
    logits = query(model.classifier, restored, 1)
    return fidelity * error + weight * cross_entropy(logits, classes), logits[0]


def laplace_quantile(p: Tensor) -> Tensor:
    """Compute quantiles of the Laplace distribution with scale 1."""
    # by symmetry, from the smaller tail
    tail = torch.log(2 * torch.minimum(p, 1 - p))
    return torch.where(p < 0.5, tail, -tail)


QUANTILES: dict[str, Callable[[Tensor], Tensor]] = {
    "gaussian": torch.special.ndtri,
    "laplace": laplace_quantile,
    "uniform": lambda p: 2 * p - 1,
}
"""Quantile functions of one feature of the noise, at scale 1."""

LOSSES: dict[str, Loss] = {
    "noise-augmentation": noise_augmentation,
    "stability": stability,
    "consistency": consistency,
    "smoothadv": smoothadv,
    "macer": macer,
    "ordinary": ordinary,
    "denoising": denoising,
}


def options_of(loss: str) -> dict[str, float]:
    """Return the options of a training method with their default values.

    Parameters
    ----------
    loss
        Name of the method, as in recipes.

    Returns
    -------
    dict
        Default values by name.

    Raises
    ------
    UnknownName
        If there is no such method.
    """
    # read from the function, so that names and defaults stand in one place only
    parameters = inspect.signature(LOSSES[check_name("loss", loss, LOSSES)]).parameters.values()
    return {option.name: option.default for option in parameters if option.kind is option.KEYWORD_ONLY}


def check_options(loss: str, options: Mapping[str, Any]) -> None:
    """Raise `InputError` for options that the method does not have, or values out of range."""
    if not isinstance(options, Mapping):
        raise InputError(f"options of a loss are names with values; got {options!r}")
    defaults = options_of(loss)
    for name, value in options.items():
        check_name(f"option of {loss}", name, defaults)
        whole = name in LEAST
        kinds = int if whole else (int, float)
        least = LEAST.get(name, 0)
        # True is an int in Python; the comparisons fail for NaN
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < math.inf:
            kind = "whole number" if whole else "number"
            raise InputError(f"{name} of {loss} must be a {kind} of at least {least}; got {value!r}")
        if name == "smoothing" and value >= 1:
            raise InputError(f"smoothing of {loss} must be below 1; got {value!r}")


def check_noise(loss: str, noise: Noise, shape: tuple[int, ...]) -> None:
    """Raise `InputError` if the method cannot train under this noise on images of `shape`."""
    if loss in QUERIES_CLEAN_IMAGES and noise.output_shape(shape) != shape:
        raise InputError(
            f"{loss} queries the model on images without noise, but {noise.name} changes their shape"
        )
    if loss == "macer":
        check_name("noise with a quantile for macer", noise.name, QUANTILES)
    if loss == "smoothadv" and not isinstance(noise, Additive):
        raise InputError(f"smoothadv needs noise that is added to images, which {noise.name} is not")


# parts --------------------------------------------------------------------------------------------


def noise_samples(images: Tensor, sampler: NoiseSampler, m: int) -> Tensor:
    """Draw m noise samples of each image, `(m * batch, *shape)`."""
    return sampler(repeat_images(images, m))


def repeat_images(images: Tensor, m: int) -> Tensor:
    """Return all images m times, `(m * batch, *shape)`, in the order in which `query` separates them."""
    if m == 1:
        return images
    repeated = images.repeat(m, *[1] * (images.dim() - 1))
    # repeat drops the memory format, in which convolutions are fastest
    return repeated.contiguous(memory_format=torch.channels_last) if images.dim() == 4 else repeated


def query(model: Model, inputs: Tensor, m: int) -> Tensor:
    """Compute logits `(m, batch, classes)` of `(m * batch, *shape)` inputs."""
    # float32, since logarithms of bfloat16 have two digits
    return model(inputs).float().unflatten(0, (m, -1))


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Compute the mean cross-entropy over noise samples and images, from logits `(m, batch, classes)`."""
    return F.cross_entropy(logits.flatten(0, 1), labels.repeat(len(logits)), label_smoothing=smoothing)


def log_mean_prediction(logits: Tensor) -> Tensor:
    """Compute the logarithm `(batch, classes)` of the mean soft prediction, from logits `(m, batch, classes)`."""
    # in logarithms, since small predictions underflow, and their logarithm is the loss
    return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


def attack(
    model: Model, images: Tensor, labels: Tensor, noise: Tensor, effort: tuple[int, int, float]
) -> Tensor:
    """Perturb images so that the mean soft prediction under `noise` leaves their labels.

    `noise`: `(m * batch, *shape)`; `effort`: m, steps, epsilon. Perturbed images stay in [0, 1], and within l2 distance
    epsilon.
    """
    m, steps, epsilon = effort
    perturbation, radius = torch.zeros_like(images), images.new_full((len(images),), epsilon)
    for _ in range(steps):
        perturbation.requires_grad_()
        logits = query(model, repeat_images(images + perturbation, m) + noise, m)
        # grad() and not backward(), which would also add to the gradients of the weights
        (slope,) = torch.autograd.grad(F.nll_loss(log_mean_prediction(logits), labels), perturbation)
        step = steepest(slope, "l2", 2 / steps * radius)
        perturbation = project(perturbation.detach() + step, "l2", radius)
        # clamping shortens the perturbation of each feature, so the norm does not grow
        perturbation = (images + perturbation).clamp(0, 1) - images
    return images + perturbation


@contextmanager
def evaluation_mode(model: Model) -> Iterator[None]:
    """Put a network into evaluation mode, so that an attack leaves its batch statistics unchanged."""
    training = isinstance(model, nn.Module) and model.training
    if training:
        model.eval()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if training:
            model.train()  # type: ignore[attr-defined]
