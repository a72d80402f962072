"""radii noises: the noises and their rules."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radii.cli.console import progress, say
from radii.cli.options import Norms, Shape, Sigma, parse_shape
from radii.cli.tables import Cell, Table, show, with_format
from radii.errors import InputError, check_name
from radii.noises.norms import NORMS

if TYPE_CHECKING:
    from radii.noises import Noise


MOST_ATTACKED = 256
"""Features of an input of which an attack holds a hundred thousand noise samples in memory."""


@with_format
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
    # other shapes have no pixels
    unit = "pixel" if len(sizes) == 3 else "feature"
    table = Table(("norm", "noise", "radius", "tightness", "source"), names=5, prose=(3, 4))
    for name in norms:
        ruled = [noise for noise in kinds if name in noise.rules]
        radii = [certified_radius(noise, name, np.array([p]), shape=sizes, unit=unit)[0] for noise in ruled]
        for row in np.argsort(radii)[::-1]:
            rule = ruled[row].rules[name]
            noise_name = example_name(type(ruled[row]))
            radius = Cell(radius_text(radii[row], name), float(radii[row]))
            table.add_row(name, noise_name, radius, rule.tightness, rule.source)
    figures = [] if plot is None else draw_rules(kinds, norms, sizes, unit, plot)
    show(table)
    say(f"p = {p:g}, sigma = {sigma:g}, shape = {sizes}; l0 counts {unit}s.")
    if figures:
        say(f"Radius against probability: {', '.join(figures)}")


def draw_rules(
    kinds: "Sequence[Noise]", norms: Sequence[str], shape: tuple[int, ...], unit: str, path: Path
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
        write_whole(file, png_bytes(radius_by_probability(ruled, norm, shape, unit=unit)))
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
    table = Table(("noise", "norm", "certified", "attack", "certified / attack"), names=2)
    with progress("attack") as update:
        for number, (noise, norm) in enumerate(pairs):
            certified = float(certified_radius(noise, norm, np.array([p]), shape=shape)[0])
            attack = attack_radius(noise, norm, p, shape)
            cells = [Cell("none", None), Cell("", None)]
            if attack < np.inf:
                ratio = certified / attack
                cells = [Cell(radius_text(attack, norm), float(attack)), Cell(f"{ratio:.2f}", float(ratio))]
            table.add_row(
                example_name(type(noise)), norm, Cell(radius_text(certified, norm), certified), *cells
            )
            update(number + 1, len(pairs))
    show(table)
    say(
        f"p = {p:g}, shape = {shape}; attack radii are estimates, to about 1 %, of the smallest at which one succeeds."
    )
