"""Attack certified images: search for each the shortest perturbation that changes the smoothed prediction."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from radii.attacks.descent import Effort
from radii.attacks.search import PerturbationSearch, exceeds_chance
from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.sampling import Smoothed
from radii.sampling.class_matching import renamed
from radii.sampling.sampler import Progress
from radii.storage.class_names import are_counted

BATCH = 32
"""Images attacked at the same time."""

DEFAULT_EFFORT = Effort()


@dataclass(frozen=True, eq=False)
class Attacks:
    """Results of attacks on the images whose certified radius is above 0.

    Parameters
    ----------
    certificates : the attacked certificates
    rows : `(attacked,)`, the attacked images among those of `certificates`
    lengths : `(attacked,)`, the norm of the shortest perturbation found that removes the label from the top k;
        infinite where none was found
    perturbed : `(attacked, *shape)`, the perturbed images; the clean image where no perturbation was found

    Notes
    -----
    Guarantee: no radius of `lengths` or more can be certified. For each image this is wrong with probability about
    1e-5: about ten tests, each at level 1e-6.
    """

    certificates: Certificates
    rows: np.ndarray
    lengths: np.ndarray
    perturbed: np.ndarray

    @property
    def certified(self) -> np.ndarray:
        """The certified radii of the attacked images, `(attacked,)`."""
        return self.certificates.radius[self.rows]

    @property
    def within_radius(self) -> np.ndarray:
        """Whether the perturbation lies within the certified radius, which refutes it, `(attacked,)`."""
        return self.lengths <= self.certified

    @property
    def refuted(self) -> bool:
        """Whether more certificates are wrong than chance explains, if each is wrong with probability `alpha`."""
        return exceeds_chance(int(self.within_radius.sum()), len(self.rows), self.certificates.alpha)

    def accuracy(self, radii: Iterable[float]) -> np.ndarray:
        """Return the accuracy under attack, `(radii,)`: the share of all images that stay correct at each radius.

        It bounds the robust accuracy from above, as `Certificates.accuracy` bounds it from below.
        """
        correct = self.certificates.correct & ~self.certificates.abstained
        lengths = np.full(len(correct), np.inf)
        lengths[self.rows] = self.lengths
        return np.array([np.mean(correct & ~(lengths <= radius)) for radius in radii])


def attack(
    smoothed: Smoothed,
    images: np.ndarray,
    certificates: Certificates,
    *,
    effort: Effort = DEFAULT_EFFORT,
    n: int = 1000,
    reach: float = 8.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Attacks:
    """Search for a perturbation of each image that removes its label from the top k of the smoothed classifier.

    In l1, l2 and linf, projected gradient descent on the mean soft prediction under noise; the perturbation found is
    then shortened. In l0, greedy changes of features or pixels. The search starts within the certified radius.

    Parameters
    ----------
    smoothed : the smoothed classifier; its model must be a torch module
    images : `(images, *shape)` in [0, 1], those of the certificates, in the same order
    certificates : about true or predicted labels
    effort : steps and noise samples of the descent
    n : fresh noise samples that test a perturbed image
    reach : largest radius of the search, as a multiple of the certified radius
    seed : of the noise of the descent and of the tests
    progress : called as `progress(done, total)`, in images

    Returns
    -------
    Attacks

    Raises
    ------
    InputError
        If the model has no gradients, or the arguments do not fit together.

    Notes
    -----
    An attack that finds no perturbation proves nothing.
    """
    if certificates.label.ndim > 1:
        raise InputError('an attack needs one label per image: certify with labels "true" or "predicted"')
    if len(images) != len(certificates):
        raise InputError(
            f"there must be an image for each of {len(certificates)} certificates; got {len(images)}"
        )
    if effort.steps < 1 or effort.eot_samples < 1:
        raise InputError(
            "an attack takes at least one step and one noise sample per step; "
            f"got {effort.steps} and {effort.eot_samples}"
        )
    if not 1 <= reach < np.inf:
        raise InputError(f"reach must be at least 1, the certified radius; got {reach}")
    rows = np.flatnonzero(~certificates.abstained & (certificates.radius > 0))
    model = renamed(smoothed.model, certificates.classes, "the votes", not are_counted(certificates.classes))
    search = PerturbationSearch(replace(smoothed, model=model), certificates, effort, n, reach, seed)
    lengths, perturbed = np.full(len(rows), np.inf), images[rows].astype(np.float32)
    for start in range(0, len(rows), BATCH):
        batch = slice(start, start + BATCH)
        lengths[batch], perturbed[batch] = search(perturbed[batch], rows[batch])
        if progress is not None:
            progress(min(start + BATCH, len(rows)), len(rows))
    return Attacks(certificates, rows, lengths, perturbed)
