"""Layers around a classifier: normalisation, and a denoiser before it (Salman, Sun, Yang, Kapoor & Kolter 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radii.errors import InputError


class Denoiser(nn.Module):
    """From noisy images to images: `depth` convolutions, `width` channels between them, that guess the noise.

    Normalised as in Zhang, Zuo, Chen, Meng & Zhang 2017, and at half the resolution, four pixels to a position, as in
    Zhang, Zuo & Zhang 2018, which is four times cheaper. Fresh, it changes nothing.
    """

    def __init__(self, depth: int, width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        if depth < 2 or width < 1:
            raise InputError(f"a denoiser has depth >= 2 and width >= 1; got {depth}-{width}")
        packed = 4 * shape[0]
        layers: list[nn.Module] = [nn.Conv2d(packed, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(width, width, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        # as many features, none of them centred, would make each step of the last layer too long
        self.scale = (9 * width) ** -0.5
        last = nn.Conv2d(width, packed, 3, padding=1)
        for weight in last.parameters():
            nn.init.zeros_(weight)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, images: Tensor) -> Tensor:
        """Restored images, of the shape of `images`, `(batch, channels, height, width)`."""
        height, width = images.shape[-2:]
        even = F.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
        noise = F.pixel_shuffle(self.layers(F.pixel_unshuffle(even, 2)), 2)
        return images - self.scale * noise[..., :height, :width]


class Denoised(nn.Module):
    """A classifier that sees images through a denoiser: what is polled, certified, and known by all its weights."""

    def __init__(self, denoiser: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(batch, classes)` of noisy images `(batch, *shape)`."""
        return self.classifier(self.denoiser(images))


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
