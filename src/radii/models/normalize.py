"""Normalisation as the first layer, so that noise and radii are always in image units."""

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Centre and scale each channel: images `(batch, channels, height, width)` in [0, 1] plus noise.

    Mean and standard deviation are buffers: they travel with the weights and belong to the digest.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std
