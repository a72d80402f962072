"""What is served: a smoothed classifier that is ready to run, and what it certifies about each image."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from radii.certificates.certify import certify
from radii.data.dataset import DataSet
from radii.noises.lattice import levels_of
from radii.noises.norms import Ball, Norm, Unit
from radii.sampling.sampler import Sampler
from radii.votes.plans import Plan


@dataclass(frozen=True)
class Answer:
    """The label of an image, its certified radius, and the number of noise samples; without a label if abstained."""

    label: int
    radius: float
    abstained: bool
    samples: int


@dataclass(frozen=True, eq=False)
class Service:
    """The smoothed classifier that answers: the label of an image, and how far it stays in the top `k`.

    `plan`: `radii.anytime` with selection samples, or `radii.exhaustive`; `seconds`: time limit of a plan that can stop
    at any moment. `seed` is a secret: an image's noise is a function of the seed and its pixels alone.

    Guarantee: that of `radii.Certificates` for each image, whatever other images are queried before or beside it. It
    holds for all answers about an image together, which are bounds from the same noise samples (docs/serving.md). The
    images must be chosen without knowledge of the seed.
    """

    sampler: Sampler
    plan: Plan
    seed: int
    norm: Norm
    k: int = 1
    unit: Unit = "feature"
    alpha: float = 1e-3
    seconds: float | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # a norm without a rule, or a plan that does not fit, must show before the first request
        self.sampler.noise.trade_offs(Ball(self.norm, self.shape, self.unit))
        self.sampler.check(self._data_set({0: np.zeros(self.shape)}), self.plan, self.k)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.sampler.shape

    def prepared(self, pixels: np.ndarray) -> tuple[int, np.ndarray]:
        """Return the number of an image and the image to sample, of uint8 pixels or float32 in [0, 1].

        Raises `InputError` for pixels that are no 8-bit levels where the noise needs them.
        """
        if self.sampler.exact or self.sampler.noise.of_bytes:
            pixels = levels_of(pixels)
        image = pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels
        return number_of(image, self.seed), image

    def answers(self, images: dict[int, np.ndarray]) -> dict[int, Answer]:
        """Return the answers for some images, by their numbers."""
        votes = self.sampler.vote(
            self._data_set(images), self.plan, self.seed, seconds=self.seconds, k=self.k
        )
        settings: dict[str, Any] = {"k": self.k, "alpha": self.alpha, "unit": self.unit}
        certificates = certify(votes, self.norm, labels="predicted", **settings)
        columns = (
            certificates.label.tolist(),
            certificates.radius.tolist(),
            certificates.abstained.tolist(),
            votes.samples.tolist(),
        )
        return {number: Answer(*row) for number, *row in zip(images, *columns, strict=True)}

    def _data_set(self, images: dict[int, np.ndarray]) -> DataSet:
        pixels, numbers = np.stack(list(images.values())), np.array(list(images))
        return DataSet(pixels, None, numbers, classes=self.classes)


def number_of(image: np.ndarray, seed: int) -> int:
    """Return the number of an image in the random streams: 63 bits of a hash of its pixels, keyed by the seed.

    Without the key, nobody can find two images of one number, or predict the noise of an image.
    """
    content = f"{image.shape}\0".encode() + image.astype("<f4").tobytes()
    digest = blake2b(content, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") >> 1  # numbers of images are signed 64-bit integers, not below 0
