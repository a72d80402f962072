"""The sampler: a model with its settings chosen and its logits checked, ready to sample any number of votes."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor, nn

from radii.certificates.probability_bounds import NoiseRules
from radii.data.dataset import DataSet
from radii.errors import InputError
from radii.models import digest
from radii.models.adapters.outputs import check_count, class_names
from radii.models.adapters.preprocess import unwrap
from radii.models.devices import call_guard, cores_used, is_compiled, processor_kind
from radii.noises import Noise
from radii.sampling.autotune import fastest_settings
from radii.sampling.class_matching import check_matched
from radii.sampling.independence import RecheckedModel, check_independent, make_probe
from radii.sampling.model_call import LEAST_ROWS, BaseClassifier, WithinMemory, prepare, unused
from radii.sampling.monte_carlo import NoisyImages, count_votes
from radii.sampling.scheduler import Scheduler
from radii.votes import Canary, Votes, check_outcomes, software_versions
from radii.votes.bounds import check_k
from radii.votes.plans import Plan

CHECKED_IMAGES = 64
"""Images, spread over the run, whose noise samples show whether logits depend on the rest of a batch."""

Progress = Callable[[int, int], object]
"""Called as `progress(done, total)`: in noise samples if the plan fixes their number, else in images."""


@dataclass(frozen=True, eq=False)
class Sampler:
    """A model in its precision, queried in batches of `rows` noise samples of images of one shape.

    `model` is the one that the user gave, `checked` the one that is queried: of a module, a copy.
    """

    model: BaseClassifier
    checked: RecheckedModel
    noise: Noise
    shape: tuple[int, ...]
    classes: int
    precision: str
    rows: int
    fused: bool
    exact: bool
    digest: str
    device: str
    canary: Canary

    def vote(
        self,
        data: DataSet,
        plan: Plan,
        seed: int,
        part: tuple[int, int] | None = None,
        progress: Progress | None = None,
        seconds: float | None = None,
        k: int = 1,
    ) -> Votes:
        """Sample each image as the plan says, or draws `part` of a fixed plan; see `Smoothed.vote`.

        `k`: the largest k to be certified later, which must be below the number of classes.
        """
        # a fixed plan always has ranges of draws, even if it is sampled whole
        if part is None and plan.per_image is not None:
            part = 0, plan.n_max
        self.check(data, plan, k)
        if seconds is not None and not (plan.open_ended and seconds > 0):
            raise InputError(f"seconds, above 0, are for the plan radii.anytime alone; got {seconds!r}")
        stopping = plan.stopping_rule(NoiseRules(self.noise, self.shape, self.exact), part)
        scheduler = Scheduler(stopping, len(data), self.classes, plan.labels_from(data.labels))
        self.run(scheduler, data, seed, "bound", progress, seconds)
        return Votes(
            counts=scheduler.counts,
            selection=scheduler.selection,
            labels=data.labels,
            index=data.index,
            fingerprints=data.fingerprints,
            draws=(part,) if part else (),
            certified=scheduler.certified if plan.hypotheses else None,
            **self.identity(data, plan, seed),
        )

    def check(self, data: DataSet, plan: Plan, k: int) -> None:
        """Raise `InputError` unless labels are classes of the model, and fewer than all of them are in the top `k`."""
        check_outcomes(plan, self.noise)
        check_matched(self.model, data)
        data.check_classes(self.classes)
        check_k(getattr(plan, "k", k), self.classes)

    def identity(self, data: DataSet, plan: Plan, seed: int) -> dict[str, Any]:
        """Return the fields of `Votes` that all parts of a run share: all but images, draws and counts."""
        return {
            "noise": self.noise,
            "shape": self.shape,
            "plan": plan,
            "seed": seed,
            "model": self.digest,
            "precision": self.precision,
            "exact_arithmetic": self.exact,
            "data": data.identity,
            "classes": self.names_for(data),
            "software": software_versions() | ({"compiler": "inductor"} if self.fused else {}),
            "devices": (self.device,) if self.device else (),
            "canary": self.canary,
        }

    def names_for(self, data: DataSet) -> tuple[str, ...]:
        """Return the class names: those of the images, else those of the model, else "0", "1", ..."""
        names = class_names(self.model)
        own = data.classes if data.named or not names else ()
        return own or names or tuple(str(label) for label in range(self.classes))

    def run(
        self,
        scheduler: Scheduler,
        data: DataSet,
        seed: int,
        purpose: str,
        progress: Progress | None = None,
        seconds: float | None = None,
    ) -> None:
        """Sample for one purpose until the scheduler needs no more noise samples, or `seconds` have passed."""
        done, end = 0, math.inf if seconds is None else time.monotonic() + seconds

        def report(samples: int) -> None:
            nonlocal done
            done += samples
            # the batch that was just counted is kept: bounds hold at any number of samples
            if time.monotonic() >= end:
                scheduler.stop()
            if progress is None:
                return
            if scheduler.total:
                progress(done, scheduler.total)
            else:
                progress(scheduler.finished, scheduler.images)

        turn = call_guard(self.model)

        def query(images: Tensor) -> Tensor:
            with turn():
                return self.checked(images)

        # in its turn: while another model runs with one thread, this thread could adopt that number for good
        with turn():
            cores = cores_used(self.model)
        noisy = NoisyImages(data, self.noise, seed, purpose, self.exact)
        count_votes(query, noisy, scheduler, self.rows, report, cores)
        with turn():
            self.checked.finish()


def prepare_sampler(
    model: BaseClassifier,
    noise: Noise,
    data: DataSet,
    precision: str,
    rows: int | None,
    fuse: bool,
    exact: bool,
) -> Sampler:
    """Return a sampler for images like those of `data`; precision "auto" and rows None are tuned.

    Raises `InputError` if noise samples of the images show that logits depend on the rest of a batch. A module is
    copied, so later changes of its weights have no effect.
    """
    shape = noise.output_shape(data.shape)

    def new_copy(precision: str) -> BaseClassifier:
        return prepare(unused(model), precision, shape, fuse)

    with call_guard(model)():
        if rows is None or precision == "auto":
            precision, fastest_rows = fastest_settings(model, new_copy, shape, precision, fuse)
            rows = rows or fastest_rows
        rows = max(rows, LEAST_ROWS)
        # spread over the run; under seed 0 and another purpose, so that the check uses no sample that bounds
        noisy = NoisyImages(data[:: max(1, len(data) // CHECKED_IMAGES)], noise, 0, "predict", exact)
        checked, canary = _checked(model, noisy, precision, rows, fuse)
    check_count(len(class_names(model)), checked.classes)
    identity = digest(model), processor_kind(model), canary
    return Sampler(
        model, checked, noise, data.shape, checked.classes, precision, rows, fuse, exact, *identity
    )


def _checked(
    model: BaseClassifier, noisy: NoisyImages, precision: str, rows: int, fuse: bool
) -> tuple[RecheckedModel, Canary]:
    """Return the model as it will be queried, and its canary, after a check that logits depend on the image alone."""
    # a compiled model has one batch size, and compiling takes half a minute: it is copied once, and not queried alone
    compiled = fuse or is_compiled(unwrap(model))

    def new_copy() -> WithinMemory:
        return WithinMemory(prepare(unused(model), precision, noisy.output_shape, fuse))

    probe = make_probe(noisy, rows)
    copied, first, canary = check_independent(
        cache(new_copy) if compiled else new_copy, probe, precision, not compiled
    )
    # a copied module is as good as the module; the copy of a function has state from the check
    queried = copied if isinstance(model, nn.Module) else WithinMemory(model, copied.classes)
    return RecheckedModel(queried, probe, first, precision), canary
