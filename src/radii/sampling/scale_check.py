"""Check that images have the scale on which a model was trained: clean images with known labels show it."""

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
from radii.storage.memory import is_out_of_memory

CLEAN_IMAGES = 64
"""Clean images that are classified, spread over those to be sampled."""

COMMON_SCALES = {
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
"""Scales in which models are usually trained, as options of radii vote.

The last three are the means and standard deviations of ImageNet, CIFAR-10 and MNIST.
"""

CHANCE = 0.01
"""P-value above which correct answers count as chance."""

# Models in the right scale must practically never fail. Of 64 images, 21 must be correct where chance has 0.1, all
# where the declared scale has 0.8; from 0.81 on, nothing is clear.
CLEAR = 1e-6
"""P-value up to which another scale is clearly better."""


@dataclass(frozen=True)
class CleanImages:
    """A model, and clean images `(images, *shape)` with labels, which it classifies in several scales."""

    model: BaseClassifier
    images: torch.Tensor
    labels: np.ndarray

    def count_correct(self, inputs: Inputs) -> int:
        """Return how many images are classified correctly in the scale and layout of `inputs`."""
        with torch.inference_mode():
            predicted = self.model(Preprocess(inputs)(self.images)).argmax(1).cpu().numpy()
        return int((predicted == self.labels).sum())


def check_scale(model: BaseClassifier, noise: Noise, data: DataSet) -> None:
    """Raise `InputError` for a model that is no better than chance on clean images, but is in another common scale.

    Warns of a model that is better than chance, and far better in another scale. Does nothing without labels, or where
    noise changes the shape of images.
    """
    if data.labels is None or noise.output_shape(data.shape) != data.shape:
        return
    inner, declared = split_preprocessing(model)
    # spread over all images, which often come sorted by class
    rows = np.arange(0, len(data), max(1, len(data) // CLEAN_IMAGES))[:CLEAN_IMAGES]
    images, labels = torch.from_numpy(data.images(rows)), data.labels[rows]
    # the accuracy of always predicting the most frequent label
    chance = float(np.unique(labels, return_counts=True)[1].max()) / len(rows)
    with call_guard(inner)():
        clean = CleanImages(WithinMemory(prepare(unused(inner), "float32", ())), images, labels)
        correct = _count_declared(clean, declared)
        better = _better_scale(clean, declared, max(chance, correct / len(rows)))
    if better is None:
        return
    options, most = better
    message = (
        f"{correct} of {len(rows)} clean images are classified correctly, but {most} with {options}: declare the scale "
        "that the model was trained in, to radii vote or radii.load_model"
    )
    if bdtrc(correct - 1, len(rows), chance) > CHANCE:
        raise InputError(message)
    warnings.warn(RadiiWarning(message), stacklevel=2)


def _count_declared(clean: CleanImages, declared: Inputs) -> int:
    """Return the number of correct answers in the declared scale; raise `InputError` if the model fails."""
    try:
        return clean.count_correct(declared)
    # our own sentences already say what to do
    except InputError:
        raise
    except Exception as error:  # a model may raise anything
        if is_out_of_memory(error):
            raise
        shape = tuple(Preprocess(declared)(clean.images).shape)
        raise InputError(
            f"the model failed on images of shape {shape} ({type(error).__name__}: {error}): if it takes another "
            "layout, declare it, nchw, nhwc or flat"
        ) from error


def _better_scale(clean: CleanImages, declared: Inputs, accuracy: float) -> tuple[str, int] | None:
    """Return the best other scale and its correct answers, if they are too many for a true `accuracy`; else None."""
    count = len(clean.labels)
    if accuracy**count > CLEAR:
        # even all images correct would not be clear, so the queries can be saved
        return None
    correct = {
        options: clean.count_correct(inputs)
        for options, inputs in _other_scales(declared, clean.images.shape[1])
    }
    options, most = max(correct.items(), key=lambda item: item[1])
    return (options, most) if bdtrc(most - 1, count, accuracy) <= CLEAR else None


def _other_scales(declared: Inputs, channels: int) -> list[tuple[str, Inputs]]:
    """Return the common scales that are not declared and fit the number of channels, in the declared layout."""
    scales = [(options, replace(inputs, layout=declared.layout)) for options, inputs in COMMON_SCALES.items()]
    return [
        (options, inputs)
        for options, inputs in scales
        if inputs != declared and len(inputs.mean or (0,)) in (1, channels)
    ]
