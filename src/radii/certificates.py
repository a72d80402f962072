"""Votes -> certificates: the radius within which the label provably stays in the top k."""

from dataclasses import dataclass

import numpy as np

from radii.noises import Noise


@dataclass(frozen=True, eq=False)
class Certificates:
    """Certified radii of many images, and everything that a reader of them must know.

    `label`, `radius`, `abstained`, `lower`, `index`: arrays `(images,)`; `true_label` too, or None. `radius` is
    in image units (l1, l2, linf) or in whole changed units (l0), 0.0 where nothing is certified. `abstained`
    marks the images whose label could not even be confirmed without any perturbation.

    Guarantee: for each image, with probability at least `1 - alpha` over the draws, no perturbation of norm at
    most `radius` pushes `label` out of the `k` most probable labels of the smoothed classifier.
    """

    label: np.ndarray
    radius: np.ndarray
    abstained: np.ndarray
    lower: np.ndarray
    index: np.ndarray
    true_label: np.ndarray | None
    noise: Noise
    norm: str
    unit: str
    k: int
    alpha: float
    method: str
    labels: str
    shape: tuple[int, ...]
    n: int
    data: str

    def __len__(self) -> int:
        return len(self.label)

    @property
    def correct(self) -> np.ndarray:
        """Where the certified label is the true one, `(images,)`."""
        assert self.true_label is not None
        return self.label == self.true_label
