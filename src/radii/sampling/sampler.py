"""A model ready to be sampled: settings tried, logits checked; votes as often as needed."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from torch import Tensor, nn

from radii.certificates.evidence import RulesOf
from radii.data.dataset import DataSet
from radii.errors import InputError
from radii.models import digest
from radii.models.adapters.outputs import check_count, class_names
from radii.models.adapters.preprocess import unwrap
from radii.models.devices import call_guard, cores_used, is_compiled, processor_kind
from radii.noises import Noise
from radii.sampling.autotune import fastest
from radii.sampling.class_matching import check_matched
from radii.sampling.independence import Rechecked, check_independent, make_probe
from radii.sampling.model_call import LEAST_ROWS, BaseClassifier, WithinMemory, prepare, unused
from radii.sampling.monte_carlo import NoisyImages, count_votes
from radii.sampling.scheduler import Scheduler
from radii.votes import Votes, check_outcomes, software_versions
from radii.votes.bounds import check_k
from radii.votes.plans import Plan

ENOUGH = 64
"""Images of a run whose noise samples show whether logits depend on the rest of a batch."""

Progress = Callable[[int, int], object]
"""Called as `progress(done, total)`: in noise samples if the plan fixes their number, else in images."""


@dataclass(frozen=True, eq=False)
class Sampler:
    """A model in its precision, queried in batches of `rows` noise samples of images of one shape."""

    model: BaseClassifier
    checked: Rechecked
    noise: Noise
    shape: tuple[int, ...]
    classes: int
    precision: str
    rows: int
    fused: bool
    exact: bool
    digest: str
    device: str

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
        """Follow the plan for each image, or take part of the draws of a fixed one; see `Smoothed.vote`."""
        if part is None and plan.per_image is not None:
            part = 0, plan.most
        self.check(data, plan, k)
        if seconds is not None and not (plan.open_ended and seconds > 0):
            raise InputError(f"seconds, above 0, are for the plan radii.anytime alone; got {seconds!r}")
        stopping = plan.at_work(RulesOf(self.noise, self.shape, self.exact), part)
        scheduler = Scheduler(stopping, len(data), self.classes, plan.labels_from(data.labels))
        self.run(scheduler, data, seed, "bound", progress, seconds)
        return Votes(
            counts=scheduler.counts,
            selection=scheduler.selection,
            labels=data.labels,
            index=data.index,
            fingerprints=data.fingerprints,
            draws=(part,) if part else (),
            certified=scheduler.certified if plan.steps else None,
            **self.identity(data, plan, seed),
        )

    def check(self, data: DataSet, plan: Plan, k: int) -> None:
        """Raise `InputError` unless labels are classes of the model, and fewer than all of them are in the top `k`."""
        check_outcomes(plan, self.noise)
        check_matched(self.model, data)
        data.check_classes(self.classes)
        check_k(getattr(plan, "k", k), max(self.classes, 2))

    def identity(self, data: DataSet, plan: Plan, seed: int) -> dict[str, Any]:
        """Return what identifies the votes, whichever images and draws they are about, by the names of their fields."""
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
        }

    def names_for(self, data: DataSet) -> tuple[str, ...]:
        """Return the names of the classes: those of the images, else those of the model, else "0", "1", ..."""
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
        """Sample for one purpose until the scheduler has no more, or `seconds` have passed."""
        done, end = 0, math.inf if seconds is None else time.monotonic() + seconds

        def report(samples: int) -> None:
            nonlocal done
            done += samples
            if time.monotonic() >= end:
                scheduler.stop()
            if progress is not None:
                progress(
                    *((done, scheduler.total) if scheduler.total else (scheduler.finished, scheduler.images))
                )

        turn = call_guard(self.model)

        def query(images: Tensor) -> Tensor:
            with turn():
                return self.checked(images)

        # in its turn: a number of threads that torch is told while another model runs on one would stay
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
    """Return the model made ready for images like those of `data`; precision "auto" and rows None are tried out.

    Its logits must not depend on the rest of a batch, which noise samples of the images show. A module is copied, so
    that later changes of its weights have no effect.
    """
    seen = noise.output_shape(data.shape)

    def fresh(precision: str) -> BaseClassifier:
        return prepare(unused(model), precision, seen, fuse)

    with call_guard(model)():
        if rows is None or precision == "auto":
            precision, tried = fastest(model, fresh, seen, precision, fuse)
            rows = rows or tried
        rows = max(rows, LEAST_ROWS)
        noisy = NoisyImages(data[:: max(1, len(data) // ENOUGH)], noise, 0, "predict", exact)
        checked = _checked(model, noisy, precision, rows, fuse)
    check_count(len(class_names(model)), checked.classes)
    identity = digest(model), processor_kind(model)
    return Sampler(
        model, checked, noise, data.shape, checked.classes, precision, rows, fuse, exact, *identity
    )


def _checked(model: BaseClassifier, noisy: NoisyImages, precision: str, rows: int, fuse: bool) -> Rechecked:
    """Return the model as it will be queried, after a check that its logits depend on one image alone."""
    # what is compiled takes one batch size, and compiling it again takes half a minute
    compiled = fuse or is_compiled(unwrap(model))

    def fresh() -> WithinMemory:
        return WithinMemory(prepare(unused(model), precision, noisy.output_shape, fuse))

    probe = make_probe(noisy, rows)
    copied, first = check_independent(cache(fresh) if compiled else fresh, probe, precision, not compiled)
    # a module is sampled as a copy anyway
    ready = copied if isinstance(model, nn.Module) else WithinMemory(model)
    return Rechecked(ready, probe, first, precision)
