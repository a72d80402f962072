"""The smoothed classifier: poll a model under noise; votes to certify later, or labels at once."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betainc
from torch import Tensor, nn

from radii.agenda import Agenda
from radii.certificates import Certificates, certify
from radii.data.base import DataSet
from radii.designs import Anytime, Fixed, Plan, Sequential, TopK, TwoStage
from radii.devices import fitting_threads, kind_of
from radii.errors import InputError, check_name
from radii.intervals import check_alpha
from radii.lattice import check_range, levels_of
from radii.models import digest
from radii.noises import Noise
from radii.norms import Ball
from radii.planning import choose
from radii.polling import Ask, Examples, Law, examples_from, examples_of, poll, prepare
from radii.stopping import AllAtOnce, stopping
from radii.trial import fastest
from radii.votes import ABSTAIN, PRECISIONS, Votes, check_plan, software_versions

Progress = Callable[[int, int], object]
"""Called as `progress(done, total)`: in noisy copies if their number is known before, else in images."""

AUTO = "auto"
CERTIFYING = ("sequential", "top-k", "two-stage", "fixed")
SELECTION = 100
"""Separate noisy copies that predict a label, unless another number is asked for."""

LEAST_ROWS = 8
"""Smaller micro-batches are padded to it: single rows would take other kernels, with other rounding."""


@dataclass(frozen=True)
class Smoothed:
    """The smoothed classifier: the class that `model` gives most often to an image plus noise.

    `model`: any callable from images plus noise, float32 `(batch, *shape)`, to logits `(batch, classes)`; a
    torch module must be in evaluation mode. `precision`: "bfloat16" polls a copy of the module in that
    precision, which makes it another classifier, and votes record it; "auto" takes the faster one on this machine.
    `batch`: noisy copies in one call of the model; memory holds a few micro-batches, never all copies of an image.
    By default as many as a trial of a second finds fastest, which is remembered for the model and the machine.
    `compile` fuses the layers of a module, about half a minute of work at the start; rounding then differs, so that
    votes record it too.

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
        if self.batch is not None and self.batch < 1:
            raise InputError(f"batch must be at least 1; got {self.batch}")

    def vote(
        self,
        images: Tensor | np.ndarray | DataSet,
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
        examples = _examples(images, labels, index)
        if seconds is not None and not (isinstance(plan, Anytime) and seconds > 0):
            raise InputError(f"seconds, above 0, are for the plan radii.anytime alone; got {seconds!r}")
        return self._follow(examples, plan, seed, _part(plan, draws), progress, seconds)

    def certify(
        self,
        images: Tensor | np.ndarray | DataSet,
        labels: Tensor | np.ndarray | None = None,
        *,
        norm: str,
        radii: Sequence[float] | None = None,
        k: int = 1,
        alpha: float = 1e-3,
        method: str | None = None,
        n_max: int = 100_000,
        unit: str = "feature",
        seed: int = 0,
        index: Tensor | np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> Certificates:
        """Vote and certify at once, with as few noisy copies as the question takes.

        Is each of `radii` certified? "sequential" asks the votes of the label alone, "top-k" those of its rivals
        too. Without radii: how large are they? "two-stage". `method="fixed"` polls every image `n_max` times, as
        papers do; `radii` are then only to be read off. Labels are the true ones, if given, else what at most 100
        separate copies predict. `images`, `index` and `seed` are those of `vote`; `unit` refines l0.

        Guarantee: that of `Certificates`, whichever the method, for one call: who asks again about images that
        failed needs a share of `alpha` for it.
        """
        examples = _examples(images, labels, index)
        Ball(norm, examples.shape, unit)
        predict = examples.labels is None
        name = check_name("method", method or ("two-stage" if radii is None else "sequential"), CERTIFYING)
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
        votes = self._follow(examples, plan, seed, _part(plan, None), progress, k=k)
        return certify(votes, norm, k=k, alpha=alpha, labels="predicted" if predict else "true", unit=unit)

    def predict(
        self,
        images: Tensor | np.ndarray | DataSet,
        *,
        n: int = 1000,
        alpha: float = 0.001,
        seed: int = 0,
        index: Tensor | np.ndarray | None = None,
        progress: Progress | None = None,
    ) -> np.ndarray:
        """Labels `(images,)` of the smoothed classifier, or `radii.ABSTAIN` where `n` draws leave them open.

        Guarantee: for each image, with probability at least `1 - alpha` over the draws, the label is the one
        that is most probable under noise, or ABSTAIN (Cohen et al. 2019, Predict and Proposition 2).
        """
        check_alpha(alpha)
        examples = _examples(images, None, index)
        agenda = Agenda(AllAtOnce(0, 0, Fixed(n).n), len(examples), None)
        self._poll(examples, seed, "predict", agenda, progress)
        return decide(agenda.counts, alpha)

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
        how = stopping(plan, self.noise, examples.shape, self.exact, part)
        agenda = Agenda(how, len(examples), watched_labels(plan, examples.labels))
        precision = self._poll(examples, seed, "bound", agenda, progress, seconds, getattr(plan, "k", k))
        return self._votes(examples, plan, seed, part, agenda, precision)

    def _poll(
        self,
        examples: Examples,
        seed: int,
        purpose: str,
        agenda: Agenda,
        progress: Progress | None,
        seconds: float | None = None,
        k: int = 1,
    ) -> str:
        """Follow the agenda to its end, or until so many seconds are over; the precision that was used."""
        if self.exact:
            examples = replace(examples, images=levels_of(examples.images))
        law, done, end = Law(self.noise, seed, purpose, self.exact), 0, math.inf

        def report(copies: int) -> None:
            nonlocal done
            done += copies
            if time.monotonic() >= end:
                agenda.stop()
            if progress is not None:
                progress(*((done, agenda.total) if agenda.total else (agenda.finished, agenda.images)))

        with fitting_threads(self.model):
            precision, rows, ask = self._settings(examples.shape)
            end = math.inf if seconds is None else time.monotonic() + seconds
            poll(ask, examples, law, agenda, rows, report, k)
        return precision

    def _settings(self, shape: tuple[int, ...]) -> tuple[str, int, Ask]:
        """Precision and rows of a micro-batch, tried out if they are not given, and the model prepared for them."""

        def ready(precision: str) -> Ask:
            return prepare(self.model, precision, shape, self.compile)

        precision, rows = self.precision, self.batch
        if rows is None or precision == AUTO:
            precision, tried = fastest(self.model, ready, shape, precision, self.compile)
            rows = rows or tried
        return precision, max(rows, LEAST_ROWS), ready(precision)

    def _votes(
        self,
        examples: Examples,
        plan: Plan,
        seed: int,
        part: tuple[int, int] | None,
        agenda: Agenda,
        precision: str,
    ) -> Votes:
        return Votes(
            counts=agenda.counts,
            selection=agenda.selection,
            labels=examples.labels,
            index=examples.index,
            noise=self.noise,
            shape=examples.shape,
            plan=plan,
            draws=(part,) if part else (),
            seed=seed,
            model=digest(self.model),
            precision=precision,
            exact=self.exact,
            data=examples.data,
            classes=examples.classes,
            software=software_versions() | ({"compiler": "inductor"} if self.compile else {}),
            certified=agenda.certified if isinstance(plan, Sequential | TopK) else None,
            devices=(kind,) if (kind := kind_of(self.model)) else (),
        )


def watched_labels(plan: Plan, labels: np.ndarray | None) -> np.ndarray | None:
    """The labels that a plan looks at: the true ones, or None for those that selection draws will show.

    A pilot is about the true label where it is known; where looks have selection draws, they take its place.
    """
    if labels is None and not plan.selection and not isinstance(plan, Fixed | Anytime):
        raise InputError(
            "a sequential plan watches one label of each image: give labels, or a plan with selection draws"
        )
    return labels if isinstance(plan, TwoStage) or not plan.selection else None


def _part(plan: Plan, draws: tuple[int, int] | None) -> tuple[int, int] | None:
    """The draws to take of a fixed plan; no other has parts."""
    if not isinstance(plan, Fixed):
        if draws is not None:
            raise InputError(f"only a fixed plan has parts of its draws: leave out draws; got {draws}")
        return None
    first, stop = draws if draws is not None else (0, plan.n)
    if not 0 <= first < stop <= plan.n:
        raise InputError(f"draws must be a range [first, stop) within the plan's {plan.n}; got {draws}")
    return first, stop


def decide(counts: np.ndarray, alpha: float) -> np.ndarray:
    """The most frequent class of each row of `counts` `(images, classes)`, or ABSTAIN.

    The two-sided binomial test of whether the best two classes are equally probable (Hung and Fithian 2019).
    """
    label = counts.argmax(1)
    best = counts.max(1)
    rest = counts.copy()
    np.put_along_axis(rest, label[:, None], -1, axis=1)
    second = np.maximum(rest.max(1), 0)
    chance = np.minimum(
        1, 2 * betainc(best, second + 1, 0.5)
    )  # P(Binomial(best + second, 1/2) >= best), twice
    return np.where(chance <= alpha, label, ABSTAIN)


def _examples(
    images: Tensor | np.ndarray | DataSet,
    labels: Tensor | np.ndarray | None,
    index: Tensor | np.ndarray | None,
) -> Examples:
    if not isinstance(images, DataSet):
        return examples_from(images, labels, index)
    if labels is not None or index is not None:
        raise InputError("a data set brings its own labels and positions: leave out labels and index")
    return examples_of(images)
