"""The command that says what certificates will cost, before anything is paid."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from radii.cli import costs
from radii.cli.listings import parse_shape
from radii.cli.options import Alpha, NoiseName, OwnSigma, Radii, Unit, parse_radii
from radii.console import console, say
from radii.designs import Sequential, fixed_boundaries
from radii.intervals import check_k
from radii.noises import make_noise
from radii.norms import unit_of
from radii.planning import Question, sequential
from radii.wording import radius_text, round_text, unit_text


def plan(
    radius: Radii = [],  # noqa: B006 (typer copies it)
    p: Annotated[
        list[float],
        typer.Option(
            "--p", metavar="P", help="Probability of the label under noise; may be given several times."
        ),
    ] = [0.6, 0.9, 0.99, 0.999],  # noqa: B006
    noise: NoiseName = "gaussian",
    sigma: OwnSigma = None,
    norm: Annotated[str, typer.Option(help="l0, l1, l2 or linf.")] = "l2",
    k: Annotated[int, typer.Option(help="Certify the top K.")] = 1,
    alpha: Alpha = 1e-3,
    n_max: Annotated[int, typer.Option(help="The most noisy copies of one image.")] = 100_000,
    batch: Annotated[int, typer.Option(help="Look only after whole batches of so many copies.")] = 1,
    shape: Annotated[str, typer.Option(help="Shape of one image.")] = "3,32,32",
    unit: Unit = "pixel",
    images: costs.Images = None,
    pilot: costs.Pilot = None,
    classes: costs.Classes = None,
    n: costs.Draws = None,
    selection: costs.Selection = None,
    passes_per_second: costs.Pace = None,
    devices: costs.Number = None,
    price: costs.Price = None,
) -> None:
    """Say what certificates will cost.

    For each probability of the label: how likely the sequential plan certifies each radius, from the votes of the label
    alone, and how many noisy copies that takes, the mean, the median, and what is enough 19 times in 20; beside it,
    how likely the usual fixed number of n-max copies certifies the same. All exact, without any sampling. Radii of
    several norms, as l1:0.5 and linf:2/255, are asked about by the same copies.

    With --images, for a whole data set: passes of the model, device-hours, time, money and the size of the votes file,
    for a fixed number of copies and, with --radii, for the sequential plan. What the latter needs depends on the
    model: --pilot estimates it from votes on a few hundred images; without it, each P counts as equally frequent.
    """
    whole = costs.Asked(images, pilot, classes, n, selection, passes_per_second, devices, price)
    whole.check(bool(radius))
    if not radius:
        costs.say_costs(whole, *whole.work(n_max))
        return
    law, size = make_noise(noise, sigma), parse_shape(shape)
    questions = [
        Question(law, one, at, size, k, unit_of(one, unit)) for one, at in parse_radii(radius, norm).items()
    ]
    chosen = sequential(*questions, alpha=alpha, n_max=n_max, batch=batch)
    work = None if images is None else whole.work(n_max, questions[0], chosen, p)
    if work:
        check_k(k, work[0]["fixed"].classes)
    console.print(chances(questions, chosen, p))
    say(assumptions(questions, chosen))
    if work:
        say("")
        costs.say_costs(whole, *work)


def chances(questions: Sequence[Question], plan: Sequential, p: Sequence[float]) -> Table:
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
        found, fixed = plan.operating(one), usual.operating(one)
        draws = [f"{found.passes:.1f}", str(found.quantile(0.5)), str(found.quantile(0.95))]
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


def assumptions(questions: Sequence[Question], plan: Sequential) -> str:
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
