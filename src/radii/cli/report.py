"""radii report: tables, figures and a page from votes. It imports torch only to look at images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from radii.certificates.certify import certifiable, certify_all
from radii.cli.certify import say_left_out
from radii.cli.console import progress, say
from radii.cli.groups import Options, grouped
from radii.cli.options import (
    Alpha,
    DataDir,
    Files,
    Ks,
    L0Unit,
    Norms,
    data_behind,
    load_named,
)
from radii.errors import InputError
from radii.storage.atomic import check_folder
from radii.votes import Votes

if TYPE_CHECKING:
    from radii.data import DataSet
    from radii.report.html import Examples


def shown_examples(data: "DataSet", files: Mapping[str, Votes]) -> "Examples":
    """The images of `data`, with the first noise sample of each image in each of the votes.

    Classes have the names in the votes, by which their labels are counted.
    """
    from radii.report.html import Examples
    from radii.sampling.monte_carlo import NoisyImages

    noisy = {}
    for name, votes in files.items():
        samples = NoisyImages(data, votes.noise, votes.seed, exact=votes.exact_arithmetic).first()
        noisy[name] = np.round(255 * votes.noise.pictures(samples)).astype(np.uint8)
    classes = next((votes.classes for votes in files.values()), data.classes)
    return Examples(data.pictures(), data.index, classes, noisy)


@dataclass(frozen=True)
class Shown(Options):
    """What the page shows beside the certificates."""

    title = "Page"
    title_of_page: Annotated[str, typer.Option("--title", help="Heading of the page.")] = (
        "Certified robustness"
    )
    published: Annotated[
        str | None,
        typer.Option(help="Published results beside the votes: cifar10, or FILE.toml of your own."),
    ] = None
    data_dir: DataDir = None
    examples: Annotated[
        bool, typer.Option("--examples/--no-examples", help="Show test images; this takes the data set.")
    ] = True
    attacks: Annotated[
        bool,
        typer.Option(
            "--attacks",
            help="Show what radii attack found: its files in the folder attacks beside votes that have one.",
        ),
    ] = False


@dataclass(frozen=True)
class Compared(Options):
    """Which certificates are compared."""

    title = "Certificates"
    norm: Norms = field(default_factory=list)
    k: Ks = field(default_factory=list)
    alpha: Alpha = 1e-3
    l0_unit: L0Unit = "pixel"


@grouped
def report(
    votes: Files,
    compared: Compared,
    shown: Shown,
    out: Annotated[
        Path, typer.Option(help="Folder for the page and its files.", rich_help_panel="Output")
    ] = Path("report"),
) -> None:
    """Compare votes on one HTML page.

    Writes index.html, an interactive page of certified accuracy against radius by norm, votes, k and class, with
    figures and tables for each norm, and test images with their votes and radii. Without --k, k is 1, 2 and 3, as
    far as there are more classes. The page needs no network.
    Beside it: figures (PNG), certificates (one CSV per votes file, a row per image), results.json and tables.md.
    """
    from radii.report.attack_results import FOLDER, found_beside
    from radii.report.html import Run, check_one_data, write_report
    from radii.report.published import check_same_data, load_published

    check_folder(out)
    files, others = load_named(votes), load_published(shown.published) if shown.published else []
    check_one_data({name: one.data for name, one in files.items()})
    for one in files.values():
        check_same_data(others, one.data)
    norms, ks = compared.norm or certifiable(files.values()), compared.k or usual_ks(files)
    with progress("certify", passing=True) as move:
        found = certify_all(files, norms, ks, alpha=compared.alpha, unit=compared.l0_unit, progress=move)
    say_left_out(files, found, norms)
    attacked = {
        name: found_beside(path, found[name]) if shown.attacks else {}
        for name, path in zip(files, votes, strict=True)
        if name in found
    }
    if shown.attacks and not any(attacked.values()):
        folder = votes[0].parent / FOLDER
        raise InputError(
            "no votes have attacks in these norms and k beside them: "
            f"make them by radii attack {votes[0]} --out {folder}, and --run for a model of one's own"
        )
    files = {name: files[name] for name in found}
    runs = [Run(name, found[name], one, attacked[name]) for name, one in files.items()]
    examples = choose(files, runs[0].certificates, shown.data_dir) if shown.examples else None
    with progress("report") as move:
        page = write_report(
            runs, out, title=shown.title_of_page, examples=examples, published=others, progress=move
        )
    say(f"Report: {page}")


def usual_ks(files: dict[str, Votes]) -> list[int]:
    """The first three ranks, as far as they are below the number of classes."""
    fewest = min(len(one.classes) for one in files.values())
    return [k for k in (1, 2, 3) if k < fewest] or [1]


def choose(
    files: dict[str, Votes], certificates: Mapping[tuple[str, int], Any], data_dir: Path | None
) -> Any:
    """Images worth looking at that all votes are about, or None where there are none or no data set is at hand."""
    from radii.report.html import choose_examples

    votes = list(files.values())
    first = votes[0]
    if any(one.data != first.data or not np.array_equal(one.index, first.index) for one in votes):
        say("The page goes without example images: the votes are about different images.")
        return None
    by_norm = {norm: one for (norm, _), one in certificates.items()}
    rows = choose_examples(by_norm.get("l2", next(iter(by_norm.values()))))
    try:
        data = data_behind(first[rows], data_dir)
    except InputError as error:
        if data_dir is not None:
            raise
        say(f"The page goes without example images: {error}")
        return None
    return shown_examples(data, files)
