"""The smoothed classifier: poll a model under noise; votes to certify later, or answers at once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
from torch import Tensor, nn

from radii.certificates.certify import Certificates, certify, check_reach
from radii.certificates.evidence import clear_winner, decide
from radii.certificates.planning import anytime, choose, exhaustive
from radii.data.dataset import DataSet
from radii.data.examples import Examples, examples_in
from radii.errors import InputError, check_name
from radii.models.digest import check_loaded
from radii.noises import Noise
from radii.noises.lattice import check_range
from radii.noises.norms import Ball
from radii.sampling.class_matching import matched
from radii.sampling.independence import made_up
from radii.sampling.model_call import Ask
from radii.sampling.sampler import Progress, Voter, prepare_voter
from radii.sampling.scale_check import check_scale
from radii.sampling.scheduler import Agenda
from radii.votes import PRECISIONS, Votes
from radii.votes.bounds import check_alpha
from radii.votes.plans import Fixed, Plan, check_plan
from radii.votes.plans.fixed import AllAtOnce, check_whole

AUTO = "auto"
CERTIFYING = ("sequential", "top-k", "two-stage", "fixed", "exhaustive")
SELECTION = 100
"""Separate noisy copies that predict a label, unless another number is asked for."""

MOST_ROWS = 10**7
"""Of a micro-batch; no memory holds more images."""

SOON = 1e-9
"""Seconds that are left to a budget that is spent: the first micro-batches are answered all the same."""

Images = Tensor | np.ndarray | DataSet
"""`(images, *shape)` in [0, 1], or a data set."""


@dataclass(frozen=True)
class Smoothed:
    """The smoothed classifier: the class that `model` gives most often to an image plus noise.

    `model`: any callable from images plus noise, float32 `(batch, *shape)`, to logits `(batch, classes)`; a
    torch module must be in evaluation mode; `radii.load_model` makes others of files, names and endpoints, in whatever
    scale and layout. Where labels are known, a few clean images show whether the scale is right. Where the model and a
    data set both name their classes, logits come in the order of the data's names. Logits that depend on the rest of
    the batch, or on earlier queries, are an error, before the sampling or during it (docs/models.md).

    `precision`: "bfloat16" polls a copy of the module in that precision, which makes it another classifier, and votes
    record it; "auto" takes the faster one on this machine. `batch`: noisy copies in one call of the model; memory holds
    a few micro-batches, never all copies of an image.
    By default as many as a trial of a second finds fastest, which is remembered for the model and the machine.
    `compile` fuses the layers of a module, about half a minute of work at the start; rounding then differs, so that
    votes record it too. Where a micro-batch does not fit into memory, half of it is asked about at a time.

    `exact`: noise on a lattice, for 8-bit images, which makes image plus noise exact in float32: what is certified
    is the program, not its idealisation in real numbers (docs/math/exact.md).
    """

    model: Ask
    noise: Noise
    precision: str = "float32"
    batch: int | None = None
    compile: bool = False
    exact: bool = False

    def __post_init__(self) -> None:
        check_name("precision", self.precision, (*PRECISIONS, AUTO))
        check_loaded(self.model)
        if not isinstance(self.noise, Noise):
            raise InputError(
                f"noise must be one of radii, for example radii.Laplace(0.5); got {self.noise!r}"
            )
        for wanted, name in (
            (self.precision not in ("float32", AUTO), f"precision {self.precision}"),
            (self.compile, "compile"),
        ):
            if wanted and not isinstance(self.model, nn.Module):
                raise InputError(f"{name} needs a torch module; got {type(self.model).__name__}")
        if self.exact:
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
        index: Tensor | np.ndarray | None = None,
        draws: tuple[int, int] | None = None,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Votes:
        """Votes of the model on noisy copies of each image, as many as the plan takes.

        `images`: `(images, *shape)` in [0, 1], or a data set, which brings its labels, positions and names.
        `index`: `(images,)`, positions in the data set, by default 0, 1, 2, ...; they choose the noise.
        `draws`: the part [first, stop) of a fixed plan's draws to take now; parts add up with `+`. `seconds`: the
        time after which `radii.anytime` stops; all images have about as many draws then.

        Give `batch`, and a precision, to split work over machines: each would try out its own. A second plan for the
        same images is a second look, and needs a share of alpha.

        Guarantee: on one machine and with one `batch`, the same counts to the last vote however images and
        draws are split, since every call of the model has the same number of rows. Another `batch` may select
        other kernels, which can change a vote only where two logits agree to rounding error.
        """
        check_plan(plan)
        examples = examples_in(images, labels, index)
        return self._follow(examples, plan, seed, _part(plan, draws), progress, seconds)

    def certify(
        self,
        images: Images,
        labels: Tensor | np.ndarray | None = None,
        *,
        norm: str,
        radii: Sequence[float] | None = None,
        k: int = 1,
        alpha: float = 1e-3,
        method: str | None = None,
        n_max: int = 100_000,
        unit: str = "feature",
        box: bool = False,
        seed: int = 0,
        index: Tensor | np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> Certificates:
        """Vote and certify at once, with as few noisy copies as the question takes.

        Is each of `radii` certified? "sequential" asks the votes of the label alone, "top-k" those of its rivals
        too. Without radii: how large are they? "two-stage". `method="fixed"` polls every image `n_max` times, as
        papers do, and "exhaustive", the only one for noise whose outcomes can be listed, takes them all; `radii` are
        then only to be read off. Labels are the true ones, if given, else what at most 100 separate copies predict.
        `images`, `index` and `seed` are those of `vote`; `unit` refines l0. With `box`, for l0 and l1, the room that
        each image has in [0, 1] makes radii larger, but no plan shorter.

        Guarantee: that of `Certificates`, whichever the method, for one call: who asks again about images that
        failed needs a share of `alpha` for it.
        """
        examples = examples_in(images, labels, index)
        own = _boxes(examples, norm) if box else None
        Ball(norm, examples.shape, unit)
        predict = examples.labels is None
        usual = "exhaustive" if self.noise.outcomes else "two-stage" if radii is None else "sequential"
        name = check_name("method", method or usual, CERTIFYING)
        if name == "two-stage" and radii is not None:
            raise InputError("two-stage asks how large radii are: leave out radii, or choose another method")
        asked = {} if radii is None else {norm: tuple(radii)}
        plan = choose(
            name,
            self.noise,
            asked,
            shape=examples.shape,
            norm=norm,
            k=k,
            unit=unit,
            exact=self.exact,
            alpha=alpha,
            n_max=n_max,
            selection=SELECTION if predict else 0,
        )
        votes = self._follow(examples, plan, seed, None, progress, k=k)
        labels_of = "predicted" if predict else "true"
        return certify(votes, norm, k=k, alpha=alpha, labels=labels_of, unit=unit, images=own)

    @overload
    def predict(
        self,
        images: Images,
        *,
        n: int = 1000,
        alpha: float = 0.001,
        seed: int = 0,
        index: Tensor | np.ndarray | None = None,
        progress: Progress | None = None,
        norm: None = None,
    ) -> np.ndarray: ...

    @overload
    def predict(
        self,
        images: Images,
        *,
        n: int = 1000,
        alpha: float = 0.001,
        seed: int = 0,
        index: Tensor | np.ndarray | None = None,
        progress: Progress | None = None,
        norm: str,
        k: int = 1,
        unit: str = "feature",
        box: bool = False,
        seconds: float | None = None,
    ) -> Certificates: ...

    def predict(
        self,
        images: Images,
        *,
        n: int = 1000,
        alpha: float = 0.001,
        seed: int = 0,
        index: Tensor | np.ndarray | None = None,
        progress: Progress | None = None,
        norm: str | None = None,
        k: int = 1,
        unit: str = "feature",
        box: bool = False,
        seconds: float | None = None,
    ) -> np.ndarray | Certificates:
        """Labels `(images,)` of the smoothed classifier, or `radii.ABSTAIN` where `n` draws leave them open.

        With `norm`, certificates of what the model says, within a budget: 100 separate copies choose the label of each
        image, then at most `n` others bound how far it stays in the top `k`, all images alike, until `seconds` after
        the call are over; the micro-batches at hand are finished. `unit` and `box` are those of `certify`. Noise whose
        outcomes can be listed takes them all, whatever `n`, and abstains where labels tie; it has no use for `seconds`.

        Several threads may ask at once: each gets what it would get alone, with `seconds` perhaps from fewer draws.
        Each call makes the model ready anew; who asks often keeps `ready(shape)`, as `radii serve` does.

        Guarantee: for each image, with probability at least `1 - alpha` over the draws, the label is the one that is
        most probable under noise, or ABSTAIN (Cohen et al. 2019, Predict and Proposition 2). With `norm`, that of
        `Certificates`, at whatever moment the time is over: radii from the same seed, index, `n` and `alpha`, in
        whatever norm and for whatever k and seconds, hold together with that probability (docs/math/sequential.md).
        """
        started = time.monotonic()
        check_alpha(alpha)
        examples = examples_in(images, None, index)
        if norm is None:
            if (k, unit, box, seconds) != (1, "feature", False, None):
                raise InputError(
                    "k, unit, box and seconds are for certified radii: say in which norm, as norm='l2'"
                )
            return self._labels(examples, n, alpha, seed, progress)
        own = _boxes(examples, norm) if box else None
        self.noise.trade_offs(Ball(norm, examples.shape, unit))
        plan = within(self.noise, n, alpha, seconds)
        smoothed = self.matched(examples)
        check_scale(smoothed.model, smoothed.noise, examples)
        voter = smoothed.ready(examples.shape, examples)
        voter.check(examples, plan, k)
        if (test := plan.last_test(alpha, "label")) is not None:
            check_reach(n, k, test[1], test[0], voter.classes)
        left = None if seconds is None else max(started + seconds - time.monotonic(), SOON)
        votes = voter.vote(examples, plan, seed, None, progress, left, k)
        return certify(votes, norm, k=k, alpha=alpha, labels="predicted", unit=unit, images=own)

    def _labels(
        self, examples: Examples, n: int, alpha: float, seed: int, progress: Progress | None
    ) -> np.ndarray:
        """Labels that are most probable, or ABSTAIN."""
        voter = self.matched(examples).ready(examples.shape, examples)
        agenda = Agenda(
            AllAtOnce(0, 0, self.noise.outcomes or Fixed(n).n), len(examples), voter.classes, None
        )
        voter.follow(agenda, examples, seed, "predict", progress)
        return clear_winner(agenda.counts) if self.noise.outcomes else decide(agenda.counts, alpha)

    def ready(self, shape: tuple[int, ...], examples: Examples | None = None) -> Voter:
        """Return the model as it will be polled about images of `shape`: settings tried out, answers checked.

        Answers are checked on noise samples of `examples`, or of made-up images.
        """
        images = made_up(shape) if examples is None else examples
        return prepare_voter(
            self.model, self.noise, images, self.precision, self.batch, self.compile, self.exact
        )

    def matched(self, examples: Examples) -> "Smoothed":
        """The same with the classes of the model in the order of those of the images, by their names."""
        model = matched(self.model, examples)
        return self if model is self.model else replace(self, model=model)

    def _follow(
        self,
        examples: Examples,
        plan: Plan,
        seed: int,
        part: tuple[int, int] | None,
        progress: Progress | None,
        seconds: float | None = None,
        k: int = 1,
    ) -> Votes:
        plan.labels_from(examples.labels)
        smoothed = self.matched(examples)
        check_scale(smoothed.model, smoothed.noise, examples)
        return smoothed.ready(examples.shape, examples).vote(examples, plan, seed, part, progress, seconds, k)


def _part(plan: Plan, draws: tuple[int, int] | None) -> tuple[int, int] | None:
    """The draws to take of a fixed plan, None for all; no other has parts."""
    if draws is None:
        return None
    if plan.per_image is None:
        raise InputError(f"only a fixed plan has parts of its draws: leave out draws; got {draws}")
    first, stop = draws
    if not 0 <= first < stop <= plan.most:
        raise InputError(f"draws must be a range [first, stop) within the plan's {plan.most}; got {draws}")
    return first, stop


def _boxes(examples: Examples, norm: str) -> np.ndarray:
    """The images themselves, where their boxes refine radii."""
    if norm not in ("l0", "l1"):
        raise InputError(f"box is for l0 and l1: leave it out for {norm}")
    return examples.clean(slice(None))


def within(noise: Noise, n: int, alpha: float, seconds: float | None) -> Plan:
    """The plan that answers within a budget: at most `n` draws after those that choose the label, or all outcomes."""
    if seconds is not None and not seconds > 0:
        raise InputError(f"seconds must be above 0; got {seconds!r}")
    if noise.outcomes is None:
        return anytime(alpha=alpha, n_max=n, selection=SELECTION)
    if seconds is not None:
        raise InputError(
            f"{noise.name} noise takes all its {noise.outcomes} copies, however long that is: leave out seconds"
        )
    return exhaustive(noise)
