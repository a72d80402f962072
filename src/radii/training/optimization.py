"""Averaged weights, and schedules of the learning rate."""

import math

import torch
from torch import nn

WARM_UP = 0.2
"""Share of the steps in which the learning rate rises."""


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


def cosine(step: int, total: int) -> float:
    """Return the factor of a linear warm-up, then of half a cosine down to 0 (Loshchilov and Hutter 2017)."""
    warm = WARM_UP * total
    if step < warm:
        return (step + 1) / (warm + 1)  # not 0 at the first step, which would then do nothing
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (total - warm))


def triangle(step: int, total: int) -> float:
    """Return the factor of a linear warm-up, then of a straight line down to 0: one cycle (Smith and Topin 2018)."""
    warm = WARM_UP * total
    if step < warm:
        return (step + 1) / (warm + 1)
    # above 0 at the last step, `total - 1`, too
    return (total - step) / (total - warm)


SCHEDULES = {"cosine": cosine, "triangle": triangle}
