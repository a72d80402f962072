"""radii data: the known data sets, and what is in one's own images."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from radii.cli.console import console, say
from radii.cli.options import DataDir


def data(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|PATH",
            help="Data set, or images of your own, to check.  [default: list all]",
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """List the data sets, or check one of them.

    Without a name: the known data sets, and how radii train treats each by default. With one: loads it (downloads
    it, if it has to), checks its files, and prints the number of images. With a path to images of your own, also
    prints what was found there: a folder of class folders, a .npz or .npy file, Parquet, or a folder of idx files.
    """
    from radii.data import ALL
    from radii.data.loading import DATASETS, load_data, splits_of
    from radii.training.recipe import RECIPES

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
        if found.identity and found.identity.digest:
            kind = "8-bit" if found.pixels.dtype.itemsize == 1 else "real"
            turned = ", pictures turned as their EXIF orientation says" if found.identity.turned else ""
            say(f"  {kind} pixels{turned}, sha256:{found.identity.digest}; {short_list(found.classes)}")


def short_list(words: Sequence[str], most: int = 10) -> str:
    """`a, b, c`, with dots where there are more."""
    return ", ".join(words[:most]) + (", ..." if len(words) > most else "")
