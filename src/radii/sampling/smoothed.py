"""The smoothed classifier: sample a model under noise, for votes to certify later or for certificates at once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from torch import Tensor, nn

from radii.certificates.certify import Certificates, certify, check_reach
from radii.certificates.planning import RadiusTarget, anytime, exhaustive, sequential, two_stage
from radii.certificates.probability_bounds import clear_winner, decide
from radii.data.dataset import DataSet, as_data_set
from radii.errors import InputError, check_name
from radii.models.digest import check_loaded
from radii.noises import Noise
from radii.noises.base import check_noise
from radii.noises.lattice import check_range
from radii.noises.norms import Ball, Norm, Unit
from radii.noises.streams import secret_seed
from radii.sampling.class_matching import matched
from radii.sampling.independence import random_images
from radii.sampling.model_call import BaseClassifier
from radii.sampling.sampler import Progress, Sampler, prepare_sampler
from radii.sampling.scale_check import check_scale
from radii.sampling.scheduler import Scheduler
from radii.votes import PRECISIONS, Precision, Votes
from radii.votes.bounds import check_alpha
from radii.votes.plans import Fixed, Plan, check_plan
from radii.votes.plans.boundaries import check_radii
from radii.votes.plans.fixed import AllAtOnce, check_whole

AUTO = "auto"
N0 = 100
"""Selection samples that predict the label of an image."""

MOST_ROWS = 10**7
"""Largest `batch`; no memory holds more images."""

LEAST_SECONDS = 1e-9
"""Time for the sampling where none is left: the batches under way are counted all the same."""

Images = Tensor | np.ndarray | DataSet
"""`(images, *shape)` in [0, 1], or a data set."""


@dataclass(frozen=True)
class Smoothed:
    """The smoothed classifier: the class that a base classifier gives most often to an image plus noise.

    Parameters
    ----------
    model : callable
        From images plus noise, float32 `(batch, *shape)`, to logits `(batch, classes)`. A torch module must be
        in evaluation mode. `radii.load_model` makes models of files, names and endpoints, in any scale and
        layout. Where model and data set both name their classes, logits are put into the order of the data set.
    noise
        For example `radii.Laplace(0.5)`.
    precision : "float32", "bfloat16" or "auto"
        "bfloat16" samples a copy of the module in that precision, which is another classifier, and votes record
        it. "auto" takes the faster one on this machine.
    batch
        Noise samples per query of the model. Memory holds a few batches, never all samples of an image; a batch
        that does not fit is halved. By default, a trial of about a second finds the fastest number, which is
        remembered for the model and the machine.
    compile
        Fuse the layers of a module by torch.compile, about half a minute at the start. Rounding then differs,
        so votes record it.
    exact_arithmetic
        Draw the noise on a lattice, for 8-bit images, where image plus noise is exact in float32: certificates
        are about the program, not about its idealisation in real numbers (docs/math/exact.md).

    Raises
    ------
    InputError
        If the settings do not fit together. Sampling raises it for logits that are not finite or depend on the
        rest of the batch (docs/models.md), and for a model that classifies clean images in another scale only.

    Examples
    --------
    A classifier of one feature, which predicts 1 above 0.5; the image lies 0.3 above:

    >>> import numpy as np, radii, torch
    >>> model = lambda x: torch.cat([0.5 - x.flatten(1), x.flatten(1) - 0.5], dim=1)
    >>> smoothed = radii.Smoothed(model, radii.Gaussian(sigma=0.25))
    >>> image = np.full((1, 1, 1, 1), 0.8, dtype=np.float32)
    >>> smoothed.predict(image)
    array([1])
    >>> certificates = smoothed.certify(image, labels=np.array([1]), norm="l2", radii=[0.2])
    >>> certificates.accuracy([0.2])
    array([1.])
    """

    model: BaseClassifier
    noise: Noise
    precision: Precision | Literal["auto"] = "float32"
    batch: int | None = None
    compile: bool = False
    exact_arithmetic: bool = False

    def __post_init__(self) -> None:
        check_name("precision", self.precision, (*PRECISIONS, AUTO))
        check_loaded(self.model)
        check_noise(self.noise)
        for wanted, name in (
            (self.precision not in ("float32", AUTO), f"precision {self.precision}"),
            (self.compile, "compile"),
        ):
            if wanted and not isinstance(self.model, nn.Module):
                raise InputError(f"{name} needs a torch module; got {type(self.model).__name__}")
        if self.exact_arithmetic:
            check_range(self.noise)
        if self.batch is not None:
            check_whole("batch", self.batch, 1, MOST_ROWS)

    def vote(
        self,
        images: Images,
        labels: Tensor | np.ndarray | None = None,
        *,
        plan: Plan,
        seed: int = 0,
        draws: tuple[int, int] | None = None,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Votes:
        """Count the votes of the model on noise samples of each image, as many as the plan takes.

        Certifying the same images again from other votes requires splitting alpha (Bonferroni).

        Parameters
        ----------
        images : `(images, *shape)` in [0, 1], or a data set
            A data set brings labels, positions and class names.
        labels : `(images,)`
            True classes, if known.
        plan
            How many noise samples, for example `radii.fixed(10_000)`.
        seed
            Seed of the noise; with the position of an image it determines each of its noise samples. A fixed seed is
            for fixed test sets; if others may choose the images, take a secret one (docs/guarantees.md).
        draws : range [first, stop)
            Part of the samples of a fixed plan to take now. Parts add up with `+`.
        seconds
            Time limit of the plan `radii.anytime`; all images then have about as many samples.
        progress
            Called as `progress(done, total)`.

        Returns
        -------
        Votes
            Class counts of each image.

        Raises
        ------
        InputError
            If images, labels, plan and model do not fit together.

        Notes
        -----
        Guarantee: on one machine and with one `batch`, the same counts to the last vote however images and draws are
        split, since every query has the same number of rows. Another `batch` may select other kernels, which can change
        a vote only where two logits agree to rounding error. To split work over machines, give `batch` and a precision:
        otherwise each machine tunes its own.
        """
        check_plan(plan)
        return self._sample(as_data_set(images, labels), plan, seed, _part(plan, draws), progress, seconds)

    def certify(
        self,
        images: Images,
        labels: Tensor | np.ndarray | None = None,
        *,
        norm: Norm,
        radii: Sequence[float] | None = None,
        k: int = 1,
        alpha: float = 1e-3,
        n_max: int = 100_000,
        unit: Unit = "pixel",
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Certificates:
        """Sample and certify at once, with as few noise samples as the question needs.

        With `radii`, the plan is sequential: it samples each image until it is decided whether these radii are
        certified. Without, it is two-stage: a pilot decides how many samples each image gets. Noise with
        finitely many outcomes takes each of them once. For any other plan, call `vote` and `radii.certify`.

        Parameters
        ----------
        images, labels, seed, progress
            As in `vote`. Without labels, certificates are about predicted ones.
        norm : "l0", "l1", "l2" or "linf"
            Norm of the perturbations.
        radii : `(radii,)`, rising
            Radii to decide; None for the radius itself.
        k
            Number of top classes within which the label must stay.
        alpha : probability
            Error probability per image.
        n_max
            Most noise samples per image.
        unit : "feature" or "pixel"
            Unit that l0 counts, as in `radii.certify`.

        Returns
        -------
        Certificates
            One certificate per image.

        Raises
        ------
        InputError
            If the arguments do not fit together, or cannot certify anything.

        Notes
        -----
        Guarantee: that of `Certificates`, for one call. A second call for images that failed needs a share of alpha.
        """
        # raises for a norm or unit that does not exist, before anything else
        data = as_data_set(images, labels)
        unit = Ball(norm, data.shape, unit).unit
        if self.noise.outcomes:
            plan: Plan = exhaustive(self.noise)
        elif radii is None:
            plan = two_stage(self.noise, norm, shape=data.shape, k=k, unit=unit, n_max=n_max, alpha=alpha)
        else:
            target = RadiusTarget(
                self.noise, norm, check_radii(radii), data.shape, k, unit, self.exact_arithmetic
            )
            selection = N0 if data.labels is None else 0
            plan = sequential(target, alpha=alpha, n_max=n_max, selection=selection)
        votes = self._sample(data, plan, seed, None, progress, k=k)
        labels_of = "predicted" if data.labels is None else "true"
        return certify(votes, norm, k=k, alpha=alpha, labels=labels_of, unit=unit)

    def predict(
        self,
        images: Images,
        *,
        n: int = 1000,
        alpha: float = 0.001,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Predict the labels `(images,)` of the smoothed classifier; `radii.ABSTAIN` where `n` samples do not suffice.

        Noise with finitely many outcomes takes each of them once, whatever `n`, and abstains where labels tie.

        Parameters
        ----------
        images : `(images, *shape)` in [0, 1], or a data set
            Images to classify.
        n
            Noise samples per image.
        alpha : probability
            Error probability per image.
        seed
            Seed of the noise; by default fresh and secret in each call. A known seed lets an adversary choose images
            that this noise misclassifies (docs/guarantees.md).
        progress
            As in `vote`.

        Returns
        -------
        labels : `(images,)`
            Class numbers, or `radii.ABSTAIN`.

        Raises
        ------
        InputError
            If images and model do not fit together.

        Notes
        -----
        Guarantee: for each image, with probability at least `1 - alpha` over the noise samples, the label is the most
        probable one under noise, or ABSTAIN.

        References
        ----------
        Cohen, Rosenfeld and Kolter, 2019, Certified adversarial robustness via randomized smoothing, Predict and
        Proposition 2.
        """
        check_alpha(alpha)
        data = as_data_set(images)
        # all samples predict, none selects: the test of the winner accounts for its choice (Cohen et al., Proposition
        # 2)
        sampler = self.matched(data).ready(data.shape, data)
        stopping = AllAtOnce(0, 0, self.noise.outcomes or Fixed(n).n)
        scheduler = Scheduler(stopping, len(data), sampler.classes, None)
        sampler.run(scheduler, data, secret_seed(seed), "predict", progress)
        return clear_winner(scheduler.counts) if self.noise.outcomes else decide(scheduler.counts, alpha)

    def certify_predictions(
        self,
        images: Images,
        *,
        norm: Norm,
        n: int = 1000,
        k: int = 1,
        alpha: float = 0.001,
        unit: Unit = "pixel",
        seconds: float | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> Certificates:
        """Predict labels and certify them within a budget of noise samples and of time.

        100 selection samples choose the label of each image. Then at most `n` others bound how far it stays in the top
        `k`, all images alike, until `seconds` after the call have passed; batches under way are finished. Noise with
        finitely many outcomes takes each of them once, whatever `n`, and accepts no `seconds`.

        Several threads may call at once: each gets what it would get alone, with `seconds` perhaps from fewer samples.
        Each call prepares the model anew; for many calls keep `ready(shape)`, as `radii serve` does.

        Parameters
        ----------
        images : `(images, *shape)` in [0, 1], or a data set
            Images to classify.
        norm, k, alpha, unit
            As in `certify`.
        n
            Most noise samples per image that bound the radius.
        seconds
            Time limit.
        seed
            Seed of the noise; by default fresh and secret in each call, and returned in the certificates. A known
            seed lets an adversary choose images that are certified and wrong (docs/guarantees.md).
        progress
            As in `vote`.

        Returns
        -------
        Certificates
            Certificates of the predicted labels, with the seed.

        Raises
        ------
        InputError
            If `n` samples cannot certify anything, or the arguments do not fit together.

        Notes
        -----
        Guarantee: that of `Certificates`, whenever the time is over: radii from the same seed, images, `n` and `alpha`,
        in any norm and for any k and seconds, hold together with that probability (docs/math/sequential.md). Each
        call without a seed is a new test: among r calls about one image, one errs with probability up to `r * alpha`.
        """
        # before the model is prepared, which counts towards `seconds`
        started = time.monotonic()
        check_alpha(alpha)
        data = as_data_set(images)
        self.noise.trade_offs(Ball(norm, data.shape, unit))
        plan = budget_plan(self.noise, n, alpha, seconds)
        sampler = self.checked(data).ready(data.shape, data)
        # before sampling: an `n` that unanimous votes cannot certify with would waste all of it
        sampler.check(data, plan, k)
        if (test := plan.last_test(alpha, "binary")) is not None:
            check_reach(n, k, test[1], test[0], sampler.classes)
        left = None if seconds is None else max(started + seconds - time.monotonic(), LEAST_SECONDS)
        votes = sampler.vote(data, plan, secret_seed(seed), None, progress, left, k)
        return certify(votes, norm, k=k, alpha=alpha, labels="predicted", unit=unit)

    def ready(self, shape: tuple[int, ...], data: DataSet | None = None) -> Sampler:
        """Return a sampler for images of `shape`, with its settings tuned and its logits checked.

        Logits are checked on noise samples of `data`, or of random images.
        """
        images = random_images(shape) if data is None else data
        return prepare_sampler(
            self.model,
            self.noise,
            images,
            self.precision,
            self.batch,
            self.compile,
            self.exact_arithmetic,
        )

    def matched(self, data: DataSet) -> "Smoothed":
        """Return this classifier with the classes of the model in the order of those of the images, by name."""
        model = matched(self.model, data)
        return self if model is self.model else replace(self, model=model)

    def checked(self, data: DataSet) -> "Smoothed":
        """Return this classifier as `matched` does, after a check that images come in the scale of its model."""
        smoothed = self.matched(data)
        check_scale(smoothed.model, smoothed.noise, data)
        return smoothed

    def _sample(
        self,
        data: DataSet,
        plan: Plan,
        seed: int,
        part: tuple[int, int] | None,
        progress: Progress | None,
        seconds: float | None = None,
        k: int = 1,
    ) -> Votes:
        # only for its error, before the model is prepared
        plan.labels_from(data.labels)
        return self.checked(data).ready(data.shape, data).vote(data, plan, seed, part, progress, seconds, k)


def _part(plan: Plan, draws: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the draws to take of a fixed plan, None for all; raise `InputError` for any other plan."""
    if draws is None:
        return None
    if plan.per_image is None:
        raise InputError(f"only a fixed plan has parts of its draws: leave out draws; got {draws}")
    first, stop = draws
    if not 0 <= first < stop <= plan.n_max:
        raise InputError(f"draws must be a range [first, stop) within the plan's {plan.n_max}; got {draws}")
    return first, stop


def budget_plan(noise: Noise, n: int, alpha: float, seconds: float | None) -> Plan:
    """Return the plan for a budget: at most `n` noise samples after those of selection, or all outcomes."""
    if seconds is not None and not seconds > 0:
        raise InputError(f"seconds must be above 0; got {seconds!r}")
    # with or without `seconds` the same plan: its bounds hold whenever the time is over
    if noise.outcomes is None:
        return anytime(alpha=alpha, n_max=n, selection=N0)
    if seconds is not None:
        raise InputError(
            f"{noise.name} noise takes all its {noise.outcomes} outcomes, however long that is: leave out seconds"
        )
    return exhaustive(noise)
