"""Moves against a smoothed classifier: projected gradient descent in l1, l2 and linf, greedy changes in l0.

The gradient is that of the mean soft prediction over noisy copies, drawn afresh for each step (Salman et al. 2019,
section 3.1; expectation over transformation: Athalye, Engstrom, Ilyas & Kwok 2018).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from radii.training.losses import Model, NoiseSampler, log_mean_prediction, query, repeat_images
from radii.training.pgd import project, steepest

PACE = 2.5
"""Radii that all steps together could go: enough to cross the ball and turn at its edge."""


@dataclass(frozen=True)
class Effort:
    """Effort of an attack per image.

    Parameters
    ----------
    steps
        Steps of gradient descent.
    copies : noise samples per step
        Samples over which the gradient is averaged.
    """

    steps: int = 20
    copies: int = 16


@dataclass(frozen=True, eq=False)
class Target:
    """What is attacked: each label of `labels`, `(batch,)`, is to leave the top `k` of the model under noise."""

    model: Model
    draw: NoiseSampler
    labels: Tensor
    k: int
    effort: Effort

    def slope(self, images: Tensor) -> Tensor:
        """Of the margin of the labels, `(batch, *shape)`."""
        at = images.detach().requires_grad_()
        logits = finite(
            query(self.model, self.noisy(repeat_images(at, self.effort.copies)), self.effort.copies)
        )
        (slope,) = torch.autograd.grad(margin(log_mean_prediction(logits), self.labels, self.k).sum(), at)
        return slope

    def noisy(self, images: Tensor) -> Tensor:
        """Noisy copies; where they have the images' shape, their slope is taken for 1, as rounding has none."""
        drawn = self.draw(images)
        return drawn.detach() + images - images.detach() if drawn.shape == images.shape else drawn


def finite(logits: Tensor) -> Tensor:
    """Logits with a very low number in place of -inf, which switches a class off and would make slopes NaN."""
    return logits.clamp(min=torch.finfo(logits.dtype).min / 4)


def margin(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """By how much each label, `(batch,)`, is ahead of the k-th of the others; `scores` `(batch, classes)`."""
    own = scores.gather(1, labels[:, None])
    others = scores.scatter(1, labels[:, None], -torch.inf)
    return own[:, 0] - others.topk(k, dim=1).values[:, -1]


def descend(target: Target, images: Tensor, norm: str, radius: Tensor) -> Tensor:
    """Moves within `radius`, `(batch,)`, in `norm`, and within [0, 1], after which the margins are small."""
    move = torch.zeros_like(images)
    for _ in range(target.effort.steps):
        slope = inward(target.slope(images + move), images + move)
        step = steepest(slope, norm, PACE * radius / target.effort.steps)
        move = project(move - step, norm, radius)
        # each feature only comes nearer to where it was, so no norm grows
        move = (images + move).clamp(0, 1) - images
    return move


def inward(slope: Tensor, images: Tensor) -> Tensor:
    """The slope, but 0 for features that are at the end of [0, 1] to which a step against it leads.

    In l1 a step would otherwise be spent on few features that cannot move (Croce and Hein 2021).
    """
    stuck = ((images <= 0) & (slope > 0)) | ((images >= 1) & (slope < 0))
    return slope.masked_fill(stuck, 0)


def greedy(target: Target, images: Tensor, channels: int, most: int) -> tuple[Tensor, Tensor]:
    """The order, `(batch, most)`, in which units are changed, and images with all of them changed: `(order, moved)`.

    A unit is `channels` features at one position, and goes to whichever end of [0, 1] the slope says; the unit from
    which the margin should lose most is next.
    """
    moved, order = images.clone(), []
    free = torch.ones(len(images), images[0].numel() // channels, dtype=torch.bool, device=images.device)
    for _ in range(most):
        slope = target.slope(moved)
        ends = (slope < 0).to(images.dtype)
        gain = (slope * (moved - ends)).reshape(len(images), channels, -1).sum(1)
        unit = gain.masked_fill(~free, -torch.inf).argmax(1, keepdim=True)
        free.scatter_(1, unit, False)
        chosen = (
            torch.zeros_like(free)
            .scatter_(1, unit, True)[:, None]
            .expand(-1, channels, -1)
            .reshape(images.shape)
        )
        moved = torch.where(chosen, ends, moved)
        order.append(unit)
    return torch.cat(order, dim=1), moved
