"""A small convolutional network for small grey images: seconds to train on a laptop."""

import math

import torch
from torch import Tensor, nn

from radii.models.normalize import Normalize

WIDTHS = (16, 32, 32)


class SmallCNN(nn.Module):
    """Three convolutions, the first two of them with stride 2, and one linear layer.

    On 28x28 digits with noise of sigma 0.5, two seconds of training on two cores give 95 % accuracy on single
    noisy copies. Wide first and last layers would double the time of a vote for half a percent.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        first, second, third = WIDTHS
        self.normalize = Normalize((0.5,) * channels, (0.5,) * channels)
        self.features = nn.Sequential(
            *_convolution(channels, first, kernel=5, stride=2),
            *_convolution(first, second, kernel=3, stride=2),
            *_convolution(second, third, kernel=3, stride=1),
        )
        self.head = nn.Linear(third * math.ceil(height / 4) * math.ceil(width / 4), classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(batch, classes)` of images `(batch, *shape)`."""
        return self.head(torch.flatten(self.features(self.normalize(images)), 1))


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]
