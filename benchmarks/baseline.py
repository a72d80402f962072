"""How published codes sample: one image at a time, noise for the whole batch, float32, counts by way of numpy.

Written after the description of Cohen et al. 2019 (`certify.py` of their code, batches of 400); the noise of Laplace by
torch's own distribution, as Teng et al. 2020 and Yang et al. 2020 draw it.
"""

import numpy as np
import torch
from torch import Tensor, nn

from radii.noises import Laplace, Noise, Uniform

BATCH = 400


def draw(noise: Noise, shape: tuple[int, ...]) -> Tensor:
    """Noise of a whole batch."""
    if isinstance(noise, Laplace):
        return torch.distributions.Laplace(0.0, noise.scale).sample(shape)
    if isinstance(noise, Uniform):
        return (torch.rand(shape) * 2 - 1) * noise.scale
    return torch.randn(shape) * noise.scale


def sample(model: nn.Module, noise: Noise, image: Tensor, n: int, classes: int) -> np.ndarray:
    """Class counts of `n` noisy copies of one image, `(classes,)`."""
    counts = np.zeros(classes, dtype=int)
    device = next(model.parameters()).device
    with torch.no_grad():
        while n > 0:
            size = min(BATCH, n)
            n -= size
            batch = image.repeat((size, 1, 1, 1))
            answers = model((batch + draw(noise, tuple(batch.shape))).to(device)).argmax(1)
            for answer in answers.cpu().numpy():
                counts[answer] += 1
    return counts
