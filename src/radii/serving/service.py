"""What is served: a model that is ready, under one noise, and the question that every image is asked."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from radii.certificates.certify import certify
from radii.data.dataset import DataSet
from radii.noises.lattice import levels_of
from radii.noises.norms import Ball
from radii.sampling.sampler import Sampler
from radii.votes.plans import Plan


@dataclass(frozen=True)
class Answer:
    """The label of an image, how far it is certified, and how many copies that took."""

    label: int
    radius: float
    abstained: bool
    passes: int


@dataclass(frozen=True, eq=False)
class Service:
    """The smoothed classifier that answers: how far does the label of an image stay in the top `k`?

    `plan`: `radii.anytime`, with selection draws, or `radii.exhaustive`; `seconds`: after which a plan for any moment
    stops. `seed` is a secret: an image's noise follows from the seed and its pixels alone.

    Guarantee: that of `radii.Certificates` for each image, whatever other images are asked about, before or beside it,
    and for all answers about it together: they are bounds from the same draws (docs/serving.md). The images must be
    chosen without knowledge of the seed.
    """

    sampler: Sampler
    plan: Plan
    seed: int
    norm: str
    k: int = 1
    unit: str = "feature"
    alpha: float = 1e-3
    seconds: float | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.sampler.noise.trade_offs(Ball(self.norm, self.shape, self.unit))
        self.sampler.check(self._data_set({0: np.zeros(self.shape)}), self.plan, self.k)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image."""
        return self.sampler.shape

    def prepared(self, pixels: np.ndarray) -> tuple[int, np.ndarray]:
        """An image, uint8 or float32 in [0, 1], as its number and what is polled; one off the grid is refused."""
        if self.sampler.exact or self.sampler.noise.of_bytes:
            pixels = levels_of(pixels)
        image = pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels
        return number_of(image, self.seed), image

    def answers(self, images: dict[int, np.ndarray]) -> dict[int, Answer]:
        """The answers about some images, by their numbers."""
        numbers = list(images)
        votes = self.sampler.vote(
            self._data_set(images), self.plan, self.seed, seconds=self.seconds, k=self.k
        )
        asked: dict[str, Any] = {"k": self.k, "alpha": self.alpha, "unit": self.unit}
        found = certify(votes, self.norm, labels="predicted", **asked)
        columns = (
            found.label.tolist(),
            found.radius.tolist(),
            found.abstained.tolist(),
            votes.samples.tolist(),
        )
        return {number: Answer(*row) for number, *row in zip(numbers, *columns, strict=True)}

    def _data_set(self, images: dict[int, np.ndarray]) -> DataSet:
        stack, numbers = np.stack(list(images.values())), np.array(list(images))
        return DataSet(stack, None, numbers, classes=self.classes)


def number_of(image: np.ndarray, seed: int) -> int:
    """The number of an image in the random streams: 63 bits of its pixels' hash, keyed by the seed.

    Without the key nobody finds two images of one number, or knows the noise that an image will get.
    """
    content = f"{image.shape}\0".encode() + image.astype("<f4").tobytes()
    return (
        int.from_bytes(blake2b(content, digest_size=8, key=seed.to_bytes(8, "little")).digest(), "little")
        >> 1
    )
