"""The commands that say what there is: data sets; noises and their rules."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from radii.cli.options import DataDir, Norms, Sigma
from radii.console import console, progress, say
from radii.errors import InputError, check_name
from radii.norms import NORMS, check_shape

if TYPE_CHECKING:
    from radii.noises import Noise

MOST_ATTACKED = 256
"""Features of an input, where a hundred thousand copies of it are drawn."""


def data(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|PATH",
            help="Data set, or images of one's own, to prepare and check; none lists all.",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """List the data sets, or check one of them.

    Without a name: what there is, and how radii train treats it by default. With one: loads it (downloads it, where
    that is needed), checks its files, and says how many images it has. With the path of images of one's own, also what
    was found there: a folder of class folders, a .npz or .npy file, Parquet, or a folder of idx files.
    """
    from radii.data import ALL, DATASETS, load_data, splits_of
    from radii.runs import RECIPES

    if name is None:
        table = Table("name", "what it is", "trained by default", box=SIMPLE_HEAD)
        for known, words in DATASETS.items():
            recipe = RECIPES[known]
            table.add_row(known, words, f"{recipe['model']}, {recipe['epochs']} epochs")
        console.print(table)
        return
    splits = splits_of(name, data_dir)
    if ALL in splits:
        say(
            f"{name} tells no splits apart: every fifth image of each class is a test image, the others train"
        )
    for split in [ALL] if ALL in splits else splits:
        found = load_data(name, split, data_dir)
        say(f"{name} {split}: {len(found)} images of {found.shape}, {len(found.classes)} classes")
        if found.digest:
            kind = "8-bit" if found.pixels.dtype.itemsize == 1 else "real"
            turned = ", pictures turned as their EXIF orientation says" if found.turned else ""
            say(f"  {kind} pixels{turned}, sha256:{found.digest}; {short_list(found.classes)}")


def short_list(words: Sequence[str], most: int = 10) -> str:
    """`a, b, c`, with dots where there are more."""
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")


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

    For each norm, the noises by the top-1 radius that their rule gives to a label of probability p at equal sigma, how
    tight that is, and who proved it. l0 counts single features. Noises with parameters of their own stand with an
    example.
    """
    import numpy as np

    from radii.noises import NOISES, example, example_name
    from radii.radius import certified_radius
    from radii.wording import radius_text

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
    from radii.exports import write_whole
    from radii.plots import png_bytes, radius_by_probability

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

    from radii.falsifier import attack_radius
    from radii.noises import example_name
    from radii.radius import certified_radius
    from radii.wording import radius_text

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
