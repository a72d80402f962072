"""Models of others, made the same in any process: the nearest mean of the digits of each class, in any scale."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from radii.data import load_data
from radii.models.adapters.preprocess import Inputs, Preprocess

SHAPE, CLASSES = (1, 8, 8), 10


class NearestMean(nn.Module):
    """Logits of the nearest mean of the training digits, about nine of ten right, of images as `inputs` says."""

    def __init__(self, inputs: Inputs | None = None) -> None:
        super().__init__()
        data = load_data("digits", "train")
        images = Preprocess(inputs or Inputs())(torch.from_numpy(data.images())).flatten(1)
        means = torch.stack([images[data.labels == label].mean(0) for label in range(CLASSES)])
        self.layer = nn.Linear(means.shape[1], CLASSES)
        with torch.no_grad():
            self.layer.weight.copy_(2 * means)
            self.layer.bias.copy_(-means.square().sum(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


class LikeHuggingFace(nn.Module):
    """Answers as image classifiers of transformers do: an object with logits among other things."""

    def __init__(self) -> None:
        super().__init__()
        self.model = NearestMean()

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        return SimpleNamespace(loss=None, logits=self.model(pixel_values), hidden_states=None)


plain = NearestMean().eval()
centred = NearestMean(Inputs((-1, 1))).eval()
like_hugging_face = LikeHuggingFace().eval()
convolution = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10)).eval()
in_training = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 10))
meta = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, device="meta")).eval()
lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(10)).eval()
number = 3


class Masked(nn.Module):
    """The nearest mean with the classes 7 to 9 switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.model = NearestMean()

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).index_fill(1, torch.arange(7, 10), -torch.inf)


masked = Masked().eval()


def make() -> nn.Module:
    """A factory."""
    return NearestMean().eval()


def function(images: Tensor) -> Tensor:
    """A model that is not a module."""
    return plain(images)


def broken() -> nn.Module:
    raise LookupError("the weights have moved")


def not_finite(images: Tensor) -> Tensor:
    return torch.where((images < 0).flatten(1).any(1), torch.nan, 0.0)[:, None] + plain(images)


def probabilities(images: Tensor) -> Tensor:
    return plain(images).softmax(1)


def lucky(images: Tensor) -> Tensor:
    return plain(nn.functional.dropout(images, 0.2, training=True))


def nine_classes(images: Tensor) -> Tensor:
    return plain(images)[:, :9]


def one_number(images: Tensor) -> Tensor:
    return plain(images).amax(1)


def one_logit(images: Tensor) -> Tensor:
    """A binary model: above 0 for images that are rather bright."""
    return images.flatten(1).sum(1, keepdim=True) - 20


def thresholded(images: Tensor) -> Tensor:
    return plain(images) > 0


def on_meta(images: Tensor) -> Tensor:
    return meta(images.to("meta"))


def digits(count: int, every: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Test images and their labels."""
    data = load_data("digits").every(every).first(count)
    return data.images(), data.labels
