"""Layers around a classifier: a denoiser in front of it, and normalisation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from radii.errors import InputError


class Denoiser(nn.Module):
    """Network from noisy images to images, which estimates the noise and subtracts it.

    Parameters
    ----------
    depth : at least 2
        Number of convolutions.
    width
        Channels between them.
    shape : channels, height, width
        Shape of one image, of which only the channels matter.

    Raises
    ------
    InputError
        If `depth` is below 2, or `width` below 1.

    Notes
    -----
    The network works at half the resolution, with four pixels per position, which is four times cheaper.
    With fresh weights it changes nothing.

    References
    ----------
    Zhang, Zuo, Chen, Meng & Zhang (2017), Beyond a Gaussian denoiser, IEEE TIP, for the normalisation.
    Zhang, Zuo & Zhang (2018), FFDNet, IEEE TIP, for the resolution.

    Examples
    --------
    >>> import torch
    >>> from radii.models import Denoiser
    >>> images = torch.rand(2, 3, 32, 32)
    >>> bool((Denoiser(3, 8, (3, 32, 32))(images) == images).all())
    True
    """

    def __init__(self, depth: int, width: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        if depth < 2 or width < 1:
            raise InputError(f"a denoiser has depth >= 2 and width >= 1; got {depth}-{width}")
        packed = 4 * shape[0]
        # a convolution has a bias only where no batch normalisation follows, which would subtract it
        layers: list[nn.Module] = [nn.Conv2d(packed, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(width, width, 3, padding=1, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        # the last layer sums 9 * width features, none of them centred: unscaled, each of its steps would be too long
        self.scale = (9 * width) ** -0.5
        last = nn.Conv2d(width, packed, 3, padding=1)
        # zeros, so that the first steps start from the identity
        for weight in last.parameters():
            nn.init.zeros_(weight)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, images: Tensor) -> Tensor:
        """Compute restored images, of the shape of `images`, `(batch, channels, height, width)`."""
        height, width = images.shape[-2:]
        # an odd size gets one more row or column, which is cut off at the end
        even = F.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
        noise = F.pixel_shuffle(self.layers(F.pixel_unshuffle(even, 2)), 2)
        return images - self.scale * noise[..., :height, :width]


class Denoised(nn.Module):
    """Base classifier made of a denoiser and a classifier, identified by the weights of both.

    Parameters
    ----------
    denoiser : images to images
        First module.
    classifier : images to logits
        Second module.

    References
    ----------
    Salman, Sun, Yang, Kapoor & Kolter (2020), Denoised smoothing, NeurIPS.

    Examples
    --------
    >>> import torch
    >>> from radii.models import Denoised, make_model
    >>> parts = [make_model(name, (1, 8, 8), 10) for name in ("denoiser-2-4", "small-cnn")]
    >>> Denoised(*parts)(torch.rand(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(self, denoiser: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits `(batch, classes)` of noisy images `(batch, *shape)`."""
        return self.classifier(self.denoiser(images))


class Normalize(nn.Module):
    """Layer that centres and scales each channel of images in [0, 1] plus noise.

    Parameters
    ----------
    mean : one per channel
        Subtracted first.
    std : one per channel
        Divided by then.

    Notes
    -----
    Mean and standard deviation are buffers: they travel with the weights and belong to the digest.

    Examples
    --------
    >>> import torch
    >>> from radii.models import Normalize
    >>> Normalize(mean=(0.5,), std=(0.25,))(torch.ones(1, 1, 1, 1)).item()
    2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std
