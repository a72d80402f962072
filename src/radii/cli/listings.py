"""The commands that say what there is: data sets; noises and their rules."""

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from radii.cli.options import DataDir, Norms, Sigma
from radii.console import console, say
from radii.errors import InputError, check_name
from radii.norms import NORMS, check_shape


def data(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Data set to prepare and check; none lists all.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """List the data sets, or check one of them.

    Without a name: what there is, and how radii train treats it by default. With one: loads it (downloads it, where
    that is needed), checks its files, and says how many images it has.
    """
    from radii.data import DATASETS, SPLITS, load_data
    from radii.runs import RECIPES

    if name is None:
        table = Table("name", "what it is", "trained by default", box=SIMPLE_HEAD)
        for known, words in DATASETS.items():
            recipe = RECIPES[known]
            table.add_row(known, words, f"{recipe['model']}, {recipe['epochs']} epochs")
        console.print(table)
        return
    for split in SPLITS:
        found = load_data(name, split, data_dir)
        say(f"{name} {split}: {len(found)} images of {found.shape}, {len(found.classes)} classes")


def noises(
    norm: Norms = list(NORMS),  # noqa: B006 (typer copies it)
    sigma: Sigma = 0.5,
    p: Annotated[float, typer.Option(help="Probability of the label under noise.")] = 0.99,
    shape: Annotated[str, typer.Option(help="Shape of one image.")] = "3,32,32",
) -> None:
    """List the noises and their rules.

    For each noise and norm: the top-1 radius that its rule gives to a label of probability p, how tight that is, and
    who proved it. l0 counts single features.
    """
    import numpy as np

    from radii.noises import NOISES, example, example_name
    from radii.radius import certified_radius
    from radii.results import radius_text

    sizes = parse_shape(shape)
    kinds = [example(kind, sigma) for kind in NOISES.values()]
    norms = [check_name("norm", which, NORMS) for which in norm]
    if not 0 < p < 1:
        raise InputError(f"p is a probability, above 0 and below 1; got {p:g}")
    table = Table("noise", "norm", f"radius at p = {p:g}", "tightness", "source", box=SIMPLE_HEAD)
    for noise in kinds:
        for which in [which for which in norms if which in noise.rules]:
            rule = noise.rules[which]
            radius = certified_radius(noise, which, np.array([p]), shape=sizes)[0]
            table.add_row(
                example_name(type(noise)), which, radius_text(radius, which), rule.tightness, rule.source
            )
    console.print(table)
    pixel = f"; a pixel is {sizes[0]} of them" if len(sizes) == 3 and sizes[0] > 1 else ""
    say(f"sigma = {sigma:g}, shape = {sizes}; l0 counts features{pixel}.")


def parse_shape(text: str) -> tuple[int, ...]:
    """`3,32,32` as a shape."""
    try:
        return check_shape(text.split(","))
    except InputError as error:
        raise InputError(
            f"shape must be the sizes of one image, for example 3,32,32; got {text!r}"
        ) from error
