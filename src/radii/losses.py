"""Training methods, one function each: clean images and a way to draw noise in, a loss and noisy logits out."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Model = Callable[[Tensor], Tensor]
Draw = Callable[[tuple[int, ...]], Tensor]
"""Fresh noise of a shape."""

Loss = Callable[[Model, Tensor, Tensor, Draw], tuple[Tensor, Tensor]]
"""`(model, images, labels, draw) -> (loss, logits)`, with `(batch, classes)` logits of one noisy copy of each."""


def noise_augmentation(model: Model, images: Tensor, labels: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    """Cross-entropy on one noisy copy of each image (Lecuyer et al. 2019; Cohen et al. 2019)."""
    logits = model(images + draw(tuple(images.shape))).float()
    return F.cross_entropy(logits, labels), logits


LOSSES: dict[str, Loss] = {"noise-augmentation": noise_augmentation}
