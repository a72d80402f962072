"""Random crops and mirror images, for a whole batch at once."""

import torch
from torch import Generator, Tensor

BORDER = 4


def crop_and_flip(pixels: Tensor, generator: Generator) -> Tensor:
    """Each image `(batch, channels, height, width)` moved by up to 4 pixels, half of them mirrored.

    What lies beyond the border is the image's own reflection: black edges would be a clue that tests do not have.
    """
    batch, channels, height, width = pixels.shape

    def pick(choices: int) -> Tensor:
        return torch.randint(choices, (batch, 1), generator=generator, device=pixels.device)

    def moved(size: int) -> Tensor:
        places = pick(2 * BORDER + 1) - BORDER + torch.arange(size, device=pixels.device)
        return (size - 1 - (size - 1 - places.abs()).abs()).abs()

    rows, columns = moved(height), moved(width)
    columns = torch.where(pick(2) == 1, columns.flip(1), columns)
    image = torch.arange(batch, device=pixels.device)[:, None, None, None]
    channel = torch.arange(channels, device=pixels.device)[None, :, None, None]
    return pixels[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
