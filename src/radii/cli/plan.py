"""radii plan: what certificates will cost, before anything is sampled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import filesize

from radii.certificates.costs import Devices, Work, mean_samples, pilot_shares, standard_error
from radii.certificates.planning import RadiusTarget, sequential
from radii.cli.console import duration_text, say
from radii.cli.groups import Options, grouped
from radii.cli.options import (
    Alpha,
    K,
    L0Unit,
    OptionalSigma,
    Radii,
    Shape,
    noise_option,
    parse_radii,
    parse_shape,
    targets_of,
)
from radii.cli.tables import Cell, Table, show, with_format
from radii.errors import InputError
from radii.noises import make_noise
from radii.report.formatting import radius_text, round_text, unit_text
from radii.votes import Votes, load_votes
from radii.votes.bounds import check_k
from radii.votes.plans import Sequential, fixed, fixed_boundaries

USUAL_CLASSES = 10


@dataclass(frozen=True)
class TargetOptions(Options):
    """The certificates to plan for."""

    title = "Plan"
    shape: Shape = "3,32,32"
    noise: Annotated[str, noise_option()] = "gaussian"
    sigma: OptionalSigma = None
    p: Annotated[
        list[float],
        typer.Option(metavar="P", help="Probability of the label under noise (repeatable)."),
    ] = field(default_factory=lambda: [0.6, 0.9, 0.99, 0.999])
    radius: Radii = field(default_factory=list)
    norm: Annotated[str, typer.Option(help="Norm of --radii without one: l0, l1, l2 or linf.")] = "l2"
    k: K = 1
    alpha: Alpha = 1e-3
    n_max: Annotated[int, typer.Option(help="Maximum noise samples per image.")] = 100_000
    batch_size: Annotated[
        int, typer.Option(help="Noise samples between two looks of the sequential plan.")
    ] = 1
    l0_unit: L0Unit = "pixel"

    def targets(self) -> list[RadiusTarget]:
        """Return the radii as targets of a plan, one per norm."""
        noise, radii = make_noise(self.noise, self.sigma), parse_radii(self.radius, self.norm)
        return targets_of(noise, radii, parse_shape(self.shape), self.k, self.l0_unit)


@dataclass(frozen=True)
class CostOptions(Options):
    """The data set whose total cost is planned; None for options that were not given."""

    title = "Cost"
    images: Annotated[int | None, typer.Option(help="Number of images in the data set.")] = None
    classes: Annotated[
        int | None,
        typer.Option(help="Number of classes.", show_default=f"that of the pilot, or {USUAL_CLASSES}"),
    ] = None
    pilot: Annotated[
        Path | None,
        typer.Option(metavar="VOTES", help="Votes on some images, 1000 or so each, which estimate P."),
    ] = None
    n: Annotated[
        int | None, typer.Option(help="Noise samples per image, by the plan fixed.", show_default="--n-max")
    ] = None
    n0: Annotated[
        int | None, typer.Option(help="Selection samples per image, by the plan fixed.", show_default="100")
    ] = None
    passes_per_second: Annotated[
        float | None, typer.Option(help="Forward passes per second of one device.")
    ] = None
    devices: Annotated[int | None, typer.Option(help="Number of devices.", show_default="1")] = None
    price: Annotated[float | None, typer.Option(help="Price per device-hour, in any currency.")] = None

    def check(self, has_radii: bool) -> None:
        """Raise `InputError` for options that do nothing without others."""
        given = [option.name for option in fields(self) if getattr(self, option.name) is not None]
        if given and self.images is None:
            option = given[0].replace("_", "-")
            raise InputError(f"--{option} is about a whole data set: give its size with --images")
        if not given and not has_radii:
            raise InputError(
                "missing option '--radii', or --images to plan for a fixed number of noise samples"
            )
        if self.pilot and not has_radii:
            raise InputError("--pilot is for the sequential plan: give the radii to certify with --radii")
        if self.passes_per_second is None and (self.devices is not None or self.price is not None):
            name = "price" if self.devices is None else "devices"
            raise InputError(f"--{name} needs --passes-per-second, of one device")
        # raises for numbers that devices cannot have
        self.fleet()

    def fleet(self) -> Devices | None:
        """Return the devices, or None if their speed is unknown."""
        if self.passes_per_second is None:
            return None
        return Devices(self.passes_per_second, 1 if self.devices is None else self.devices, self.price)

    def work(
        self,
        n_max: int,
        target: RadiusTarget | None = None,
        plan: Sequential | None = None,
        p: Sequence[float] = (),
    ) -> tuple[dict[str, Work], str]:
        """Return the work by the plan fixed and, if given, by the sequential `plan`, and what the latter assumes."""
        assert self.images is not None
        votes, classes = load_pilot(self.pilot, self.classes)
        # without --n0, the default of the plan fixed
        selection = {} if self.n0 is None else {"selection": self.n0}
        usual = fixed(n_max if self.n is None else self.n, **selection)
        work = {"fixed": Work(self.images, classes, (usual.n,), usual.selection)}
        if target is None or plan is None:
            return work, ""
        draws, assumption = expected_draws(target, plan, p, votes)
        return work | {"sequential": Work(self.images, classes, tuple(draws.tolist()))}, assumption


@with_format
@grouped
def plan(target: TargetOptions, cost: CostOptions) -> None:
    """Predict the cost of certificates.

    For each probability P of the label, a table shows how likely the sequential plan certifies each radius, and how
    many noise samples that takes: mean, median, and the 95 % quantile. Beside it is the probability that n-max
    samples of the plan fixed certify the same. The sequential plan counts the votes of the label alone. The numbers
    are computed, not simulated. Radii of several norms, such as l1:0.5 and linf:2/255, share the same samples.

    With --images, a second table shows the cost of a whole data set: forward passes, device-hours, time, money and
    the size of the votes file. It compares the plan fixed and, with --radii, the sequential plan. The cost of the
    latter depends on the model: --pilot estimates it from votes on a few hundred images. Without a pilot, each P
    counts as equally frequent.
    """
    cost.check(bool(target.radius))
    if not target.radius:
        say_costs(cost, *cost.work(target.n_max))
        return
    targets = target.targets()
    chosen = sequential(*targets, alpha=target.alpha, n_max=target.n_max, batch=target.batch_size)
    work = None if cost.images is None else cost.work(target.n_max, targets[0], chosen, target.p)
    # only a data set has a number of classes
    if work:
        check_k(target.k, work[0]["fixed"].classes)
    show(chances_table(targets, chosen, target.p))
    say(assumptions_text(targets, chosen))
    if work:
        say("")
        say_costs(cost, *work)


def chances_table(targets: Sequence[RadiusTarget], plan: Sequential, p: Sequence[float]) -> Table:
    """Return what the sequential plan, and the plan fixed with its largest n, do for each probability of the label."""
    several = len(targets) > 1
    radii = [
        (norm_text(round_text(radius, target.norm), target.norm, several), level)
        for target in targets
        for radius, level in zip(target.radii, target.levels(), strict=True)
    ]
    # the plan fixed that could certify as far as the sequential one, at the same alpha
    usual = fixed_boundaries(plan.levels, plan.n_max, plan.alpha)
    samples = ("mean samples", "median", "95 %")
    table = Table(("p", *samples, "radius", "needs p above", "certified", f"fixed n = {plan.n_max}"), names=0)
    for probability in p:
        sequential, fixed = (
            plan.operating_characteristics(probability),
            usual.operating_characteristics(probability),
        )
        mean, quantiles = sequential.mean_samples, [int(sequential.quantile(at)) for at in (0.5, 0.95)]
        first = [
            Cell(f"{probability:.10g}", probability),
            Cell(f"{mean:.1f}", mean),
            *(Cell(str(quantile), quantile) for quantile in quantiles),
        ]
        for row, (radius, level) in enumerate(radii):
            # the cost does not depend on the radius, since all radii share the samples
            costs = first if row == 0 else [Cell("", cell.value) for cell in first]
            # levels that are equal but for rounding are tested once
            tested = int(np.searchsorted(plan.levels, level))
            shares = [float(share[tested]) for share in (sequential.certified, fixed.certified)]
            table.add_row(
                *costs, radius, Cell(f"{level:.10f}", level), *(Cell(f"{x:.2%}", x) for x in shares)
            )
    return table


def norm_text(radius: str, norm: str, several: bool) -> str:
    """Return the text of a radius, with its norm if there are several."""
    return f"{norm} {radius}" if several else radius


def assumptions_text(targets: Sequence[RadiusTarget], plan: Sequential) -> str:
    """Return what the certificates guarantee, under which noise, and the largest radii within reach."""
    noise, k, several = targets[0].noise, targets[0].k, len(targets) > 1
    top = "first place" if k == 1 else f"a place in the top {k}"
    norms = ", ".join(target.norm for target in targets)
    units = dict.fromkeys(
        unit_text(target.norm, target.unit) + (" (l0)" if several and target.norm == "l0" else "")
        for target in targets
    )
    reach = ", ".join(
        norm_text(radius_text(target.farthest(plan.n_max, plan.alpha), target.norm), target.norm, several)
        for target in targets
    )
    return (
        f"{norms} radii within which the label keeps {top}, in {' or '.join(units)}, under {noise.name} noise, "
        f"{noise.level_words}, alpha {plan.alpha:g}.\nThe largest that {plan.n_max} samples can certify: {reach}"
    )


def load_pilot(path: Path | None, classes: int | None) -> tuple[Votes | None, int]:
    """Return the votes of the pilot, None without one, and the number of classes."""
    if path is None:
        return None, USUAL_CLASSES if classes is None else classes
    pilot = load_votes(path)
    # a number that contradicts the pilot would be about another data set
    if classes not in (None, len(pilot.classes)):
        raise InputError(f"the pilot has {len(pilot.classes)} classes, not {classes}: leave out --classes")
    return pilot, len(pilot.classes)


def expected_draws(
    target: RadiusTarget, plan: Sequential, p: Sequence[float], pilot: Votes | None
) -> tuple[np.ndarray, str]:
    """Return the mean samples per image of equally frequent kinds of images, `(kinds,)`, and what that assumes."""
    # few samples decide probable labels and many decide labels near the level, so the mean depends on all of them
    if pilot is None:
        draws, listed = mean_samples(plan, p), ", ".join(f"{probability:.10g}" for probability in p)
        assumption = (
            f"as if the labels had the probabilities {listed} equally often.\n"
            "That is a guess: votes on some of the images, given as --pilot, estimate the probabilities."
        )
    else:
        draws = mean_samples(plan, pilot_shares(pilot, target.noise, target.shape))
        assumption = (
            f"as if all images were like the {len(pilot)} of the pilot, and each label\nas probable as its share of "
            f"{pilot.n:,} votes; over so few images, the mean has a standard error of {standard_error(draws):.0%}."
        )
    return draws, f"sequential: for true labels, {assumption}"


def say_costs(cost: CostOptions, work: Mapping[str, Work], assumption: str) -> None:
    """Print what votes on the whole data set cost, and what that assumes."""
    fleet = cost.fleet()
    show(cost_table(work, fleet))
    usual = work["fixed"]
    say(
        f"fixed: {usual.samples[0]:,} noise samples per image, and {usual.selection:,} that predict its label."
    )
    if assumption:
        say(assumption)
    if not fleet:
        say("With --passes-per-second, the time is shown too.")


def cost_table(work: Mapping[str, Work], devices: Devices | None) -> Table:
    """Return what each plan costs, one column per plan."""
    first = next(iter(work.values()))
    title = f"Votes on {first.images:,} images, {first.classes:,} classes"
    table = Table(("", *work), title=title)

    def row(words: str, value: Callable[[Work], Any], text: Callable[[Any], str]) -> None:
        values = map(value, work.values())
        table.add_row(words, *(Cell(text(of_plan), of_plan) for of_plan in values))

    row("forward passes per image", lambda of_plan: of_plan.passes_per_image, passes_text)
    row("forward passes", lambda of_plan: of_plan.passes, passes_text)
    if devices:
        row("device-hours", lambda of_plan: devices.hours(of_plan.passes), lambda hours: f"{hours:,.1f}")
        count = "1 device" if devices.number == 1 else f"{devices.number:,} devices"
        row(f"time on {count}", lambda of_plan: devices.seconds(of_plan.passes), duration_text)
        if devices.price:
            row(
                f"cost at {devices.price:g} per hour",
                lambda of_plan: devices.money(of_plan.passes),
                lambda money: f"{money:,.2f}",
            )
    row(
        "votes file, about",
        lambda of_plan: of_plan.file_bytes,
        lambda file_bytes: filesize.decimal(round(file_bytes)),
    )
    return table


def passes_text(passes: float) -> str:
    """Return a number of forward passes: all digits of a whole number, three of an estimate."""
    if passes.is_integer():
        return f"{passes:,.0f}"
    # .3g alone would write larger numbers with an exponent
    return f"{passes:.3g}" if passes < 100 else f"{float(f'{passes:.3g}'):,.0f}"
