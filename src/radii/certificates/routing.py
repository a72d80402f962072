"""Dual smoothing: a smoothed router chooses the run that answers, and both certificates count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from radii.certificates.certify import Certificates, Labels, certify
from radii.errors import InputError
from radii.noises.norms import Norm, Unit
from radii.votes import Votes
from radii.votes.bounds import Method, check_alpha


@dataclass(frozen=True, eq=False, repr=False)
class RoutedCertificates:
    """Certified radii of many images, each classified by the run that a smoothed router chooses.

    Parameters
    ----------
    label : `(images,)` class numbers, or `(images, k)` with `labels="top-k-set"`
        Label that the certificate is about, or the whole set.
    status : `(images,)` text
        The values of `Certificates.status`.
    radius : `(images,)`, in image units (l1, l2, linf) or whole changed units (l0)
        Certified radius of the routed classifier; 0.0 where nothing is certified.
    route : `(images,)` numbers of runs
        Run that the router predicts. It is confirmed where `router.certified`.
    alpha : probability
        Error probability per image, of router and runs together.
    router : Certificates
        Certificates of the router's predictions.
    runs : tuple of Certificates
        Certificates of every run, on the same images.

    Notes
    -----
    Guarantee: for each image, with probability at least `1 - alpha` over the noise samples of router and
    runs, no perturbation of norm at most `radius` removes `label` from the top k of the routed classifier.
    The samples of router and runs may depend on each other (docs/math/routing.md). If any certificate is
    confined to the box or to 8-bit images, so is this one.
    """

    label: np.ndarray
    status: np.ndarray
    radius: np.ndarray
    route: np.ndarray
    alpha: float
    router: Certificates
    runs: tuple[Certificates, ...]

    def __len__(self) -> int:
        return len(self.label)

    def __repr__(self) -> str:
        first, _, shares = repr(self._answers).splitlines()
        return f"Routed {first[0].lower()}{first[1:]}, {len(self.runs)} runs\n{shares}"

    @property
    def certified(self) -> np.ndarray:
        """Where the label is confirmed to be in the top k, within `radius`, `(images,)` bool."""
        return self._answers.certified

    @property
    def correct(self) -> np.ndarray:
        """Where the predicted run classifies the unperturbed image correctly, `(images,)` bool, without confidence."""
        return self._answers.correct

    @property
    def correctly_certified(self) -> np.ndarray:
        """Where the true label is certified, `(images,)` bool."""
        return self._answers.correctly_certified

    @property
    def confined(self) -> str:
        """The perturbed images covered: "grid", those of 8 bits; "box", those in [0, 1]; "", all."""
        return self._answers.confined

    def accuracy(self, radii: Iterable[float], *, beta: float | None = None) -> np.ndarray:
        """Compute the certified accuracy at radii, `(radii,)`, as `Certificates.accuracy` does."""
        return self._answers.accuracy(radii, beta=beta)

    def most_false(self, beta: float = 1e-3) -> int:
        """Compute how many of these images may have a false certificate, as `Certificates.most_false` does."""
        return self._answers.most_false(beta)

    @property
    def _answers(self) -> Certificates:
        """The answers as those of one classifier, whose noise and plan must not be read: there are several."""
        everyone = (self.router, *self.runs)
        ranks = [run.true_rank for run in self.runs if run.true_rank is not None]
        return replace(
            self.runs[0],
            label=self.label,
            predicted=pick([run.predicted for run in self.runs], self.route),
            status=self.status,
            radius=self.radius,
            true_rank=pick(ranks, self.route) if ranks else None,
            alpha=self.alpha,
            box=any(one.box for one in everyone),
            on_grid=any(one.on_grid for one in everyone),
        )


def certify_routed(
    router: Votes,
    runs: Sequence[Votes],
    norm: Norm,
    *,
    k: int = 1,
    alpha: float = 1e-3,
    share: float = 0.5,
    labels: Labels | np.ndarray = "true",
    method: Method | None = None,
    unit: Unit = "pixel",
    images: np.ndarray | None = None,
) -> RoutedCertificates:
    """Certify every image for a classifier that answers by the run that a smoothed router chooses.

    Parameters
    ----------
    router
        Votes of the router, one class per run, whose selection samples choose the run.
    runs
        Votes of the runs on the same images, in the order of the router's classes.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations; the noises of router and runs all need a rule for it.
    k : 1 to classes - 1
        Number of top classes within which the label must stay.
    alpha : probability
        Error probability per image, of router and runs together.
    share : above 0 and below 1
        Share of `alpha` that goes to the router. A router without sampling error leaves all of `alpha` to
        the runs, and so do runs to the router. Votes of sequential plans fixed their own errors, which
        these parts must equal.
    labels : "true", "predicted", "top-k-set" or `(images,)`
        Labels to certify, as in `radii.certify`. "predicted" labels and sets are those of the chosen run.
    method : "two-event", "simultaneous" or "binary"
        Method of the confidence bounds of the runs, as in `radii.certify`.
    unit : "feature" or "pixel"
        Unit that l0 counts.
    images : `(images, *shape)` in [0, 1]
        The very images of the votes, for larger radii in l0 and l1.

    Returns
    -------
    RoutedCertificates
        The smaller radius of the router's choice and of the chosen run. For labels that were known before,
        the least radius of all runs where that is larger.

    Raises
    ------
    InputError
        If the votes are about different images or classes, the router does not have one class per run, or
        `radii.certify` rejects any of the votes.

    Notes
    -----
    Guarantee: that of `RoutedCertificates`. The run that the true smoothed router chooses is fixed, so
    there is no factor for the number of runs (docs/math/routing.md).

    References
    ----------
    Dual Randomized Smoothing, ICLR 2026, arXiv 2512.01782, for Gaussian noise and l2.

    Examples
    --------
    The router is sure of the first image alone, and chooses run 1:

    >>> import numpy as np, radii
    >>> from dataclasses import replace
    >>> weak = radii.Votes(
    ...     counts=np.array([[700, 300], [990, 10]]), selection=np.array([[70, 30], [99, 1]]),
    ...     labels=np.array([0, 0]), index=np.array([0, 1]), noise=radii.Gaussian(sigma=0.25),
    ...     shape=(3, 32, 32), plan=radii.fixed(1000), draws=((0, 1000),), seed=0, model="weak")
    >>> strong = replace(weak, counts=weak.counts[[1, 1]], model="strong")
    >>> router = replace(weak, counts=np.array([[5, 995], [500, 500]]), labels=None,
    ...                  selection=np.array([[0, 100], [50, 50]]), model="router")
    >>> routed = radii.certify_routed(router, [weak, strong], "l2")
    >>> routed.radius.round(2), routed.route
    (array([0.49, 0.49]), array([1, 0]))

    On the second, both runs certify the label, whichever answers.
    """
    check_alpha(alpha)
    if not 0 < share < 1:
        raise InputError(f"share is the router's part of alpha, above 0 and below 1; got {share!r}")
    check_routable(router, runs)
    sampled = any(run.plan.outcomes is None for run in runs)
    # an error that one side cannot make is left to the other
    of_router = alpha * share if sampled else alpha
    of_runs = alpha - of_router if router.plan.outcomes is None and sampled else alpha
    choices = certify(router, norm, alpha=of_router, labels="predicted", unit=unit, images=images)
    answers = tuple(
        certify(run, norm, k=k, alpha=of_runs, labels=labels, method=method, unit=unit, images=images)
        for run in runs
    )
    route, stays = choices.label, choices.certified
    status = pick([run.status for run in answers], route)
    radius = np.minimum(choices.radius, pick([run.radius for run in answers], route))
    unknown = "open" if "open" in answers[0].statuses else "abstained"
    status, radius = np.where(stays, status, unknown), np.where(stays, radius, 0)
    if "open" in answers[0].statuses:
        # Whichever run answers, the label was fixed before. That costs nothing more (docs/math/routing.md).
        radius = np.maximum(radius, np.min([run.radius for run in answers], axis=0))
        for shown in ("certified", "refuted"):
            status[np.all([run.status == shown for run in answers], axis=0)] = shown
    return RoutedCertificates(
        label=pick([run.label for run in answers], route),
        status=status,
        radius=radius,
        route=route,
        alpha=choices.alpha + max(run.alpha for run in answers),
        router=choices,
        runs=answers,
    )


def best_run(runs: Sequence[Votes], norm: Norm, *, k: int = 1, alpha: float = 1e-3) -> np.ndarray:
    """Compute which run certifies the true label to the largest radius, to train a router by.

    Parameters
    ----------
    runs
        Votes of the runs on the same training images.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations.
    k : 1 to classes - 1
        Number of top classes within which the label must stay.
    alpha : probability
        Error probability of each certificate.

    Returns
    -------
    `(images,)`
        Numbers of runs; the first of equals, and 0 where no run certifies.

    Raises
    ------
    InputError
        If the votes are about different images or classes.

    Notes
    -----
    These labels were chosen by the votes: they train a router, and certify nothing.

    Examples
    --------
    >>> import numpy as np, radii
    >>> from dataclasses import replace
    >>> first = radii.Votes(
    ...     counts=np.array([[700, 300], [990, 10]]), selection=np.array([[70, 30], [99, 1]]),
    ...     labels=np.array([0, 0]), index=np.array([0, 1]), noise=radii.Gaussian(sigma=0.25),
    ...     shape=(3, 32, 32), plan=radii.fixed(1000), draws=((0, 1000),), seed=0, model="none")
    >>> second = replace(first, counts=first.counts[::-1], noise=radii.Gaussian(sigma=0.5))
    >>> radii.best_run([first, second], "l2")
    array([1, 0])
    """
    check_comparable(runs)
    return np.argmax([certify(run, norm, k=k, alpha=alpha).radius for run in runs], axis=0)


def pick(columns: Sequence[np.ndarray], route: np.ndarray) -> np.ndarray:
    """Return of each image the row of its run: `columns` has `(images, ...)` of every run."""
    return np.stack(columns)[route, np.arange(len(route))]


def check_routable(router: Votes, runs: Sequence[Votes]) -> None:
    """Raise `InputError` unless the router has one class per run, and all votes are about the same images."""
    check_comparable(runs)
    check_same_images(router, runs[0])
    if len(router.classes) != len(runs):
        raise InputError(
            f"a router has one class per run; got {len(router.classes)} classes and {len(runs)} runs"
        )


def check_comparable(runs: Sequence[Votes]) -> None:
    """Raise `InputError` unless there are runs, about the same images, classes and true labels."""
    if not runs:
        raise InputError("give the votes of at least one run; got none")
    for run in runs[1:]:
        check_same_images(runs[0], run)
        mine, others = run.labels, runs[0].labels
        same = mine is others if mine is None or others is None else np.array_equal(mine, others)
        if run.classes != runs[0].classes or not same:
            raise InputError("runs must have the same classes and true labels: give votes of one data set")


def check_same_images(one: Votes, other: Votes) -> None:
    """Raise `InputError` unless both votes are about the same images in the same order, as far as they tell."""
    same = one.shape == other.shape and np.array_equal(one.index, other.index)
    for name in ("data", "fingerprints"):
        mine, others = getattr(one, name), getattr(other, name)
        same &= mine is None or others is None or bool(np.all(mine == others))
    if not same:
        raise InputError(
            f"router and runs must be about the same images in one order; {one.model} and {other.model} are not"
        )
