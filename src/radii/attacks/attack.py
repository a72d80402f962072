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
    """Perturbations that attacks found for the images whose certified radius is above 0.

    Parameters
    ----------
    certificates
        Certificates that were attacked.
    rows : `(attacked,)`
        Rows of the attacked images in `certificates`.
    lengths : `(attacked,)`, in the unit of the radii
        Length of the shortest perturbation seen to remove the label from the top k; infinite if none was.
        No radius beyond it can be certified. This is wrong with probability about 1e-5 per image: about ten
        tests, each at level 1e-6.
    perturbed : `(attacked, *shape)`
        Perturbed images; unchanged where nothing was found.
    """

    certificates: Certificates
    rows: np.ndarray
    lengths: np.ndarray
    perturbed: np.ndarray

    @property
    def certified(self) -> np.ndarray:
        """Radii of the attacked images, `(attacked,)`."""
        return self.certificates.radius[self.rows]

    @property
    def within_radius(self) -> np.ndarray:
        """Where a perturbation no longer than the radius proves the certificate wrong, `(attacked,)`."""
        return self.lengths <= self.certified

    @property
    def refuted(self) -> bool:
        """Whether more certificates are wrong than chance explains, each with probability `alpha`."""
        return exceeds_chance(int(self.within_radius.sum()), len(self.rows), self.certificates.alpha)

    def accuracy(self, radii: Iterable[float]) -> np.ndarray:
        """Compute the accuracy that attacks leave: the share of images correct and still in the top k.

        Parameters
        ----------
        radii : `(radii,)`
            Lengths of perturbations at which to count.

        Returns
        -------
        `(radii,)`
            Shares in [0, 1]: an upper bound, beside the lower one of `Certificates.accuracy`.
        """
        correct = self.certificates.correctly_certified
        lengths = np.full(len(correct), np.inf)
        lengths[self.rows] = self.lengths
        # an image without a perturbation, and one that was not attacked, counts as robust at every radius
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
    """Search for a perturbation that removes each certified label from the top k, first within its radius.

    Parameters
    ----------
    smoothed
        Smoothed classifier that was certified.
    images : `(images, *shape)` in [0, 1]
        Images of the certificates, in their order.
    certificates
        Certificates of one label per image.
    effort
        Steps, and noise samples per step.
    n : noise samples
        Fresh samples that must show the label removed.
    reach : factor of the certified radius
        Farthest perturbation to try.
    seed
        Seed of the noise.
    progress : function of images done and images in all
        Called after every few images.

    Returns
    -------
    Attacks
        What was found.

    Raises
    ------
    InputError
        If certificates are of whole sets, images are too few or too many, or a number is out of range.

    Notes
    -----
    Finding nothing proves nothing. In l1, l2 and linf the search is projected gradient descent on the mean
    soft prediction under noise, and each perturbation is then shortened as far as it goes; in l0 it is greedy
    changes. A label counts as removed when `n` fresh noise samples, queried as `smoothed` specifies, show
    it.

    References
    ----------
    Salman, Li, Razenshteyn, Zhang, Zhang, Bubeck & Yang (2019), Provably robust deep learning via
    adversarially trained smoothed classifiers, NeurIPS, section 3.1.

    Examples
    --------
    A linear classifier, which finds the nearest of the mean digits:

    >>> import radii, torch
    >>> from radii.attacks import Effort, attack
    >>> from radii.data import load_data
    >>> train, test = load_data("digits", "train"), load_data("digits", "test").first(4)
    >>> flat, linear = torch.from_numpy(train.images()).flatten(1), torch.nn.Linear(64, 10)
    >>> means = torch.stack([flat[train.labels == digit].mean(0) for digit in range(10)])
    >>> _ = linear.load_state_dict({"weight": means, "bias": -(means**2).sum(1) / 2})
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), linear).eval()
    >>> smoothed = radii.Smoothed(model, radii.Gaussian(sigma=0.25))
    >>> votes = smoothed.vote(test, plan=radii.fixed(1000))
    >>> certificates = radii.certify(votes, "l2")
    >>> attacks = attack(smoothed, test.images(), certificates, effort=Effort(steps=5, eot_samples=4))
    >>> attacks.refuted, bool((attacks.lengths > attacks.certified).all())
    (False, True)
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
    # search radii are multiples of the certified one, so that a radius of 0 gives nothing to search
    rows = np.flatnonzero(certificates.radius > 0)
    model = renamed(smoothed.model, certificates.classes, "the votes", not are_counted(certificates.classes))
    search = PerturbationSearch(replace(smoothed, model=model), certificates, effort, n, reach, seed)
    lengths, perturbed = np.full(len(rows), np.inf), images[rows].astype(np.float32)
    # memory holds one batch, and all its images are tested under the same seed in one call of the sampler
    for start in range(0, len(rows), BATCH):
        batch = slice(start, start + BATCH)
        lengths[batch], perturbed[batch] = search(perturbed[batch], rows[batch])
        if progress is not None:
            progress(min(start + BATCH, len(rows)), len(rows))
    return Attacks(certificates, rows, lengths, perturbed)
