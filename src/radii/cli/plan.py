"""The command that says what certificates will cost, before anything is paid."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import filesize
from rich.box import SIMPLE_HEAD
from rich.table import Table

from radii.certificates.costs import Devices, Work, mean_samples, pilot_shares, standard_error
from radii.certificates.planning import RadiusTarget, sequential
from radii.cli.console import console, duration_text, say
from radii.cli.groups import Options, grouped
from radii.cli.noises import parse_shape
from radii.cli.options import Alpha, L0Unit, NoiseName, OwnSigma, Radii, parse_radii, targets_of
from radii.errors import InputError
from radii.noises import Noise, make_noise
from radii.report.formatting import radius_text, round_text, unit_text
from radii.votes import Votes, load_votes
from radii.votes.bounds import check_k
from radii.votes.plans import Sequential, fixed, fixed_boundaries


@dataclass(frozen=True)
class WholeDataSet(Options):
    """What is asked about a whole data set, by the names of the options; None for what was not given."""

    title = "A whole data set"
    images: Annotated[
        int | None, typer.Option(help="Images of a data set: what votes on all of them cost as well.")
    ] = None
    pilot: Annotated[
        Path | None,
        typer.Option(
            metavar="VOTES",
            help="Votes of the model on some of the images, 1000 or so of each, from which P is estimated.",
        ),
    ] = None
    classes: Annotated[
        int | None, typer.Option(help="Classes of the model.  [default: the pilot's, or 10]")
    ] = None
    n: Annotated[
        int | None, typer.Option(help="Noise samples per image, by the fixed plan.  [default: as n-max]")
    ] = None
    n0: Annotated[
        int | None, typer.Option(help="Selection samples per image, by the fixed plan.  [default: 100]")
    ] = None
    passes_per_second: Annotated[
        float | None, typer.Option(help="Forward passes per second on one device, for the time it takes.")
    ] = None
    devices: Annotated[int | None, typer.Option(help="Devices that share the work.  [default: 1]")] = None
    price: Annotated[float | None, typer.Option(help="Price of one device for an hour, in any currency.")] = (
        None
    )

    def check(self, has_radii: bool) -> None:
        """Refuse options that mean nothing without others."""
        given = [one.name for one in fields(self) if getattr(self, one.name) is not None]
        if given and self.images is None:
            option = given[0].replace("_", "-")
            raise InputError(f"--{option} is about a whole data set: say with --images how large it is")
        if not given and not has_radii:
            raise InputError("missing option '--radii', or --images to plan for a fixed number of copies")
        if self.pilot and not has_radii:
            raise InputError("--pilot is for the sequential plan: say with --radii what to certify")
        if self.passes_per_second is None and (self.devices is not None or self.price is not None):
            name = "price" if self.devices is None else "devices"
            raise InputError(f"--{name} needs --passes-per-second, of one device")
        self.fleet()

    def fleet(self) -> Devices | None:
        """The devices, if it is known what they can do."""
        if self.passes_per_second is None:
            return None
        return Devices(self.passes_per_second, 1 if self.devices is None else self.devices, self.price)

    def work(
        self,
        n_max: int,
        question: RadiusTarget | None = None,
        plan: Sequential | None = None,
        p: Sequence[float] = (),
    ) -> tuple[dict[str, Work], str]:
        """The work by the fixed plan, and by a sequential one, and what that assumes."""
        assert self.images is not None
        votes, classes = load_pilot(self.pilot, self.classes)
        selection = {} if self.n0 is None else {"selection": self.n0}
        usual = fixed(n_max if self.n is None else self.n, **selection)
        work = {"fixed": Work(self.images, classes, (usual.n,), usual.selection)}
        if question is None or plan is None:
            return work, ""
        draws, assumed = expected_draws(question, plan, p, votes)
        return work | {"sequential": Work(self.images, classes, tuple(draws.tolist()))}, assumed


def load_pilot(path: Path | None, classes: int | None) -> tuple[Votes | None, int]:
    """The pilot, if there is one, and the number of classes."""
    if path is None:
        return None, 10 if classes is None else classes
    pilot = load_votes(path)
    if classes not in (None, len(pilot.classes)):
        raise InputError(f"the pilot has {len(pilot.classes)} classes, not {classes}: leave out --classes")
    return pilot, len(pilot.classes)


def expected_draws(
    question: RadiusTarget, plan: Sequential, p: Sequence[float], pilot: Votes | None
) -> tuple[np.ndarray, str]:
    """Mean draws of images that stand for all, `(kinds,)`, and what that assumes."""
    if pilot is None:
        draws, listed = mean_samples(plan, p), ", ".join(f"{one:.10g}" for one in p)
        assumed = (
            f"as if these had the probabilities {listed} equally often, and no others.\n"
            "That is a guess: votes on some of the images, given as --pilot, say what a model needs."
        )
    else:
        draws = mean_samples(plan, pilot_shares(pilot, question.noise, question.shape))
        assumed = (
            f"as if all images were like the {len(pilot)} of the pilot, and each label\nas probable as its share of "
            f"{pilot.n:,} votes; so few images leave a standard error of {standard_error(draws):.0%}."
        )
    return draws, f"sequential: watching true labels, {assumed}"


def say_costs(asked: WholeDataSet, work: Mapping[str, Work], assumed: str) -> None:
    """Print what votes on the whole data set cost, and what that assumes."""
    fleet = asked.fleet()
    console.print(cost_table(work, fleet))
    usual = work["fixed"]
    say(f"fixed: {usual.samples[0]:,} copies of every image, and {usual.selection:,} that predict its label.")
    if assumed:
        say(assumed)
    if not fleet:
        say("With --passes-per-second, also how long it takes.")


def cost_table(work: Mapping[str, Work], devices: Devices | None) -> Table:
    """What each plan costs, a column for each."""
    known = next(iter(work.values()))
    title = f"Votes on {known.images:,} images, {known.classes:,} classes"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for name in work:
        table.add_column(name, justify="right", no_wrap=True)

    def row(words: str, cell: Callable[[Work], str]) -> None:
        table.add_row(words, *map(cell, work.values()))

    row("passes per image", lambda one: passes_text(one.passes_per_image))
    row("passes", lambda one: passes_text(one.passes))
    if devices:
        row("device-hours", lambda one: f"{devices.hours(one.passes):,.1f}")
        many = "1 device" if devices.number == 1 else f"{devices.number:,} devices"
        row(f"time on {many}", lambda one: duration_text(devices.seconds(one.passes)))
        if devices.price:
            row(f"at {devices.price:g} a device-hour", lambda one: f"{devices.money(one.passes):,.2f}")
    row("votes file, about", lambda one: filesize.decimal(round(one.file_bytes)))
    return table


def passes_text(passes: float) -> str:
    """A number of passes: all digits of a whole one, three of an estimate."""
    if passes.is_integer():
        return f"{passes:,.0f}"
    return f"{passes:.3g}" if passes < 100 else f"{float(f'{passes:.3g}'):,.0f}"


@dataclass(frozen=True)
class Targets(Options):
    """The certificates that are wanted."""

    title = "Plan"
    radius: Radii = field(default_factory=list)
    norm: Annotated[str, typer.Option(help="l0, l1, l2 or linf.")] = "l2"
    k: Annotated[int, typer.Option(help="Certify the top K.")] = 1
    alpha: Alpha = 1e-3
    n_max: Annotated[int, typer.Option(help="Most noise samples per image.")] = 100_000
    batch_size: Annotated[int, typer.Option(help="Look only after whole batches of so many samples.")] = 1
    shape: Annotated[str, typer.Option(help="Shape of one image.")] = "3,32,32"
    l0_unit: L0Unit = "pixel"

    def questions(self, noise: Noise) -> list[RadiusTarget]:
        """Return the radii, by norm, under a noise."""
        radii = parse_radii(self.radius, self.norm)
        return targets_of(noise, radii, parse_shape(self.shape), self.k, self.l0_unit)


@grouped
def plan(
    targets: Targets,
    whole: WholeDataSet,
    p: Annotated[
        list[float],
        typer.Option(
            "--p", metavar="P", help="Probability of the label under noise; may be given several times."
        ),
    ] = [0.6, 0.9, 0.99, 0.999],  # noqa: B006 (typer copies it)
    noise: NoiseName = "gaussian",
    sigma: OwnSigma = None,
) -> None:
    """Predict what certificates will cost.

    For each probability of the label: how likely the sequential plan certifies each radius, from the votes of the
    label alone, and how many noise samples that takes: mean, median, and what suffices 19 times in 20. Beside it,
    how likely a fixed number of n-max samples certifies the same. All numbers are exact; nothing is sampled. Radii
    of several norms, such as l1:0.5 and linf:2/255, share the same samples.

    With --images, for a whole data set: forward passes, device-hours, time, money and the size of the votes file,
    for a fixed number of samples and, with --radii, for the sequential plan. The latter depends on the model:
    --pilot estimates it from votes on a few hundred images; without it, each P counts as equally frequent.
    """
    whole.check(bool(targets.radius))
    if not targets.radius:
        say_costs(whole, *whole.work(targets.n_max))
        return
    questions = targets.questions(make_noise(noise, sigma))
    chosen = sequential(*questions, alpha=targets.alpha, n_max=targets.n_max, batch=targets.batch_size)
    work = None if whole.images is None else whole.work(targets.n_max, questions[0], chosen, p)
    if work:
        check_k(targets.k, work[0]["fixed"].classes)
    console.print(chances(questions, chosen, p))
    say(assumptions(questions, chosen))
    if work:
        say("")
        say_costs(whole, *work)


def chances(questions: Sequence[RadiusTarget], plan: Sequential, p: Sequence[float]) -> Table:
    """What the sequential plan and the fixed one of its most draws do for each probability of the label."""
    several = len(questions) > 1
    asked = [
        (of_norm(round_text(radius, one.norm), one.norm, several), level)
        for one in questions
        for radius, level in zip(one.radii, one.levels(), strict=True)
    ]
    usual = fixed_boundaries(plan.levels, plan.n_max, plan.alpha)
    table = Table(box=SIMPLE_HEAD)
    law_of_draws = ("p", "mean copies", "median", "95 %")
    for header in (*law_of_draws, "radius", "needs p above", "certified", f"by {plan.n_max} fixed"):
        table.add_column(header, justify="right", no_wrap=True)
    for one in p:
        found, fixed = plan.operating_characteristics(one), usual.operating_characteristics(one)
        draws = [f"{found.mean_samples:.1f}", str(found.quantile(0.5)), str(found.quantile(0.95))]
        for row, (radius, level) in enumerate(asked):
            first = [f"{one:.10g}", *draws] if row == 0 else [""] * 4
            # levels that are the same but for rounding are tested once
            tested = int(np.searchsorted(plan.levels, level))
            shares = (f"{share[tested]:.2%}" for share in (found.certified, fixed.certified))
            table.add_row(*first, radius, f"{level:.10f}", *shares)
    return table


def of_norm(radius: str, norm: str, several: bool) -> str:
    """A radius, by its norm if there are several."""
    return f"{norm} {radius}" if several else radius


def assumptions(questions: Sequence[RadiusTarget], plan: Sequential) -> str:
    """What the numbers are about, and where they end."""
    noise, k, several = questions[0].noise, questions[0].k, len(questions) > 1
    top = "first place" if k == 1 else f"a place in the top {k}"
    norms = ", ".join(one.norm for one in questions)
    units = dict.fromkeys(
        unit_text(one.norm, one.unit) + (" (l0)" if several and one.norm == "l0" else "") for one in questions
    )
    reach = ", ".join(
        of_norm(radius_text(one.farthest(plan.n_max, plan.alpha), one.norm), one.norm, several)
        for one in questions
    )
    return (
        f"{norms} radii within which {top} is certain, in {' or '.join(units)}, under {noise.name} noise, "
        f"{noise.level_words}, alpha {plan.alpha:g}.\nThe largest that {plan.n_max} copies can certify: {reach}"
    )
