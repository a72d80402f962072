"""Certificates -> the numbers to compare: certified accuracy, curves, mean radii.

Every number counts *all* images: where the true label is not certified, the radius is 0.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.votes.image_identity import ImageIdentity

QUANTILES = (0.25, 0.5, 0.75)
"""Quantiles of the radii in a summary."""


@dataclass(frozen=True)
class Summary:
    """A set of certificates in a few numbers.

    Parameters
    ----------
    images : number of images
    plain_accuracy : share of all images that are classified correctly without perturbation, without confidence
    certified : share of all images whose true label is certified without perturbation
    statuses : share of all images by what else is shown, `Certificates.statuses` without "certified"
    mean_radius : average certified radius, over all images
    quantiles : of the radii of all images, by `QUANTILES`, as `numpy.quantile` has them
    """

    images: int
    plain_accuracy: float
    certified: float
    statuses: dict[str, float]
    mean_radius: float
    quantiles: dict[float, float]

    @property
    def median_radius(self) -> float:
        """The median of the certified radii, over all images."""
        return self.quantiles[0.5]


def certified_radii(certificates: Certificates) -> np.ndarray:
    """Return the radius of every image, `(images,)`: 0 where its true label is not certified."""
    return np.where(_certified(certificates), certificates.radius, 0.0)


def certified_to(certificates: Certificates, radii: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return which images are correct and certified to each radius, bool `(radii, images)`."""
    return _certified(certificates) & (certificates.radius >= np.asarray(radii, float)[:, None])


def accuracy_curve(certificates: Certificates) -> tuple[np.ndarray, np.ndarray]:
    """Return certified accuracy as a step function of the radius, without rounding.

    Returns
    -------
    radii : `(steps,)`, increasing from 0
    shares : `(steps,)`; `shares[0]` holds at radius 0 and `shares[i]` on `(radii[i - 1], radii[i]]`. Above the last
        radius the accuracy is 0.
    """
    held = np.sort(certificates.radius[_certified(certificates)])
    radii = np.unique(np.append(0.0, held))
    # side="left": an image is certified to its own radius, too
    return radii, (len(held) - np.searchsorted(held, radii, side="left")) / len(certificates)


def empirical_curve(correct: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracy under the attacks that were tried, as a step function of the radius.

    Parameters
    ----------
    correct : `(images,)` bool
        Where the true label is among the k most frequent labels of the votes, certified or not.
    lengths : `(images,)`
        Length of the shortest perturbation found that removes the label; infinite where none was found, or tried.

    Returns
    -------
    radii : `(steps,)`, increasing from 0
    shares : `(steps,)`; `shares[0]` is the plain accuracy, and `shares[i]` holds from `radii[i]` up to the next
        radius, `shares[-1]` at every larger one.

    Notes
    -----
    An image counts as lost from the length of its perturbation on. Images that were never attacked, as those that are
    not certified, are never lost: the curve is an upper bound on robust accuracy.

    Examples
    --------
    Four images, three correct; a perturbation of length 0.5 was found for one of them.

    >>> radii, shares = empirical_curve(np.array([True, True, True, False]), np.array([0.5, np.inf, np.inf, np.inf]))
    >>> radii.tolist(), shares.tolist()
    ([0.0, 0.5], [0.75, 0.5])
    """
    if not len(correct):
        raise InputError("there is nothing to count: the attacks are about no image")
    # an image whose label the majority of votes does not name has no accuracy to lose
    lost = np.sort(lengths[correct & np.isfinite(lengths)])
    radii = np.unique(np.append(0.0, lost))
    # side="right": at the length of its perturbation an image is lost, where certified accuracy still counts it
    left = np.count_nonzero(correct) - np.searchsorted(lost, radii, side="right")
    return radii, left / len(correct)


def label_probabilities(certificates: Certificates) -> np.ndarray:
    """Return the lower bound on the probability of every image's true label, `(images,)`.

    It is 0 where the certificate is about another label, since nothing is known of the true one then.
    """
    if certificates.labels == "top-k-set":
        raise InputError("the bounds of a set are about its weakest label: certify single labels")
    return np.where(certificates.label == certificates.true_label, certificates.lower, 0.0)


def probability_curve(lower: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distribution of lower bounds: the values that occur, increasing, and the shares of at least each."""
    bounds, firsts = np.unique(np.sort(lower), return_index=True)
    return bounds, 1 - firsts / len(lower)


def radius_held_by(certificates: Certificates, share: float) -> float:
    """Return the largest radius at which the certified accuracy is at least `share`; 0.0 if there is none."""
    if not 0 < share <= 1:
        raise InputError(f"share must lie above 0 and be at most 1; got {share!r}")
    # 0.07 * 100 is slightly above 7 in binary: without the slack the eighth image would decide
    needed = math.ceil(share * len(certificates) - 1e-9)
    return float(np.sort(certified_radii(certificates))[::-1][needed - 1])


def summarize(certificates: Certificates) -> Summary:
    """Return accuracies and radii of a set of certificates."""
    certified, radii = _certified(certificates), certified_radii(certificates)
    others = (status for status in certificates.statuses if status != "certified")
    return Summary(
        images=len(certificates),
        plain_accuracy=float(certificates.correct.mean()),
        certified=float(certified.mean()),
        statuses={status: float((certificates.status == status).mean()) for status in others},
        mean_radius=float(radii.mean()),
        quantiles={share: float(np.quantile(radii, share)) for share in QUANTILES},
    )


def status_names(certificates: Iterable[Certificates]) -> list[str]:
    """Return what else than "certified" any of the certificates can say of an image, in a fixed order."""
    known = {status for one in certificates for status in one.statuses}
    return [status for status in ("open", "refuted", "abstained") if status in known]


def _certified(certificates: Certificates) -> np.ndarray:
    """Return where the true label is certified, bool `(images,)`."""
    if not len(certificates):
        raise InputError("there is nothing to summarize: the certificates are about no image")
    return certificates.correctly_certified


def same_question(certificates: Iterable[Certificates]) -> tuple[str, str, int]:
    """Return the norm, unit and k of all certificates; raise `InputError` unless they share them."""
    several = list(certificates)
    questions = {(certified.norm, certified.unit, certified.k) for certified in several}
    if len(questions) != 1:
        raise InputError(f"compare certificates of one norm, unit and k at a time; got {sorted(questions)}")
    # a radius within the box covers fewer perturbations, and so is larger
    if len({certified.box for certified in several}) > 1:
        raise InputError(
            "compare certificates that all use the box [0, 1], or none of them; got some of each kind"
        )
    return questions.pop()


def check_one_data(data: Mapping[str, ImageIdentity | None]) -> None:
    """Raise `InputError` for runs on different data sets; `data`: the images of each run, by its name."""
    first: dict[ImageIdentity, str] = {}
    for name, identity in data.items():
        if identity is not None:
            # subsets of one data set may be compared, so the identity of the whole set counts
            first.setdefault(identity.whole, name)
    if len(first) > 1:
        different = " and ".join(f"{name} is about {whole}" for whole, name in first.items())
        raise InputError(f"{different}: compare runs on one data set at a time")
