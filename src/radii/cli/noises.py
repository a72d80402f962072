"""radii noises: every noise and its rules."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from radii.cli.console import console, progress, say
from radii.cli.options import Norms, Sigma
from radii.errors import InputError, check_name
from radii.noises.norms import NORMS, check_shape

if TYPE_CHECKING:
    from radii.noises import Noise


MOST_ATTACKED = 256
"""Features of an input, where a hundred thousand copies of it are drawn."""


def noises(
    norm: Norms = [],  # noqa: B006 (typer copies it)
    sigma: Sigma = 0.5,
    p: Annotated[float, typer.Option(help="Probability of the label under noise.")] = 0.99,
    shape: Annotated[str, typer.Option(help="Shape of one image.")] = "3,32,32",
    tightness: Annotated[
        bool,
        typer.Option(
            "--tightness",
            help="Measure how tight: the least radius at which an attack on real draws succeeds. Takes minutes, and "
            "wants a small --shape, for example 1,4,4.",
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Write a figure of radius against probability, FILE.png, for each norm: FILE-NORM.png."
        ),
    ] = None,
) -> None:
    """List the noises and their rules.

    For each norm, the noises in the order of the top-1 radius that their rule gives to a label of probability p at
    equal sigma, with its tightness and source. l0 counts single features. Noises with parameters of their own are
    shown with an example.
    """
    import numpy as np

    from radii.certificates.radius import certified_radius
    from radii.noises import NOISES, example, example_name
    from radii.report.formatting import radius_text

    sizes = parse_shape(shape)
    kinds = [example(kind, sigma) for kind in NOISES.values()]
    norms = [check_name("norm", which, NORMS) for which in norm or NORMS]
    if not 0 < p < 1:
        raise InputError(f"p is a probability, above 0 and below 1; got {p:g}")
    if tightness:
        show_tightness(kinds, norms, p, sizes)
        return
    table = Table("norm", Column("noise", no_wrap=True), "radius", "tightness", "source", box=SIMPLE_HEAD)
    for which in norms:
        ruled = [noise for noise in kinds if which in noise.rules]
        radii = [certified_radius(noise, which, np.array([p]), shape=sizes)[0] for noise in ruled]
        for place in np.argsort(radii)[::-1]:
            rule = ruled[place].rules[which]
            name = example_name(type(ruled[place]))
            table.add_row(which, name, radius_text(radii[place], which), rule.tightness, rule.source)
    figures = [] if plot is None else draw_rules(kinds, norms, sizes, plot)
    console.print(table)
    pixel = f"; a pixel is {sizes[0]} of them" if len(sizes) == 3 and sizes[0] > 1 else ""
    say(f"p = {p:g}, sigma = {sigma:g}, shape = {sizes}; l0 counts features{pixel}.")
    if figures:
        say(f"Radius against probability: {', '.join(figures)}")


def draw_rules(
    kinds: "Sequence[Noise]", norms: Sequence[str], shape: tuple[int, ...], path: Path
) -> list[str]:
    """Figures of all noises that have a sigma, one for each norm; their files."""
    from radii.report.export import write_whole
    from radii.report.plots import png_bytes, radius_by_probability

    if path.suffix != ".png":
        raise InputError(f"a figure is written as FILE.png; got {path}")
    written = []
    for norm in norms:
        ruled = [noise for noise in kinds if norm in noise.rules and noise.level_name == "σ"]
        file = path if len(norms) == 1 else path.with_stem(f"{path.stem}-{norm}")
        write_whole(file, png_bytes(radius_by_probability(ruled, norm, shape)))
        written.append(str(file))
    return written


def show_tightness(kinds: "Sequence[Noise]", norms: Sequence[str], p: float, shape: tuple[int, ...]) -> None:
    """A table of certified radii beside those of the best attack found."""
    import numpy as np

    from radii.certificates.falsify import attack_radius
    from radii.certificates.radius import certified_radius
    from radii.noises import example_name
    from radii.report.formatting import radius_text

    if math.prod(shape) > MOST_ATTACKED:
        raise InputError(
            f"attacks draw a hundred thousand copies: give a shape of at most {MOST_ATTACKED} numbers, as --shape 1,4,4"
        )
    pairs = [(noise, norm) for noise in kinds for norm in norms if norm in noise.rules and norm != "l0"]
    table = Table("noise", "norm", "certified", "attack", "certified / attack", box=SIMPLE_HEAD)
    with progress("attack") as move:
        for number, (noise, norm) in enumerate(pairs):
            certified = float(certified_radius(noise, norm, np.array([p]), shape=shape)[0])
            attack = attack_radius(noise, norm, p, shape)
            shown = (
                [radius_text(attack, norm), f"{certified / attack:.2f}"] if attack < np.inf else ["none", ""]
            )
            table.add_row(example_name(type(noise)), norm, radius_text(certified, norm), *shown)
            move(number + 1, len(pairs))
    console.print(table)
    say(
        f"p = {p:g}, shape = {shape}; attacks are estimates, to about 1 %, of the least radius that suffices."
    )


def parse_shape(text: str) -> tuple[int, ...]:
    """`3,32,32` as a shape."""
    try:
        return check_shape(text.split(","))
    except InputError as error:
        raise InputError(
            f"shape must be the sizes of one image, for example 3,32,32; got {text!r}"
        ) from error
