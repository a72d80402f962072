"""What is served: a smoothed classifier that is ready to run, and what it certifies about each image."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import blake2b
from typing import Any

import numpy as np

from radii.certificates.certify import certify
from radii.data.dataset import DataSet
from radii.errors import InputError
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

    def at_distance(self, distance: float) -> "Answer":
        """Return the answer for an image at most so far from the one that was sampled; 0 is the same image.

        Guarantee: a certificate wherever this one is, since the ball of the smaller radius about the other image lies
        within the certified ball.
        """
        if not distance:
            return self
        radius = self.radius - distance
        if not distance.is_integer():  # numbers of pixels or features, in l0, are subtracted without rounding
            radius = math.nextafter(radius, -math.inf)
        return replace(self, radius=max(radius, 0.0), abstained=self.abstained or radius < 0)


@dataclass(frozen=True, eq=False)
class Service:
    """The smoothed classifier that answers: the label of an image, and how far it stays in the top `k`.

    `plan`: `radii.anytime` with selection samples, or `radii.exhaustive`; `seconds`: time limit of a plan that can stop
    at any moment. `seed` is a secret: an image's noise is a function of the seed and its 8-bit pixels alone. `budget`:
    bound on the probability that any answer is ever wrong, None for that of each image by itself.

    Guarantee: that of `radii.Certificates` for each image, whatever other images are queried before or beside it. It
    holds for all answers about an image together, which are bounds from the same noise samples (docs/serving.md). The
    images must be chosen without knowledge of the seed.
    """

    sampler: Sampler
    plan: Plan
    seed: int
    norm: Norm
    k: int = 1
    unit: Unit = "pixel"
    alpha: float = 1e-3
    seconds: float | None = None
    classes: tuple[str, ...] = ()
    budget: float | None = None

    def __post_init__(self) -> None:
        if self.budget is not None:
            if self.sampler.noise.outcomes:
                raise InputError(
                    f"{self.sampler.noise.name} noise has no sampling error: leave out the budget of alpha"
                )
            if not self.alpha <= self.budget < 1:
                raise InputError(
                    f"the budget of alpha must be at least alpha, {self.alpha:g}, and below 1; got {self.budget:g}"
                )
        # a norm without a rule, or a plan that does not fit, must show before the first request
        ball = Ball(self.norm, self.shape, self.unit)
        self.sampler.noise.trade_offs(ball)
        object.__setattr__(self, "unit", ball.unit)
        self.sampler.check(self._data_set({0: np.zeros(self.shape)}), self.plan, self.k)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image."""
        return self.sampler.shape

    @property
    def most_images(self) -> int | None:
        """The number of different images that are answered within the budget; None without one."""
        # as decimals, in which both were written
        return None if self.budget is None else Fraction(str(self.budget)) // Fraction(str(self.alpha))

    def prepared(self, pixels: np.ndarray) -> tuple[int, np.ndarray, float]:
        """Return the number of an image, the image to sample, and how far that is from `pixels`, in the norm.

        Images are rounded to 8 bits. Otherwise each of an image's neighbours, such as those of one ulp, would get fresh
        noise, and a client could repeat until one of them has a lucky certificate. `pixels`: uint8, or float32 in
        [0, 1]. Raises `InputError` for pixels that are no 8-bit levels where the theorem is about these alone.
        """
        if self.sampler.exact or self.sampler.noise.of_bytes:
            pixels = levels_of(pixels)
        levels = pixels if pixels.dtype == np.uint8 else np.rint(pixels * np.float32(255)).astype(np.uint8)
        image = levels / np.float32(255)
        rounding = 0.0 if levels is pixels else self._distance(pixels, image)
        return number_of(image, self.seed), image, rounding

    def _distance(self, one: np.ndarray, two: np.ndarray) -> float:
        """Return the distance of two images in the norm of the radii, rounded up."""
        moved = np.abs(one.astype(np.float64) - two)
        if self.norm == "l0":
            return float((moved.any(axis=0) if self.unit == "pixel" else moved > 0).sum())
        lengths = {"l1": moved.sum(), "l2": np.sqrt((moved**2).sum()), "linf": moved.max()}
        return float(lengths[self.norm]) * (1 + 1e-9)  # more than a sum loses by rounding

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
