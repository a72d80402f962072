"""What is stated about the run of another code, and not in its files; sentences that hold for every import."""

from dataclasses import dataclass, field

import numpy as np

from radii.certificates.imported.arrays import whole_numbers
from radii.errors import InputError
from radii.noises import Noise
from radii.noises.base import check_noise
from radii.noises.norms import Norm, Unit
from radii.votes import ImageIdentity
from radii.votes.plans.fixed import check_whole

STATED = (
    "Noise, its parameters, numbers of samples, alpha and the shape of images are as stated to radii import."
)
SEPARATE = "Nothing shows that labels were chosen by other noise samples than those that bound them."
UNIDENTIFIED = (
    "No digest identifies the model or the images: positions are taken to be those in the stated data set."
)


EVERY = slice(0, None, 1)
"""The positions of all images, from the first."""


@dataclass(frozen=True, eq=False)
class Stated:
    """What is stated about a log, and not in it; fields as in `import_log`. `name`: of the run in tables."""

    noise: Noise
    shape: tuple[int, ...]
    n: int | None
    alpha: float
    norm: Norm
    unit: Unit
    labels: np.ndarray | None = None
    positions: slice = field(default_factory=lambda: EVERY)
    data: ImageIdentity | None = None
    name: str = ""

    def __post_init__(self) -> None:
        check_noise(self.noise)
        if not isinstance(self.positions, slice):
            raise InputError(
                f"positions must be a slice, for example slice(500, None, 20); got {self.positions!r}"
            )
        check_whole("start", self.start, 0)
        check_whole("stride", self.stride, 1)
        if self.labels is not None:
            labels = whole_numbers(np.asarray(self.labels), "true labels")
            object.__setattr__(self, "labels", labels)

    def true_labels(self, inside: np.ndarray | None) -> np.ndarray | None:
        """Return the labels in the file, or else those given; raise `InputError` if both are there and differ."""
        if inside is not None and self.labels is not None and not np.array_equal(inside, self.labels):
            raise InputError("the file has true labels, and other ones were given: leave them out")
        return self.labels if inside is None else inside

    @property
    def start(self) -> int:
        """Position of the first image."""
        return 0 if self.positions.start is None else self.positions.start

    @property
    def stride(self) -> int:
        """Distance of the images in the data set."""
        return 1 if self.positions.step is None else self.positions.step

    def index(self, images: int) -> np.ndarray:
        """Return the positions of so many images of a file without them."""
        return self.start + np.arange(images) * self.stride
