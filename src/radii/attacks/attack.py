"""Attack certified images: a perturbation for each that changes the prediction, and how long the shortest one is."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from radii.attacks.descent import Effort
from radii.attacks.search import Hunt, too_many
from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.sampling import Smoothed
from radii.sampling.class_matching import renamed
from radii.sampling.sampler import Progress
from radii.storage.class_names import are_counted

TOGETHER = 32
"""Images attacked at once."""

USUAL = Effort()


@dataclass(frozen=True, eq=False)
class Attacks:
    """What attacks found for each image whose certified radius is above 0.

    `rows`: `(attacked,)`, these images among those of `certificates`. `found`: `(attacked,)`, the length of the
    shortest move that was seen to push the label out of the top k, infinite where there was none; no radius beyond it
    can be certified, which is said wrongly of an image with probability 1e-5 at most. `moved`: the moved images,
    `(attacked, *shape)`, unmoved where nothing was found.
    """

    certificates: Certificates
    rows: np.ndarray
    found: np.ndarray
    moved: np.ndarray

    @property
    def certified(self) -> np.ndarray:
        """The radii of the images attacked, `(attacked,)`."""
        return self.certificates.radius[self.rows]

    @property
    def inside(self) -> np.ndarray:
        """Where the move is not longer than the certified radius, so that the certificate is wrong, `(attacked,)`."""
        return self.found <= self.certified

    @property
    def refuted(self) -> bool:
        """Whether more certificates are wrong than chance explains, each being so with probability `alpha`."""
        return too_many(int(self.inside.sum()), len(self.rows), self.certificates.alpha)

    def accuracy(self, radii: Iterable[float]) -> np.ndarray:
        """Accuracy that attacks leave, `(radii,)`: the share of all images that are correct and were not pushed out.

        An upper bound, beside the lower one of `Certificates.accuracy`.
        """
        held = self.certificates.correct & ~self.certificates.abstained
        found = np.full(len(held), np.inf)
        found[self.rows] = self.found
        return np.array([np.mean(held & ~(found <= radius)) for radius in radii])


def attack(
    smoothed: Smoothed,
    images: np.ndarray,
    certificates: Certificates,
    *,
    effort: Effort = USUAL,
    n: int = 1000,
    reach: float = 8.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attacks:
    """Try to push each certified label out of the top k: within its radius first, then up to `reach` times as far.

    `images`: `(images, *shape)` in [0, 1], those of the certificates, in their order. In l1, l2 and linf by projected
    gradient descent on the mean soft prediction under noise, each move then shortened as far as it goes; in l0 by
    greedy changes. A label counts as pushed out when `n` fresh noisy copies, polled as `smoothed` says, show it.

    Finding nothing proves nothing.
    """
    if certificates.label.ndim > 1:
        raise InputError('an attack is on one label of each image: certify with labels "true" or "predicted"')
    if len(images) != len(certificates):
        raise InputError(
            f"there must be an image for each of {len(certificates)} certificates; got {len(images)}"
        )
    if effort.steps < 1 or effort.copies < 1:
        raise InputError(
            f"an attack takes at least one step and one copy; got {effort.steps} and {effort.copies}"
        )
    if not 1 <= reach < np.inf:
        raise InputError(f"reach must be at least 1, the certified radius; got {reach}")
    rows = np.flatnonzero(~certificates.abstained & (certificates.radius > 0))
    model = renamed(smoothed.model, certificates.classes, "the votes", not are_counted(certificates.classes))
    hunt = Hunt(replace(smoothed, model=model), certificates, effort, n, reach, seed)
    found, moved = np.full(len(rows), np.inf), images[rows].astype(np.float32)
    for begin in range(0, len(rows), TOGETHER):
        some = slice(begin, begin + TOGETHER)
        found[some], moved[some] = hunt(moved[some], rows[some])
        if progress is not None:
            progress(min(begin + TOGETHER, len(rows)), len(rows))
    return Attacks(certificates, rows, found, moved)
