"""radii noises: the noises and their rules."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from radii.cli.console import console, progress, say
from radii.cli.options import Norms, Shape, Sigma, parse_shape
from radii.errors import InputError, check_name
from radii.noises.norms import NORMS

if TYPE_CHECKING:
    from radii.noises import Noise


MOST_ATTACKED = 256
"""Features of an input of which an attack holds a hundred thousand noise samples in memory."""


def noises(
    shape: Shape = "3,32,32",
    sigma: Sigma = 0.5,
    norm: Norms = [],  # noqa: B006 (typer copies it)
    p: Annotated[float, typer.Option(help="Probability of the label under noise.")] = 0.99,
    tightness: Annotated[
        bool,
        typer.Option("--tightness", help="Smallest radius at which an attack succeeds; takes minutes."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Figure of radius against probability, FILE.png, one per norm.",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """List the noises and their rules.

    For each norm, the noises are sorted by the top-1 radius of a label of probability p at equal sigma, with the
    tightness and the source of the rule. l0 counts single features. Noises with parameters are shown with an example.
    With --tightness, attacks on noise samples measure how tight the rules are, which needs a small --shape such as
    1,4,4. With --plot and several norms, the figures are FILE-NORM.png.
    """
    import numpy as np

    from radii.certificates.radius import certified_radius
    from radii.noises import NOISES, example, example_name
    from radii.report.formatting import radius_text

    sizes = parse_shape(shape)
    kinds = [example(kind, sigma) for kind in NOISES.values()]
    norms = [check_name("norm", name, NORMS) for name in norm or NORMS]
    if not 0 < p < 1:
        raise InputError(f"p is a probability, above 0 and below 1; got {p:g}")
    if tightness:
        show_tightness(kinds, norms, p, sizes)
        return
    # a name that is broken into lines could not be copied into a command
    table = Table("norm", Column("noise", no_wrap=True), "radius", "tightness", "source", box=SIMPLE_HEAD)
    for name in norms:
        ruled = [noise for noise in kinds if name in noise.rules]
        radii = [certified_radius(noise, name, np.array([p]), shape=sizes)[0] for noise in ruled]
        for row in np.argsort(radii)[::-1]:
            rule = ruled[row].rules[name]
            noise_name = example_name(type(ruled[row]))
            table.add_row(name, noise_name, radius_text(radii[row], name), rule.tightness, rule.source)
    figures = [] if plot is None else draw_rules(kinds, norms, sizes, plot)
    console.print(table)
    pixel = f"; a pixel is {sizes[0]} of them" if len(sizes) == 3 and sizes[0] > 1 else ""
    say(f"p = {p:g}, sigma = {sigma:g}, shape = {sizes}; l0 counts features{pixel}.")
    if figures:
        say(f"Radius against probability: {', '.join(figures)}")


def draw_rules(
    kinds: "Sequence[Noise]", norms: Sequence[str], shape: tuple[int, ...], path: Path
) -> list[str]:
    """Write a figure per norm of the noises that have a sigma, and return the paths."""
    from radii.report.export import write_whole
    from radii.report.plots import png_bytes, radius_by_probability

    if path.suffix != ".png":
        raise InputError(f"a figure is written as FILE.png; got {path}")
    written = []
    for norm in norms:
        # curves of noises without a sigma could not be compared at equal sigma
        ruled = [noise for noise in kinds if norm in noise.rules and noise.level_name == "σ"]
        file = path if len(norms) == 1 else path.with_stem(f"{path.stem}-{norm}")
        write_whole(file, png_bytes(radius_by_probability(ruled, norm, shape)))
        written.append(str(file))
    return written


def show_tightness(kinds: "Sequence[Noise]", norms: Sequence[str], p: float, shape: tuple[int, ...]) -> None:
    """Print certified radii beside those of the best attack."""
    import numpy as np

    from radii.certificates.falsify import attack_radius
    from radii.certificates.radius import certified_radius
    from radii.noises import example_name
    from radii.report.formatting import radius_text

    if math.prod(shape) > MOST_ATTACKED:
        raise InputError(
            f"attacks take a hundred thousand noise samples: give a shape of at most {MOST_ATTACKED} features, for "
            "example --shape 1,4,4"
        )
    # an attack bisects the radius, and l0 radii are whole numbers
    pairs = [(noise, norm) for noise in kinds for norm in norms if norm in noise.rules and norm != "l0"]
    table = Table("noise", "norm", "certified", "attack", "certified / attack", box=SIMPLE_HEAD)
    with progress("attack") as update:
        for number, (noise, norm) in enumerate(pairs):
            certified = float(certified_radius(noise, norm, np.array([p]), shape=shape)[0])
            attack = attack_radius(noise, norm, p, shape)
            cells = (
                [radius_text(attack, norm), f"{certified / attack:.2f}"] if attack < np.inf else ["none", ""]
            )
            table.add_row(example_name(type(noise)), norm, radius_text(certified, norm), *cells)
            update(number + 1, len(pairs))
    console.print(table)
    say(
        f"p = {p:g}, shape = {shape}; attack radii are estimates, to about 1 %, of the smallest at which one succeeds."
    )
