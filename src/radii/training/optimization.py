"""Averaged weights, and schedules of the learning rate."""

import math

import torch
from torch import nn


class Average:
    """Exponential moving average of the weights of a model (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

    A weight counts `decay` times less with every step since; early on the average is over fewer steps, so that
    the initial weights do not linger.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    def update(self, model: nn.Module, steps: int) -> None:
        """Take in the weights after so many steps."""
        decay = min(self.decay, steps / (steps + 9))
        new = [weight.detach() for weight in model.parameters()]
        torch._foreach_lerp_(list(self.weights.values()), new, 1 - decay)

    @torch.no_grad()
    def copy_to(self, model: nn.Module) -> None:
        """Give the model the averaged weights; its statistics are still those of other weights."""
        for name, weight in model.named_parameters():
            weight.copy_(self.weights[name])


WARM_UP = 0.2
"""Part of the steps in which the learning rate rises."""


def cosine(step: int, total: int) -> float:
    """A linear warm-up, then half a cosine down to 0 (Loshchilov and Hutter 2017)."""
    warm = WARM_UP * total
    if step < warm:
        return (step + 1) / (warm + 1)
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm) / (total - warm))


def triangle(step: int, total: int) -> float:
    """A linear warm-up, then a straight line down to 0: one cycle (Smith and Topin 2018)."""
    warm = WARM_UP * total
    if step < warm:
        return (step + 1) / (warm + 1)
    return (total - step) / (total - warm)


SCHEDULES = {"cosine": cosine, "triangle": triangle}
