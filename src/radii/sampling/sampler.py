"""A model made ready to be polled, and votes from it as often as one likes."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from torch import Tensor, nn

from radii.certificates.evidence import RulesOf
from radii.data.examples import Examples
from radii.errors import InputError
from radii.models import digest
from radii.models.adapters.outputs import check_count, class_names
from radii.models.adapters.preprocess import innermost
from radii.models.devices import busy_cores, is_compiled, kind_of, turns_of
from radii.noises import Noise
from radii.noises.lattice import levels_of
from radii.sampling.autotune import fastest
from radii.sampling.class_matching import check_matched
from radii.sampling.independence import Rechecked, check_independent, make_probe
from radii.sampling.model_call import LEAST_ROWS, Ask, WithinMemory, prepare
from radii.sampling.monte_carlo import NoiseSpec, poll, unused
from radii.sampling.scheduler import Agenda
from radii.votes import Votes, check_outcomes, software_versions
from radii.votes.bounds import check_k
from radii.votes.plans import Plan

ENOUGH = 64
"""Images of a run whose noise samples show whether logits depend on the rest of a batch."""

Progress = Callable[[int, int], object]
"""Called as `progress(done, total)`: in noisy copies if their number is known before, else in images."""


@dataclass(frozen=True, eq=False)
class Voter:
    """A model in its precision, asked about micro-batches of `rows` images of one shape, under one noise."""

    model: Ask
    ask: Rechecked
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
        examples: Examples,
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
        self.check(examples, plan, k)
        if seconds is not None and not (plan.open_ended and seconds > 0):
            raise InputError(f"seconds, above 0, are for the plan radii.anytime alone; got {seconds!r}")
        how = plan.at_work(RulesOf(self.noise, self.shape, self.exact), part)
        agenda = Agenda(how, len(examples), self.classes, plan.labels_from(examples.labels))
        self.follow(agenda, examples, seed, "bound", progress, seconds)
        return Votes(
            counts=agenda.counts,
            selection=agenda.selection,
            labels=examples.labels,
            index=examples.index,
            fingerprints=examples.fingerprints,
            draws=(part,) if part else (),
            certified=agenda.certified if plan.steps else None,
            **self.law(examples, plan, seed),
        )

    def check(self, examples: Examples, plan: Plan, k: int) -> None:
        """Refuse labels that are no classes of the model, and so few classes that the top `k` would be all of them."""
        check_outcomes(plan, self.noise)
        check_matched(self.model, examples)
        examples.check_classes(self.classes)
        check_k(getattr(plan, "k", k), max(self.classes, 2))

    def law(self, examples: Examples, plan: Plan, seed: int) -> dict[str, Any]:
        """What identifies the votes, whichever images and draws they are about, by the names of their fields."""
        return {
            "noise": self.noise,
            "shape": self.shape,
            "plan": plan,
            "seed": seed,
            "model": self.digest,
            "precision": self.precision,
            "exact": self.exact,
            "data": examples.data,
            "classes": self.names_for(examples),
            "software": software_versions() | ({"compiler": "inductor"} if self.fused else {}),
            "devices": (self.device,) if self.device else (),
        }

    def names_for(self, examples: Examples) -> tuple[str, ...]:
        """The names of the classes: those of the images, else those of the model, else "0", "1", ..."""
        names = class_names(self.model)
        own = examples.classes if examples.named or not names else ()
        return own or names or tuple(str(label) for label in range(self.classes))

    def follow(
        self,
        agenda: Agenda,
        examples: Examples,
        seed: int,
        purpose: str,
        progress: Progress | None = None,
        seconds: float | None = None,
    ) -> None:
        """Poll for one purpose to the end of the agenda, or until so many seconds are over."""
        if self.exact or self.noise.of_bytes:
            examples = replace(examples, images=levels_of(examples.images))
        done, end = 0, math.inf if seconds is None else time.monotonic() + seconds

        def report(copies: int) -> None:
            nonlocal done
            done += copies
            if time.monotonic() >= end:
                agenda.stop()
            if progress is not None:
                progress(*((done, agenda.total) if agenda.total else (agenda.finished, agenda.images)))

        turn = turns_of(self.model)

        def ask(images: Tensor) -> Tensor:
            with turn():
                return self.ask(images)

        # in its turn: what torch tells a thread while another model has one thread, that thread would keep
        with turn():
            cores = busy_cores(self.model)
        poll(
            ask, examples, NoiseSpec(self.noise, seed, purpose, self.exact), agenda, self.rows, report, cores
        )
        with turn():
            self.ask.finish()


def prepare_voter(
    model: Ask,
    noise: Noise,
    examples: Examples,
    precision: str,
    rows: int | None,
    fuse: bool,
    exact: bool,
) -> Voter:
    """Return the model made ready for images like the examples; precision "auto" and rows None are tried out.

    Its logits must not depend on the rest of a batch, which noise samples of the examples show. Later changes of a
    module's weights do not show: it is copied.
    """
    seen = noise.output_shape(examples.shape)

    def fresh(precision: str) -> Ask:
        return prepare(unused(model), precision, seen, fuse)

    with turns_of(model)():
        if rows is None or precision == "auto":
            precision, tried = fastest(model, fresh, seen, precision, fuse)
            rows = rows or tried
        rows = max(rows, LEAST_ROWS)
        law = NoiseSpec(noise, 0, "predict", exact)
        ask = _checked(model, examples[:: max(1, len(examples) // ENOUGH)], law, precision, rows, fuse)
    check_count(len(class_names(model)), ask.classes)
    identity = digest(model), kind_of(model)
    return Voter(model, ask, noise, examples.shape, ask.classes, precision, rows, fuse, exact, *identity)


def _checked(
    model: Ask, examples: Examples, law: NoiseSpec, precision: str, rows: int, fuse: bool
) -> Rechecked:
    """Return the model, whose logits were found to depend on one image alone, as it will be polled."""
    seen = law.noise.output_shape(examples.shape)

    # what is compiled takes one batch size, and compiling it again takes half a minute
    compiled = fuse or is_compiled(innermost(model))

    def fresh() -> WithinMemory:
        return WithinMemory(prepare(unused(model), precision, seen, fuse))

    if law.exact or law.noise.of_bytes:
        examples = replace(examples, images=levels_of(examples.images))
    probe = make_probe(examples, law, rows)
    copied, first = check_independent(cache(fresh) if compiled else fresh, probe, precision, not compiled)
    # a module is polled as a copy anyway
    ready = copied if isinstance(model, nn.Module) else WithinMemory(model)
    return Rechecked(ready, probe, first, precision)
