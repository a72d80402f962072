"""Whether a model is asked in the scale that it was trained in: clean images tell, where their labels are known."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import bdtrc

from radii.data.examples import Examples
from radii.errors import InputError, RadiiWarning
from radii.models.adapters.preprocess import Inputs, Preprocess, taken_apart
from radii.models.devices import turns_of
from radii.noises import Noise
from radii.sampling.model_call import Ask, WithinMemory, prepare
from radii.sampling.monte_carlo import unused
from radii.storage.memory import is_of_memory

LOOKED_AT = 64
"""Clean images, spread over those to be polled."""

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
class Looks:
    """Clean images `(images, *shape)` with labels that a model is asked about in several scales."""

    ask: Ask
    images: torch.Tensor
    labels: np.ndarray

    def right(self, inputs: Inputs) -> int:
        """How many images are classified rightly if `inputs` is declared."""
        with torch.inference_mode():
            return int(
                (self.ask(Preprocess(inputs)(self.images)).argmax(1).cpu().numpy() == self.labels).sum()
            )


def check_scale(model: Ask, noise: Noise, examples: Examples) -> None:
    """Refuse a model that knows clean images no better than chance, but does if they come in another usual scale.

    It asks about a few of the images, if their labels are known, in each scale; a model that is better than chance, and
    far better in another scale, is worth a notice.
    """
    if examples.labels is None or noise.output_shape(examples.shape) != examples.shape:
        return
    own, declared = taken_apart(model)
    rows = np.arange(0, len(examples), max(1, len(examples) // LOOKED_AT))[:LOOKED_AT]
    images, labels = torch.from_numpy(examples.clean(rows)), examples.labels[rows]
    chance = float(np.unique(labels, return_counts=True)[1].max()) / len(rows)
    with turns_of(own)():
        looks = Looks(WithinMemory(prepare(unused(own), "float32", ())), images, labels)
        right = _first(looks, declared)
        words, best = _better(looks, declared, max(chance, right / len(rows)))
    if not words:
        return
    said = (
        f"{right} of {len(rows)} clean images are classified rightly, but {best} with {words}: declare the scale that "
        f"the model was trained in, to radii vote or radii.load_model"
    )
    if bdtrc(right - 1, len(rows), chance) > CHANCE:
        raise InputError(said)
    warnings.warn(RadiiWarning(said), stacklevel=2)


def _better(looks: Looks, declared: Inputs, share: float) -> tuple[str, int]:
    """The scale in which more images are right, by far, than a `share` of them, and how many; or no words."""
    count = len(looks.labels)
    if share**count > CLEAR:
        return "", 0  # not even all of them would be more beyond doubt
    found = {words: looks.right(other) for words, other in _others(declared, looks.images.shape[1])}
    words, best = max(found.items(), key=lambda one: one[1])
    return (words, best) if bdtrc(best - 1, count, share) <= CLEAR else ("", best)


def _others(declared: Inputs, channels: int) -> list[tuple[str, Inputs]]:
    """The usual scales that are not declared and fit so many channels, in the layout that is."""
    usual = [(words, replace(one, layout=declared.layout)) for words, one in USUAL.items()]
    return [
        (words, one) for words, one in usual if one != declared and len(one.mean or (0,)) in (1, channels)
    ]


def _first(looks: Looks, declared: Inputs) -> int:
    """Right answers in the declared scale; what a model cannot take shows here."""
    try:
        return looks.right(declared)
    except InputError:
        raise
    except Exception as error:  # of a model that anyone may have written
        if is_of_memory(error):
            raise
        shape = tuple(Preprocess(declared)(looks.images).shape)
        raise InputError(
            f"the model failed on images of shape {shape} ({type(error).__name__}: {error}): if it takes another "
            "layout, declare it, nchw, nhwc or flat"
        ) from error
