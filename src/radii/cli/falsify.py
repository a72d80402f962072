"""The command that tries to prove a rule wrong."""

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from radii.cli.console import console, progress, say
from radii.cli.noises import parse_shape
from radii.cli.options import OwnSigma, Seed
from radii.errors import InputError, check_name
from radii.noises import make_noise
from radii.report.formatting import radius_text

SHOWN = 3
"""Trials of each radius, the most dangerous ones."""


def falsify(
    noise: Annotated[
        str, typer.Argument(metavar="NOISE", help="As laplace, or flips:keep=0.8; radii noises lists all.")
    ],
    norm: Annotated[str, typer.Argument(metavar="NORM", help="l0, l1, l2 or linf.")],
    sigma: OwnSigma = None,
    p: Annotated[
        list[float],
        typer.Option(
            metavar="P", help="Probability of a label whose radius is attacked; may be given several times."
        ),
    ] = [0.7, 0.95],  # noqa: B006 (typer copies it)
    shape: Annotated[str, typer.Option(help="Shape of one input.")] = "1,4,4",
    draws: Annotated[int, typer.Option(help="Noise samples before and after each perturbation.")] = 200_000,
    overclaim: Annotated[
        float,
        typer.Option(help="Factor by which the rule overclaims, on purpose: it should be caught."),
    ] = 1.0,
    seed: Seed = 0,
) -> None:
    """Try to prove a rule wrong.

    The rule of a noise and a norm bounds how far the probability of any region can rise within a radius. This
    perturbs an input by the radius, along few features, many, or at random, takes noise samples before and after,
    and counts how many lie in regions by the likelihood ratio, half-spaces and boxes. If more do than the rule
    allows, the rule is wrong, and the exit status is 1. A sound rule is called wrong with probability 1e-9 at most.
    """
    import numpy as np

    from radii.certificates.falsify import falsify as try_all
    from radii.certificates.radius import certified_radius

    law, sizes = make_noise(noise, sigma), parse_shape(shape)
    check_name(f"norm for {law.name} noise", norm, law.rules)
    if not 1 <= overclaim <= 10:
        raise InputError(f"overclaim is a factor from 1 to 10; got {overclaim:g}")
    if not 1000 <= draws <= 10**8:
        raise InputError(f"draws must be from 1000 to 10**8; got {draws}")
    for one in p:
        if not 0.5 < one < 1:
            raise InputError(f"p must lie between 1/2 and 1, where there are radii; got {one:g}")
    table = Table(
        "radius", "move", "region", "before, at most", "after, at least", "allowed", box=SIMPLE_HEAD
    )
    count, beaten = 0, 0
    with progress("falsify") as move:
        for number, one in enumerate(p):
            radius = float(certified_radius(law, norm, np.array([one]), shape=sizes)[0])
            if not radius:
                raise InputError(
                    f"{law.name} noise certifies no {norm} radius at p = {one:g}: nothing to attack"
                )
            far = radius * overclaim if norm != "l0" else float(np.ceil(radius * overclaim))
            found = try_all(law, norm, radius, sizes, length=far, draws=draws, seed=seed)
            count, beaten = count + len(found), beaten + sum(trial.refutes for trial in found)
            for trial in found[:SHOWN]:
                numbers = (f"{value:.4f}" for value in (trial.before, trial.after, trial.allowed))
                table.add_row(radius_text(radius, norm), trial.perturbation, trial.region, *numbers)
            move(number + 1, len(p))
    console.print(table)
    claimed = f", radii overclaimed by {overclaim:g}" if overclaim > 1 else ""
    say(
        f"{law.name} noise, {law.level_words}, {norm}, shape {sizes}{claimed}: {count} trials, {beaten} beat the rule."
    )
    if beaten:
        raise SystemExit(1)
