"""Random crops and mirror images, for a whole batch at once."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

BORDER = 4


def crop_and_flip(pixels: Tensor, generator: Generator) -> Tensor:
    """Each image `(batch, channels, height, width)` moved by up to 4 pixels, black beyond, half of them mirrored."""
    batch, channels, height, width = pixels.shape
    padded = F.pad(pixels, (BORDER,) * 4)

    def pick(choices: int) -> Tensor:
        return torch.randint(choices, (batch, 1), generator=generator, device=pixels.device)

    rows = pick(2 * BORDER + 1) + torch.arange(height, device=pixels.device)
    columns = torch.arange(width, device=pixels.device)
    columns = pick(2 * BORDER + 1) + torch.where(pick(2) == 1, columns.flip(0), columns)
    image = torch.arange(batch, device=pixels.device)[:, None, None, None]
    channel = torch.arange(channels, device=pixels.device)[None, :, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
