"""radii report: tables, figures and a page from votes. It imports torch only to read images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from radii.certificates.imported import ImportedRun
from radii.certificates.runs import certifiable, certify_all
from radii.cli.certify import say_excluded, say_unchecked
from radii.cli.console import progress, say
from radii.cli.groups import Options, grouped
from radii.cli.options import (
    Alpha,
    Common,
    DataDir,
    Files,
    Ks,
    L0Unit,
    Norms,
    data_of,
    load_named,
    split_name,
)
from radii.errors import InputError
from radii.storage import atomic
from radii.storage.atomic import check_folder
from radii.storage.documents import parse_json
from radii.votes import Votes

if TYPE_CHECKING:
    from radii.data import DataSet
    from radii.report.html import Examples, Run


@dataclass(frozen=True)
class ComparedOptions(Options):
    """Which certificates are compared."""

    title = "Certificates"
    norm: Norms = field(default_factory=list)
    k: Ks = field(default_factory=list)
    alpha: Alpha = 1e-3
    l0_unit: L0Unit = "pixel"
    common: Common = False


@dataclass(frozen=True)
class PageOptions(Options):
    """What the page shows beside the certificates."""

    title = "Page"
    data_dir: DataDir = None
    page_title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "Certified robustness"
    published: Annotated[
        str | None,
        typer.Option(help="Published results for comparison: cifar10, or a file FILE.toml."),
    ] = None
    examples: Annotated[
        bool, typer.Option("--examples/--no-examples", help="Example images, read from the data set.")
    ] = True
    attacks: Annotated[
        bool,
        typer.Option("--attacks", help="Results of radii attack, from the folders attacks beside votes."),
    ] = False


@dataclass(frozen=True)
class OutputOptions(Options):
    """Where the page is written, and what else is."""

    title = "Output"
    out: Annotated[Path, typer.Option(help="Folder for the page and its files.")] = Path("report")
    style: Annotated[
        Literal["page", "paper"],
        typer.Option(help="page, or paper: also figures and tables for LaTeX, in OUT/paper."),
    ] = "page"


@grouped
def report(
    votes: Files,
    compared: ComparedOptions,
    page: PageOptions,
    output: OutputOptions,
) -> None:
    """Compare votes on one HTML page.

    The page index.html shows certified accuracy against radius by norm, votes, k and class, with figures and tables
    for each norm, and example images with their votes and radii. It needs no network. Beside it are the figures (PNG),
    the certificates (a CSV file per votes file, with a row per image), report.json, model-card.md and
    tables.md. Without --k, the
    page shows k = 1, 2 and 3, if there are more classes. With --style paper, the folder paper beside the page has
    every figure as SVG, PDF and PGF, tables.tex, and the numbers of each as CSV.
    """
    from radii.cli.attacked_pictures import pictures_beside
    from radii.report.attacked import ATTACKS, found_beside
    from radii.report.common_images import on_common_images
    from radii.report.html import Run, check_one_data, of_smallest_k, write_report
    from radii.report.paper import write_paper
    from radii.report.published import check_same_data, load_published
    from radii.report.runs import check_runs

    # all that can be wrong is found before the certificates, which take the longest
    check_folder(output.out)
    paths = [split_name(path)[1] for path in votes]
    files, others = load_named(votes), load_published(page.published) if page.published else []
    check_one_data({name: loaded.data for name, loaded in files.items()})
    for loaded in files.values():
        check_same_data(others, loaded.data)
    norms, ks = compared.norm or certifiable(files.values()), compared.k or usual_ks(files)
    # a passing bar: the page is the result, and its own bar follows
    with progress("certify", passing=True) as update:
        certified = certify_all(
            files, norms, ks, alpha=compared.alpha, unit=compared.l0_unit, progress=update
        )
    say_excluded(files, certified, norms)
    say_unchecked(certified)
    attacked = {
        name: found_beside(path, certified[name]) if page.attacks else {}
        for name, path in zip(files, paths, strict=True)
        if name in certified
    }
    if page.attacks and not any(attacked.values()):
        folder = paths[0].parent / ATTACKS
        raise InputError(
            "no votes have attacks in these norms and k beside them: "
            f"run radii attack {paths[0]} --out {folder}, with --run for a model not trained by radii train"
        )
    files_given = list(files)
    # votes without a rule for these norms are excluded, as was said
    files = {name: files[name] for name in certified}
    sampled = {name: loaded for name, loaded in files.items() if isinstance(loaded, Votes)}
    path_of = dict(zip(files_given, paths, strict=True))
    runs = [
        Run(
            name,
            certified[name],
            sampled.get(name),
            attacked[name],
            recipe_beside(path_of[name]),
            pictures_beside(path_of[name], certified[name], attacked[name]),
        )
        for name in files
    ]
    # another data set, or other labels, says more than other images
    runs = on_common_images(check_runs(runs), compared.common)
    examples = thumbnails = None
    own = {run.name: run.votes for run in runs if run.votes is not None and not run.votes.unchecked}
    if page.examples and (examples := choose_shown(own, of_smallest_k(runs)[0], page.data_dir)):
        thumbnails = choose_thumbnails(next(iter(own.values())), page.data_dir)
    with progress("report") as update:
        path = write_report(
            runs,
            output.out,
            title=page.page_title,
            examples=examples,
            thumbnails=thumbnails,
            published=others,
            progress=update,
        )
    if output.style == "paper":
        with progress("paper") as update:
            paper = write_paper(runs, output.out / "paper", published=others, progress=update)
        say(f"Paper: {paper}/tables.tex, figures.tex")
    say(f"Report: {path}")


def recipe_beside(votes: Path) -> dict[str, Any] | None:
    """Return the configuration of the run folder in which the votes lie; None where there is none of training here."""
    path = votes.parent / "config.json"
    if not path.is_file():
        return None
    try:
        document = parse_json(atomic.read(path))
    except ValueError:
        # some other file of this name
        return None
    return document if isinstance(document, dict) and isinstance(document.get("recipe"), dict) else None


def usual_ks(files: Mapping[str, Votes | ImportedRun]) -> list[int]:
    """Return 1, 2 and 3, as far as they are below the number of classes."""
    # imported runs are about k = 1 alone
    fewest = min((len(run.classes) for run in files.values() if isinstance(run, Votes)), default=2)
    # all classes together always hold the label
    return [k for k in (1, 2, 3) if k < fewest] or [1]


def choose_shown(own: Mapping[str, Votes], run: "Run", data_dir: Path | None) -> "Examples | None":
    """Return instructive images; None, with a printed reason, if there are none to read.

    `own`: votes whose images and noise samples are known, as those of imported runs are not. `run`: certificates for
    the k that the page shows of the images, by which they are chosen.
    """
    from radii.report.html import choose_examples

    if not own:
        say("The page has no example images: imported runs do not identify theirs.")
        return None
    first = next(iter(own.values()))
    rows = choose_examples(next(iter(run.by_k("l2")), run.all[0]))
    try:
        data = data_of(first[rows], data_dir)
    except InputError as error:
        # images that the user named must be there
        if data_dir is not None:
            raise
        say(f"The page has no example images: {error}")
        return None
    return shown_examples(data, own)


def choose_thumbnails(votes: Votes, data_dir: Path | None) -> "Examples | None":
    """Return all images of the votes, for small pictures in the list; None where they are too many for a page."""
    from radii.report.html import MOST_PICTURES, Examples

    if len(votes) > MOST_PICTURES:
        return None
    data = data_of(votes, data_dir)
    return Examples(data.pictures(), data.index, votes.classes)


def shown_examples(data: "DataSet", files: Mapping[str, Votes]) -> "Examples":
    """Return the images, with the first noise sample of each image in each of the votes.

    Classes have the names in the votes, by which their labels are counted.
    """
    from radii.report.html import Examples
    from radii.sampling.monte_carlo import NoisyImages

    noisy = {}
    for name, votes in files.items():
        # by the seed of the votes: these are samples that the model received
        samples = NoisyImages(data, votes.noise, votes.seed, exact=votes.exact_arithmetic).first()
        noisy[name] = np.round(255 * votes.noise.pictures(samples)).astype(np.uint8)
    # the data may name classes in another order than the model counted them
    classes = next((votes.classes for votes in files.values()), data.classes)
    return Examples(data.pictures(), data.index, classes, noisy)
