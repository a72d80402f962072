"""radii data: the known data sets, and what your own images contain."""

from collections.abc import Sequence
from typing import Annotated

import typer

from radii.cli.console import say
from radii.cli.options import DataDir
from radii.cli.tables import Table, show, with_format


@with_format
def data(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|PATH", help="Data set or images to check.", show_default="a list of all data sets"
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """List the data sets, or check one of them.

    Without an argument: the known data sets, with the model and the epochs that radii train uses by default. With a
    name: the data set is loaded, after a download if needed, its files are checked, and the number of images is
    printed. A path names your own images: a folder of class folders, a .npz or .npy file, Parquet, or a folder of idx
    files. For these, the pixels and classes are printed too.
    """
    from radii.data import ALL
    from radii.data.loading import DATASETS, load_data, splits_of
    from radii.training.recipe import RECIPES

    if name is None:
        table = Table(("name", "images", "default training"), names=3, prose=(1, 2))
        for known, description in DATASETS.items():
            recipe = RECIPES[known]
            table.add_row(known, description, f"{recipe['model']}, {recipe['epochs']} epochs")
        show(table)
        return
    splits = splits_of(name, data_dir)
    if ALL in splits:
        say(
            f"{name} has no splits: every fifth image of each class is used for testing, the others for training"
        )
    for split in [ALL] if ALL in splits else splits:
        images = load_data(name, split, data_dir)
        say(f"{name} {split}: {len(images)} images of {images.shape}, {len(images.classes)} classes")
        # your own images: those of known data sets are checked against stored digests, and need no description
        if images.identity and images.identity.digest:
            kind = "8-bit" if images.pixels.dtype.itemsize == 1 else "real"
            rotated = ", rotated by their EXIF orientation" if images.identity.turned else ""
            say(f"  {kind} pixels{rotated}, sha256:{images.identity.digest}; {short_list(images.classes)}")


def short_list(names: Sequence[str], most: int = 10) -> str:
    """Return `a, b, c`, with dots in place of names beyond `most`."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
