"""Whether a model gets images in the scale that it was trained in: clean images with known labels show it."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import bdtrc

from radii.data.dataset import DataSet
from radii.errors import InputError, RadiiWarning
from radii.models.adapters.preprocess import Inputs, Preprocess, split_preprocessing
from radii.models.devices import call_guard
from radii.noises import Noise
from radii.sampling.model_call import BaseClassifier, WithinMemory, prepare, unused
from radii.storage.memory import is_of_memory

LOOKED_AT = 64
"""Clean images, spread over those to be sampled."""

USUAL = {
    "--input-range 0,1, no mean, no std": Inputs(),
    "--input-range -1,1": Inputs((-1, 1)),
    "--input-range 0,255": Inputs((0, 255)),
    "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225": Inputs(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "--mean 0.4914,0.4822,0.4465 --std 0.2470,0.2435,0.2616": Inputs(
        mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
    ),
    "--mean 0.1307 --std 0.3081": Inputs(mean=(0.1307,), std=(0.3081,)),
}
"""What models are usually trained with, as options of radii vote: the last three of ImageNet, CIFAR-10 and MNIST."""

CHANCE, CLEAR = 0.01, 1e-6
"""Probabilities below which so many right answers are no luck, and below which they are better beyond doubt."""


@dataclass(frozen=True)
class CleanImages:
    """A model, and clean images `(images, *shape)` with labels, which it classifies in several scales."""

    model: BaseClassifier
    images: torch.Tensor
    labels: np.ndarray

    def right(self, inputs: Inputs) -> int:
        """Return how many images are classified rightly if `inputs` is declared."""
        with torch.inference_mode():
            return int(
                (self.model(Preprocess(inputs)(self.images)).argmax(1).cpu().numpy() == self.labels).sum()
            )


def check_scale(model: BaseClassifier, noise: Noise, data: DataSet) -> None:
    """Raise `InputError` for a model that is no better than chance on clean images, but is in another usual scale.

    Where labels are known, the model classifies a few of the images in each scale. One that is better than chance, and
    far better in another scale, gets a warning.
    """
    if data.labels is None or noise.output_shape(data.shape) != data.shape:
        return
    own, declared = split_preprocessing(model)
    rows = np.arange(0, len(data), max(1, len(data) // LOOKED_AT))[:LOOKED_AT]
    images, labels = torch.from_numpy(data.images(rows)), data.labels[rows]
    chance = float(np.unique(labels, return_counts=True)[1].max()) / len(rows)
    with call_guard(own)():
        clean = CleanImages(WithinMemory(prepare(unused(own), "float32", ())), images, labels)
        right = _first(clean, declared)
        other, best = _better(clean, declared, max(chance, right / len(rows)))
    if not other:
        return
    said = (
        f"{right} of {len(rows)} clean images are classified rightly, but {best} with {other}: declare the scale that "
        f"the model was trained in, to radii vote or radii.load_model"
    )
    if bdtrc(right - 1, len(rows), chance) > CHANCE:
        raise InputError(said)
    warnings.warn(RadiiWarning(said), stacklevel=2)


def _better(clean: CleanImages, declared: Inputs, share: float) -> tuple[str, int]:
    """The scale in which more images are right, by far, than a `share` of them, and how many; or no words."""
    count = len(clean.labels)
    if share**count > CLEAR:
        return "", 0  # not even all of them would be more beyond doubt
    found = {words: clean.right(other) for words, other in _others(declared, clean.images.shape[1])}
    words, best = max(found.items(), key=lambda one: one[1])
    return (words, best) if bdtrc(best - 1, count, share) <= CLEAR else ("", best)


def _others(declared: Inputs, channels: int) -> list[tuple[str, Inputs]]:
    """The usual scales that are not declared and fit so many channels, in the layout that is."""
    usual = [(words, replace(one, layout=declared.layout)) for words, one in USUAL.items()]
    return [
        (words, one) for words, one in usual if one != declared and len(one.mean or (0,)) in (1, channels)
    ]


def _first(clean: CleanImages, declared: Inputs) -> int:
    """Right answers in the declared scale; what a model cannot take shows here."""
    try:
        return clean.right(declared)
    except InputError:
        raise
    except Exception as error:  # of a model that anyone may have written
        if is_of_memory(error):
            raise
        shape = tuple(Preprocess(declared)(clean.images).shape)
        raise InputError(
            f"the model failed on images of shape {shape} ({type(error).__name__}: {error}): if it takes another "
            "layout, declare it, nchw, nhwc or flat"
        ) from error
