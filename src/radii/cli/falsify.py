"""radii falsify: the attempt to prove the rule of a noise wrong."""

from typing import Annotated

import typer

from radii.cli.console import progress, say
from radii.cli.options import OptionalSigma, Seed, parse_shape
from radii.cli.tables import Cell, Table, show, with_format
from radii.errors import InputError, check_name
from radii.noises import make_noise
from radii.report.formatting import radius_text

SHOWN = 3
"""Trials shown for each radius: those that come closest to proving the rule wrong."""


@with_format
def falsify(
    noise: Annotated[
        str, typer.Argument(metavar="NOISE", help="Noise, for example laplace or flips:keep=0.8.")
    ],
    norm: Annotated[str, typer.Argument(metavar="NORM", help="Norm: l0, l1, l2 or linf.")],
    shape: Annotated[str, typer.Option(help="Shape of one input.", rich_help_panel="Images")] = "1,4,4",
    sigma: OptionalSigma = None,
    p: Annotated[
        list[float],
        typer.Option(
            metavar="P",
            help="Probability of the label whose radius is tested (repeatable).",
            rich_help_panel="Plan",
        ),
    ] = [0.7, 0.95],  # noqa: B006 (typer copies it)
    draws: Annotated[
        int,
        typer.Option(help="Noise samples before and after each perturbation.", rich_help_panel="Plan"),
    ] = 200_000,
    overclaim: Annotated[
        float,
        typer.Option(
            help="Factor by which the tested radii exceed those of the rule.", rich_help_panel="Plan"
        ),
    ] = 1.0,
    seed: Seed = 0,
) -> None:
    """Try to prove a rule wrong.

    The rule of a noise and a norm bounds the probability of any region after a perturbation within a radius. This
    command perturbs an input by the radius, along few features, many, or in random directions. It counts the noise
    samples before and after in regions by the likelihood ratio, in half-spaces and in boxes. If a region holds more
    than the rule allows, the rule is wrong, and the exit status is 1. A sound rule is called wrong with probability
    at most 1e-9. With --overclaim above 1, the test should fail, which shows that it can.
    """
    import numpy as np

    from radii.certificates.falsify import falsify as try_all
    from radii.certificates.radius import certified_radius

    distribution, sizes = make_noise(noise, sigma), parse_shape(shape)
    check_name(f"norm for {distribution.name} noise", norm, distribution.rules)
    if not 1 <= overclaim <= 10:
        raise InputError(f"overclaim is a factor from 1 to 10; got {overclaim:g}")
    if not 1000 <= draws <= 10**8:
        raise InputError(f"draws must be from 1000 to 10**8; got {draws}")
    for probability in p:
        if not 0.5 < probability < 1:
            raise InputError(f"p must lie between 1/2 and 1, where there are radii; got {probability:g}")
    table = Table(
        ("perturbation", "region", "radius", "before, at most", "after, at least", "allowed"), names=2
    )
    count, beaten = 0, 0
    with progress("falsify") as update:
        for number, probability in enumerate(p):
            radius = float(
                certified_radius(distribution, norm, np.array([probability]), shape=sizes, unit="feature")[0]
            )
            if not radius:
                raise InputError(
                    f"{distribution.name} noise certifies no {norm} radius at p = {probability:g}, so there is nothing "
                    "to test: choose a larger p"
                )
            # an l0 radius counts whole features
            far = radius * overclaim if norm != "l0" else float(np.ceil(radius * overclaim))
            trials = try_all(distribution, norm, radius, sizes, length=far, draws=draws, seed=seed)
            # all trials count, and those that are shown come first
            count, beaten = count + len(trials), beaten + sum(trial.refutes for trial in trials)
            for trial in trials[:SHOWN]:
                numbers = [
                    Cell(f"{value:.4f}", value) for value in (trial.before, trial.after, trial.allowed)
                ]
                table.add_row(
                    trial.perturbation, trial.region, Cell(radius_text(radius, norm), radius), *numbers
                )
            update(number + 1, len(p))
    show(table)
    claimed = f", radii overclaimed by {overclaim:g}" if overclaim > 1 else ""
    say(
        f"{distribution.name} noise, {distribution.level_words}, {norm}, shape {sizes}{claimed}: {count} trials, "
        f"{beaten} beat the rule."
    )
    # so that scripts notice
    if beaten:
        raise SystemExit(1)
