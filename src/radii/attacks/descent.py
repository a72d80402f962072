"""Perturbations against a smoothed classifier: projected gradient descent in l1, l2 and linf, greedy changes in l0.

The gradient is that of the mean soft prediction over noise samples, drawn afresh for each step (Salman et al. 2019,
section 3.1; expectation over transformation: Athalye, Engstrom, Ilyas & Kwok 2018).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from radii.training.losses import Model, NoiseSampler, log_mean_prediction, query, repeat_images
from radii.training.pgd import project, steepest

# Enough to cross the ball from any start within it, and to move on its boundary (Madry et al. 2018, section 5, attacks
# in l2 and at other radii: 100 steps of 2.5 / 100 radii).
PACE = 2.5
"""Length of all steps together, in radii."""


@dataclass(frozen=True)
class Effort:
    """Effort of an attack per image.

    Parameters
    ----------
    steps
        Steps of gradient descent.
    eot_samples : noise samples per step
        Samples over which the gradient is averaged.
    """

    steps: int = 20
    eot_samples: int = 16


@dataclass(frozen=True, eq=False)
class Target:
    """The attacked classifier: each label of `labels`, `(batch,)`, is to leave the top `k` of the model under noise."""

    model: Model
    draw: NoiseSampler
    labels: Tensor
    k: int
    effort: Effort

    def gradient(self, images: Tensor) -> Tensor:
        """Return the gradient of the margins of the labels with respect to the images, `(batch, *shape)`."""
        inputs, samples = images.detach().requires_grad_(), self.effort.eot_samples
        logits = finite(query(self.model, self.add_noise(repeat_images(inputs, samples)), samples))
        margins = margin(log_mean_prediction(logits), self.labels, self.k)
        (gradient,) = torch.autograd.grad(margins.sum(), inputs)
        return gradient

    def add_noise(self, images: Tensor) -> Tensor:
        """Return one noise sample of each image.

        Noise that keeps the shape of images passes gradients through unchanged (straight-through estimator): that of
        rounding would be 0.
        """
        noisy = self.draw(images)
        return noisy.detach() + images - images.detach() if noisy.shape == images.shape else noisy


def finite(logits: Tensor) -> Tensor:
    """Return logits with a very low number in place of -inf, which switches a class off: its gradient would be NaN."""
    # a quarter of the lowest number, so that differences of logits do not overflow
    return logits.clamp(min=torch.finfo(logits.dtype).min / 4)


def margin(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Return the score of each label, `(batch,)`, minus the k-th largest of the others; `scores` `(batch, classes)`."""
    own = scores.gather(1, labels[:, None])
    # -inf, so that the label is never among its own rivals
    others = scores.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.topk(k, dim=1).values[:, -1]


def descend(target: Target, images: Tensor, norm: str, radius: Tensor) -> Tensor:
    """Return perturbations that make the margins small, `(batch, *shape)`.

    They lie within `radius`, `(batch,)`, in `norm`, and the perturbed images in [0, 1].
    """
    delta = torch.zeros_like(images)
    for _ in range(target.effort.steps):
        gradient = without_blocked(target.gradient(images + delta), images + delta)
        step = steepest(gradient, norm, PACE * radius / target.effort.steps)
        delta = project(delta - step, norm, radius)
        # the norm does not grow: the clean image is in the box, so clipping only shrinks features of delta
        delta = (images + delta).clamp(0, 1) - images
    return delta


def without_blocked(gradient: Tensor, images: Tensor) -> Tensor:
    """Return the gradient, but 0 for features at the end of [0, 1] towards which a descent step would change them.

    Otherwise a step in l1 would be spent on few features that cannot change (Croce and Hein 2021).
    """
    blocked = ((images <= 0) & (gradient > 0)) | ((images >= 1) & (gradient < 0))
    return gradient.masked_fill(blocked, 0)


def greedy(target: Target, images: Tensor, channels: int, most: int) -> tuple[Tensor, Tensor]:
    """Change `most` units of each image, always the one from which the margin should lose most.

    A unit is `channels` features at one position. Each feature is set to 0 or 1, against its gradient. Returns the
    units in the order of their changes, `(batch, most)`, and the images with all of them changed.
    """
    perturbed, order = images.clone(), []
    unchanged = torch.ones(len(images), images[0].numel() // channels, dtype=torch.bool, device=images.device)
    for _ in range(most):
        gradient = target.gradient(perturbed)
        # under a norm that counts features, the size of a change is free, and the linear model gains most at an end
        ends = (gradient < 0).to(images.dtype)
        gain = (gradient * (perturbed - ends)).reshape(len(images), channels, -1).sum(1)
        unit = gain.masked_fill(~unchanged, -torch.inf).argmax(1, keepdim=True)
        unchanged.scatter_(1, unit, False)
        # `unit` indexes positions, and a pixel is all channels there
        mask = torch.zeros_like(unchanged).scatter_(1, unit, True)
        mask = mask[:, None].expand(-1, channels, -1).reshape(images.shape)
        perturbed = torch.where(mask, ends, perturbed)
        order.append(unit)
    return torch.cat(order, dim=1), perturbed
