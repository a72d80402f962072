"""From votes to certificates: the radius within which the label provably stays in the top k."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from html import escape
from typing import Any, Literal

import numpy as np
from scipy.special import betainc

from radii.certificates.probability_bounds import NoiseRules, ideal_bounds
from radii.certificates.radius import certified_radius, confirmed
from radii.errors import InputError, check_name, missing_extra
from radii.noises import Noise, full_name
from radii.noises.norms import Ball, Norm, Unit, check_images, inner_radius, radii_array
from radii.noises.theory.bisection import bisect_whole
from radii.votes import Votes, check_fingerprints
from radii.votes.bounds import ROUNDING, Method, bounds, check_alpha, check_k, sign_test, strongest_rivals
from radii.votes.image_identity import ImageIdentity

Labels = Literal["true", "predicted", "top-k-set"] | str
LABELS = ("true", "predicted", "top-k-set")
PREDICTED_STATUSES = ("certified", "abstained")
KNOWN_STATUSES = ("certified", "open", "refuted")


@dataclass(frozen=True, eq=False, repr=False)
class Certificates:
    """The certified radii of many images, with all settings that they depend on.

    Parameters
    ----------
    label : `(images,)` class numbers, or `(images, k)` with `labels="top-k-set"`
        Label that the certificate is about, or the whole set of labels that stays the top k.
    predicted : `(images,)` class numbers
        Prediction of the smoothed classifier: `label` itself, or the first of the set, where selection samples
        chose it, else the label with the most votes; ABSTAIN for an image without votes.
    status : `(images,)` text
        "certified": the label is confirmed without perturbation, and within `radius`. Of a predicted label or
        set, "abstained": it is not confirmed. Of a label that was known before, "refuted": `k` other classes
        are more probable; "open": neither is shown.
    radius : `(images,)`, in image units (l1, l2, linf) or whole changed units (l0)
        Certified radius; 0.0 where nothing is certified.
    lower : `(images,)` probabilities
        Lower confidence bound on the probability of the label.
    index : `(images,)`
        Position of each image in the data set.
    true_label : `(images,)` or None
        True labels, if the votes carry them.
    true_rank : `(images,)` or None
        Number of classes with more votes than the true label.
    noise
        Noise of the smoothed classifier.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations.
    unit : "feature" or "pixel"
        Unit that l0 counts.
    k
        Number of top classes within which the label stays.
    alpha : probability
        Error probability per image; 0 for votes on all outcomes of a noise.
    method
        Method of the confidence bounds, as in `radii.bounds`.
    labels : "true", "predicted", "top-k-set" or "given"
        Source of the labels.
    shape : channels, height, width
        Shape of one image.
    n : noise samples per image
        Their number, or the most that an image could have under a plan that is not "fixed".
    plan
        Name of the sampling plan.
    mean_samples : noise samples per image
        Their mean over the images, selection samples included.
    seed : int or None
        Seed of the noise samples, if it is known.
    data : ImageIdentity or None
        Data set and part of it.
    box
        Whether perturbations are confined to each image's box [0, 1] by the rules.
    on_grid
        Whether the certificates are about 8-bit images, as with exact arithmetic and some noises.
    jointly
        Whether `alpha` covers the certificates for all k together, and not those for this k alone.
    classes
        Names of the labels, as in the votes.
    unchecked
        Sentences on what cannot be checked, for certificates from the log of another code.

    Notes
    -----
    Guarantee: for each image, with probability at least `1 - alpha` over the noise samples, no
    perturbation of norm at most `radius` removes `label` from the `k` most probable labels of the
    smoothed classifier. In l0, and with `box`, this holds for perturbations that keep the image in
    [0, 1]; with `on_grid`, for perturbations that leave it an 8-bit image. `jointly`, it holds with that
    probability for every k, norm and unit at once. A label that is among the `k` most probable ones is
    refuted with probability at most `alpha` (docs/math/statistics.md).
    """

    label: np.ndarray
    predicted: np.ndarray
    status: np.ndarray
    radius: np.ndarray
    lower: np.ndarray
    index: np.ndarray
    true_label: np.ndarray | None
    true_rank: np.ndarray | None
    noise: Noise
    norm: Norm
    unit: Unit
    k: int
    alpha: float
    method: Method
    labels: str
    shape: tuple[int, ...]
    n: int
    plan: str
    mean_samples: float
    seed: int | None
    data: ImageIdentity | None
    box: bool = False
    on_grid: bool = False
    jointly: bool = False
    classes: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        unit = f" ({self.unit}s)" * (self.norm == "l0")
        radii = (
            self.radius if self.true_label is None else np.where(self.correctly_certified, self.radius, 0.0)
        )
        median = Fraction(float(np.median(radii)) if len(radii) else 0)
        shares = [] if self.true_label is None else [("plain accuracy", self.correct)]
        shares += [(status, self.status == status) for status in self.statuses]
        return (
            f"Certificates of {len(self)} images, {self.norm}{unit}, k = {self.k}, alpha = {self.alpha:g}\n"
            f"noise {full_name(self.noise)}\n"
            + ", ".join(f"{name} {where.mean() if len(self) else 0:.1%}" for name, where in shares)
            # rounded down, as all radii in texts are
            + f", median radius {math.floor(median * 10**4) / 10**4}"
        )

    def _repr_html_(self) -> str:
        """Return what `repr` says as a small table, for notebooks."""
        first, noise, shares = (escape(line) for line in repr(self).splitlines())
        cells = "".join(f"<tr><td>{share.strip()}</td></tr>" for share in shares.split(", "))
        return f"<table><caption>{first}<br>{noise}</caption>{cells}</table>"

    @property
    def confined(self) -> str:
        """The perturbed images covered: "grid", those of 8 bits; "box", those in [0, 1]; "", all."""
        return "grid" if self.on_grid else "box" if self.box or self.norm == "l0" else ""

    @property
    def statuses(self) -> tuple[str, ...]:
        """The values that `status` can have: two for predicted labels, three for labels that were known before."""
        return PREDICTED_STATUSES if self.labels in ("predicted", "top-k-set") else KNOWN_STATUSES

    @property
    def certified(self) -> np.ndarray:
        """Where the label is confirmed to be in the top k, within `radius`, `(images,)` bool."""
        return self.status == "certified"

    @property
    def abstained(self) -> np.ndarray:
        """Where the smoothed classifier abstains: predicted labels that are not confirmed, `(images,)` bool."""
        if "abstained" not in self.statuses:
            raise InputError(
                "labels that were known before are certified, open or refuted (status): "
                "abstentions are those of certificates of labels='predicted'"
            )
        return self.status == "abstained"

    @property
    def correct(self) -> np.ndarray:
        """Where the unperturbed image is classified correctly, `(images,)` bool, without confidence.

        The true label is among the k with the most votes, or among those that selection samples chose.
        """
        if self.labels in ("predicted", "top-k-set") or self.true_rank is None:
            return self._of_true_label
        return self.true_rank < self.k

    @property
    def correctly_certified(self) -> np.ndarray:
        """Where the true label is certified, as the label or in the set, `(images,)` bool: the certified accuracy."""
        return self.certified & self._of_true_label

    @property
    def _of_true_label(self) -> np.ndarray:
        if self.true_label is None:
            raise InputError("these votes carry no true labels, so that no accuracy follows from them")
        return (self.label.reshape(len(self), -1) == self.true_label[:, None]).any(axis=1)

    def accuracy(self, radii: Iterable[float], *, beta: float | None = None) -> np.ndarray:
        """Compute the certified accuracy: the share of all images whose true label is certified to a radius.

        Parameters
        ----------
        radii : `(radii,)`, in the unit of `radius`
            Radii at which to count.
        beta : probability
            Count images as not certified, as many as `most_false(beta)`. The shares then are lower bounds on
            those of images that are correct and truly robust, at all radii at once, with probability
            at least `1 - beta`.

        Returns
        -------
        `(radii,)`
            Shares in [0, 1].
        """
        columns = radii_array(radii)
        # written so that NaN fails, too
        if not (columns >= 0).all():
            raise InputError(f"radii must be numbers of at least 0; got {columns[~(columns >= 0)][0]:g}")
        held = self.correctly_certified
        shares = np.array([np.mean(held & (self.radius >= radius)) for radius in columns])
        return shares if beta is None else np.maximum(shares - self.most_false(beta) / len(self), 0)

    def most_false(self, beta: float = 1e-3) -> int:
        """Compute how many of these images may have a false certificate, at confidence `1 - beta`.

        Parameters
        ----------
        beta : probability
            Error probability of the statement about all images.

        Returns
        -------
        int
            The least q with `P(Binomial(images, alpha) > q) <= beta`.

        Notes
        -----
        Guarantee: with probability at least `1 - beta`, at most q images have a false certificate. Hence, of
        any c images, however chosen, at least `c - q` are truly certified (docs/math/statistics.md). Noise
        samples of different images must be independent, as those of one seed are.
        """
        check_alpha(beta)
        q = np.arange(len(self))
        # the tail of the binomial distribution above q; a rounding that counts one image more is sound
        return int((betainc(q + 1, len(self) - q, self.alpha) * (1 + ROUNDING) > beta).sum())

    def to_pandas(self) -> Any:
        """Return a data frame with one row per image, in the columns of the CSV of `radii certify`.

        At r above 0, `(frame.correct & (frame.radius >= r)).mean()` is the certified accuracy.
        """
        try:
            import pandas
        except ImportError as error:
            raise missing_extra("to_pandas", "report", error) from error
        return pandas.DataFrame(
            {name: column for name, column in self.columns().items() if column is not None}
        )

    def columns(self) -> dict[str, Any]:
        """Return what is known of each image, by column: a list or an array per column, None where it is unknown."""
        chosen = self.labels == "top-k-set"
        return {
            "index": self.index,
            "true_label": self.true_label,
            "predicted": list(self.label) if chosen else self.predicted,
            "correct": None if self.true_label is None else self.correct,
            "status": self.status,
            # a log of radii says nothing about probabilities
            "lower": None if np.isnan(self.lower).all() else self.lower,
            "radius": self.radius,
            "jointly": np.full(len(self), self.jointly),
        }


def certify(
    votes: Votes,
    norm: Norm,
    *,
    k: int = 1,
    alpha: float = 1e-3,
    labels: Labels | np.ndarray = "true",
    method: Method | None = None,
    unit: Unit = "pixel",
    images: np.ndarray | None = None,
    jointly: bool = False,
) -> Certificates:
    """Certify every image of `votes`: compute the radius within which its label stays in the top k.

    Parameters
    ----------
    votes
        Class counts of a smoothed classifier, complete for their plan.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations.
    k : 1 to classes - 1
        Number of top classes within which the label must stay.
    alpha : probability
        Error probability per image.
    labels : "true", "predicted", "top-k-set" or `(images,)`
        Labels to certify: "true", the labels in the votes (certified accuracy); "predicted", the label
        that the separate selection samples chose (deployment, where the truth is unknown); "top-k-set", the
        whole predicted top-k set at once; or labels chosen without looking at these counts.
    method : "two-event", "simultaneous" or "binary"
        Method of the confidence bounds, as in `radii.bounds`. The default is "two-event"; after a pilot,
        the one for which the pilot predicts the larger radius.
    unit : "feature" or "pixel"
        Unit that l0 counts; a pixel is all channels of one position.
    images : `(images, *shape)` in [0, 1]
        The very images of the votes, for larger radii in l0 and l1, as in `radii.certified_radius`.
    jointly
        Whether `alpha` covers the certificates for all k together, so that k may be chosen afterwards.
        `method` must be left out.

    Returns
    -------
    Certificates
        One certificate per image. Where the label is not confirmed, the radius is 0.

    Raises
    ------
    InputError
        If the votes are incomplete, carry no labels of the kind asked for, cannot certify anything at
        `alpha`, or were made by a plan that fixed `labels`, `alpha`, `method` or `k` otherwise.

    Notes
    -----
    Guarantee: that of `Certificates`, for each image and each question by itself. Norms, units and radii
    share the error of one question. Each further k, method, source of labels or file of votes is a question
    of its own; the errors of all k sum to at most `alpha` with `jointly` (docs/math/statistics.md).

    Votes on all outcomes of a noise have no sampling error: `alpha` is then 0, whatever is given, and
    "predicted" labels are those of these very votes. The looks of a sequential plan fix labels, `alpha`
    and method, and those of `radii.TopK` fix `k`.

    References
    ----------
    Cohen, Rosenfeld & Kolter (2019), Certified adversarial robustness via randomized smoothing, ICML.
    Jia, Cao, Wang & Gong (2020), Certified robustness for top-k predictions against adversarial
    perturbations via randomized smoothing, ICLR.

    Examples
    --------
    Two images, 1000 noise samples each, of which the label of the second is too close to call:

    >>> import numpy as np, radii
    >>> from dataclasses import replace
    >>> votes = radii.Votes(
    ...     counts=np.array([[990, 10], [520, 480]]), selection=np.array([[98, 2], [55, 45]]),
    ...     labels=np.array([0, 1]), index=np.array([0, 1]), noise=radii.Gaussian(sigma=0.25),
    ...     shape=(3, 32, 32), plan=radii.fixed(1000), draws=((0, 1000),), seed=0, model="none")
    >>> certificates = radii.certify(votes, "l2")
    >>> certificates.radius.round(2)
    array([0.49, 0.  ])
    >>> certificates.status
    array(['certified', 'open'], dtype='<U9')
    >>> certificates
    Certificates of 2 images, l2, k = 1, alpha = 0.001
    noise gaussian:sigma=0.25
    plain accuracy 50.0%, certified 50.0%, open 50.0%, refuted 0.0%, median radius 0.2448

    The label of the second is certified to be among the top two of three classes:

    >>> counts = np.array([[980, 10, 10], [520, 470, 10]])
    >>> three = replace(votes, counts=counts, selection=counts // 10, classes=())
    >>> radii.certify(three, "l2", k=2).radius.round(2)
    array([0.55, 0.21])
    """
    if not isinstance(votes, Votes):
        raise InputError(f"certify takes votes, as radii.load_votes gives them from a file; got {votes!r}")
    check_k(k, len(votes.classes))
    check_alpha(alpha)
    unit = Ball(norm, votes.shape, unit).unit
    plan = votes.plan
    method = plan.resolve_method(labels, k, alpha, method, jointly)
    check_complete(votes)
    # a wrong number of images is left to `certified_radius`, whose message names both numbers
    if images is not None and len(own := check_images(images, votes.shape)) == len(votes):
        check_fingerprints(votes, own)
    chosen, source = choose_labels(votes, labels, k)
    last = plan.last_test(alpha, method)
    if last is None:
        alpha = 0.0
    elif not plan.hypotheses and not plan.open_ended:
        # a sequential plan checked that when it was made; an anytime plan may have been stopped early on purpose
        last_method, last_alpha = last
        check_reach(votes.n, k, last_alpha, last_method, len(votes.classes))
    rules = NoiseRules(votes.noise, votes.shape, votes.exact_arithmetic)
    lower, rivals = ideal_bounds(votes, chosen, k=k, alpha=alpha, method=method)
    # a whole set has one rival, the strongest class outside, whatever its k (docs/math/certificates.md)
    places = rivals.shape[1]
    reach = certified_radius(
        votes.noise, norm, lower, rivals, k=places, shape=votes.shape, unit=unit, images=images
    )
    radius = plan.decided_radius(votes, norm, unit, k, reach, rules, images is not None)
    # what the looks decided stays certified, even if the last bounds alone do not confirm the label
    held = confirmed(lower, rivals) | (radius > 0)
    known = source not in ("predicted", "top-k-set")
    return Certificates(
        label=chosen,
        predicted=votes.majority() if known else chosen.reshape(len(votes), -1)[:, 0],
        status=np.where(
            held,
            "certified",
            np.where(refuted(votes, chosen, k, alpha), "refuted", "open") if known else "abstained",
        ),
        radius=radius,
        lower=lower,
        index=votes.index,
        true_label=votes.labels,
        true_rank=None if votes.labels is None else votes.rank(votes.labels),
        noise=votes.noise,
        norm=norm,
        unit=unit,
        k=k,
        alpha=alpha,
        method=method,
        labels=source,
        shape=votes.shape,
        n=votes.n,
        plan=plan.name,
        mean_samples=float(votes.samples.mean()),
        seed=votes.seed,
        data=votes.data,
        box=images is not None,
        on_grid=votes.exact_arithmetic or votes.noise.of_bytes,
        jointly=jointly,
        classes=votes.classes,
        unchecked=votes.unchecked,
    )


def refuted(votes: Votes, label: np.ndarray, k: int, alpha: float) -> np.ndarray:
    """Return where `k` classes are shown to be more probable than the label, `(images,)` bool.

    Guarantee: a label that is among its image's `k` most probable ones is refuted with probability at most `alpha`, for
    all k at once, under the noise as it is drawn (docs/math/statistics.md, 'Refuted labels').
    """
    own = votes.counts[np.arange(len(votes)), label]
    weakest = strongest_rivals(votes.counts, label, k)[:, 0]
    if votes.plan.outcomes is not None:
        return weakest > own
    # which classes are ahead, and when sampling stopped, was not fixed before the counts
    questions = (len(votes.classes) - 1) * len(votes.plan.sample_sizes)
    return sign_test(weakest, own) <= alpha / questions


def to_norm(certificates: Certificates, norm: Norm) -> Certificates:
    """Return the certificates in another of the norms l1, l2 and linf, for noise without a rule for it.

    The radius is that of the largest ball within each certified one; from l1 to l2 that costs a factor `sqrt(d)`.

    Guarantee: that of `Certificates`.
    """
    # bounds and abstentions are about probabilities, which the norm does not change
    radius = inner_radius(certificates.radius, certificates.norm, norm, math.prod(certificates.shape))
    return replace(certificates, norm=norm, radius=radius)


def check_complete(votes: Votes) -> None:
    """Raise `InputError` for a part of the samples: to certify parts until one succeeds is to look too often."""
    if not votes.complete:
        raise InputError(
            f"these votes hold {votes.n} of the {votes.plan.n_max} planned samples: add the other parts first"
        )


def choose_labels(votes: Votes, labels: Labels | np.ndarray, k: int) -> tuple[np.ndarray, str]:
    """Return the labels to certify, chosen without the samples that bound them, and their source."""
    if not isinstance(labels, str):
        # chosen by the caller, without these counts: nothing here can check that
        chosen = np.asarray(labels)
        if chosen.shape != (len(votes),):
            raise InputError(f"labels must be one per image, shape ({len(votes)},); got {chosen.shape}")
        return chosen, "given"
    check_name("labels", labels, LABELS)
    if labels == "true":
        if votes.labels is None:
            raise InputError(
                "these votes carry no true labels: certify the predicted ones (labels='predicted')"
            )
        return votes.labels, labels
    # votes on all outcomes are the probabilities themselves: choosing by them biases nothing
    all_outcomes = votes.plan.outcomes is not None
    if not votes.plan.selection and not all_outcomes:
        raise InputError(
            "these votes have no selection samples to predict labels by: vote with selection > 0"
        )
    # stable: ties go to the smaller class number on every machine
    order = np.argsort(-(votes.counts if all_outcomes else votes.selection), axis=1, kind="stable")
    return (order[:, 0] if labels == "predicted" else order[:, :k]), labels


def check_reach(n: int, k: int, alpha: float, method: Method, classes: int) -> None:
    """Raise `InputError` for a number of samples at which not even unanimous votes certify anything."""
    if not unanimous(n, k, alpha, method, classes)[2]:
        raise InputError(
            f"n = {n} samples cannot certify anything at alpha = {alpha:g} and k = {k}: even unanimous votes leave "
            f"the label unconfirmed; take at least {least_samples(k, alpha, method, classes)} samples"
        )


def least_samples(k: int, alpha: float, method: Method, classes: int) -> int:
    """Return the smallest number of samples at which unanimous votes confirm a label."""

    def too_few(n: np.ndarray) -> np.ndarray:
        return np.array(not unanimous(int(n), k, alpha, method, classes)[2])

    # more unanimous samples confirm at least as much, so that doubling and bisection find the smallest number
    low, high = 0, 1
    while too_few(np.array(high)):
        low, high = high, 2 * high
    return int(bisect_whole(too_few, low, high)[1])


def unanimous(
    n: int, k: int, alpha: float, method: Method, classes: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the bounds from `n` unanimous samples, `(1,)` and `(1, k)`, and whether they confirm the label."""
    # which class has all votes makes no difference
    counts = np.zeros((1, classes), dtype=np.int64)
    counts[0, 0] = n
    lower, rivals = bounds(counts, np.array([0]), k=k, alpha=alpha, method=method)
    return lower, rivals, bool(confirmed(lower, rivals)[0])


def reachable_radius(
    noise: Noise,
    norm: Norm,
    n: int,
    *,
    k: int = 1,
    alpha: float = 1e-3,
    method: Method = "two-event",
    classes: int,
    shape: tuple[int, ...],
    unit: Unit = "pixel",
) -> float:
    """Compute the largest radius that `n` unanimous noise samples can certify, before paying for them.

    Parameters
    ----------
    noise
        Noise of the smoothed classifier.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations.
    n : noise samples
        Number per image.
    k
        Number of top classes within which the label must stay.
    alpha : probability
        Error probability per image.
    method
        Method of the confidence bounds, as in `radii.bounds`.
    classes
        Number of classes.
    shape : channels, height, width
        Shape of one image.
    unit : "feature" or "pixel"
        Unit that l0 counts, as in `radii.certify`.

    Returns
    -------
    float
        Radius in image units, or in whole changed units for l0.

    Raises
    ------
    InputError
        If `k` leaves no class outside the top k, or `alpha` is not a probability.

    Examples
    --------
    >>> import radii
    >>> noise = radii.Gaussian(sigma=0.25)
    >>> round(radii.reachable_radius(noise, "l2", 100_000, classes=10, shape=(3, 32, 32)), 2)
    0.95
    """
    check_k(k, classes)
    check_alpha(alpha)
    lower, rivals, _ = unanimous(n, k, alpha, method, classes)
    return float(certified_radius(noise, norm, lower, rivals, k=k, shape=shape, unit=unit)[0])
