"""The commands that turn votes into certificates. They import torch only to look at images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from radii.cli.options import (
    Alpha,
    DataDir,
    Files,
    Ks,
    Norms,
    Unit,
    data_behind,
    images_of,
    load_named,
    parse_radii,
    settings,
)
from radii.console import accuracy_table, console, progress, say, unlabelled_table
from radii.errors import InputError, check_name
from radii.files import check_folder
from radii.norms import NORMS
from radii.votes import Votes
from radii.wording import draws_text

Found = dict[str, dict[tuple[str, int], Any]]
"""Certificates by name, and by norm and k."""


def certify(
    votes: Files,
    norm: Norms = [],  # noqa: B006 (typer copies it)
    k: Ks = [1],  # noqa: B006
    radius: Annotated[
        list[str],
        typer.Option(
            "--radii",
            metavar="[NORM:]RADIUS",
            help="For the table, as 0.5 or linf:2/255; may be given several times.  [default: round ones]",
        ),
    ] = [],  # noqa: B006
    alpha: Alpha = 1e-3,
    labels: Annotated[
        str | None,
        typer.Option(
            help="true, predicted, or set (the whole predicted top-k set at once).  [default: those that the plan "
            "watched, else true]"
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="two-event, simultaneous (Jia et al.) or label (Cohen et al.).  [default: two-event, or the plan's]"
        ),
    ] = None,
    unit: Unit = "pixel",
    box: Annotated[
        bool, typer.Option("--box", help="Use each image's own box for l0 and l1; loads the data set.")
    ] = False,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for a CSV and a JSON file of each norm and k.  [default: none]"),
    ] = None,
) -> None:
    """Turn votes into certified radii.

    Arithmetic on counts: no model is needed. Prints one table for each norm and k: the certified accuracy of each
    votes file at round radii, the share of abstentions, the mean and the median radius. With --out also writes, for
    each, one CSV (a row an image) and one JSON (what is certified, with the promise in words). With --radii the tables
    are about these, and only about norms that have some.
    """
    from radii.exports import csv_text, json_text, slug, summary, write_whole

    if out is not None:
        check_folder(out)
    shown = parse_radii(radius, norm[0] if len(norm) == 1 else None)
    if others := [one for one in norm if shown and one not in shown]:
        raise InputError(
            f"--radii are about {', '.join(shown)}, but --norm also asks for {', '.join(others)}: add radii there"
        )
    files = load_named(votes)
    norm = list(shown) or norm or ruled(files)
    boxes = (
        {name: images_of(one, data_dir) for name, one in files.items()}
        if box and {"l0", "l1"} & set(norm)
        else {}
    )
    found = certify_all(files, norm, k, unit, boxes, alpha=alpha, labels=labels, method=method)
    if out is not None:
        for name, certificates in found.items():
            for (which, rank), one in certificates.items():
                stem = f"{slug(name)}-{which}-top{rank}"
                write_whole(out / f"{stem}.csv", csv_text(one))
                write_whole(out / f"{stem}.json", json_text(summary(one)))
    known = all(one.labels is not None for one in files.values())
    for asked in dict.fromkeys(asked for certificates in found.values() for asked in certificates):
        which = asked[0]
        named = {name: certificates[asked] for name, certificates in found.items() if asked in certificates}
        console.print(accuracy_table(named, shown.get(which, ())) if known else unlabelled_table(named))
    firsts = [next(iter(one.values())) for one in found.values()]
    wrong = max(one.alpha for one in firsts)
    holds = f"with probability {1 - wrong:.10g} for its image" if wrong else "without any error probability"
    say(f"Each radius holds {holds}; n = {draws_text(firsts)} draws an image.")
    if out is not None:
        say(f"One CSV and one JSON file for each norm and k: {out}")


def report(
    votes: Files,
    norm: Norms = [],  # noqa: B006
    k: Ks = [],  # noqa: B006
    alpha: Alpha = 1e-3,
    unit: Unit = "pixel",
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Certified robustness",
    published: Annotated[
        str | None,
        typer.Option(help="Show what others published beside the votes: cifar10, or FILE.toml of one's own."),
    ] = None,
    data_dir: DataDir = None,
    examples: Annotated[
        bool, typer.Option("--examples/--no-examples", help="Show test images; this takes the data set.")
    ] = True,
    attacks: Annotated[
        bool,
        typer.Option(
            "--attacks",
            help="Show what radii attack found: its files in the folder attacks beside votes that have one.",
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the page and its files.")] = Path("report"),
) -> None:
    """Compare votes on one HTML page.

    Writes index.html, where one chooses norm, votes, k and class, and sees certified accuracy against radius; with
    figures and tables for each norm, class by class, and test images with their votes and radii. Without --k, k is 1,
    2 and 3, as far as there are more classes. The page needs no network.
    Beside it: figures (PNG), certificates (one CSV a votes file, a row an image), results.json and tables.md.
    """
    from radii.attacked import FOLDER, found_beside
    from radii.published import check_same_data, load_published
    from radii.report import Run, check_one_data, write_report

    check_folder(out)
    files, others = load_named(votes), load_published(published) if published else []
    check_one_data({name: one.data for name, one in files.items()})
    for one in files.values():
        check_same_data(others, one.data)
    found = certify_all(files, norm or ruled(files), k or usual_ks(files), unit, {}, alpha=alpha)
    attacked = {
        name: found_beside(path, found[name]) if attacks else {}
        for name, path in zip(files, votes, strict=True)
        if name in found
    }
    if attacks and not any(attacked.values()):
        folder = votes[0].parent / FOLDER
        raise InputError(
            "no votes have attacks in these norms and k beside them: "
            f"make them by radii attack {votes[0]} --out {folder}, and --run for a model of one's own"
        )
    files = {name: files[name] for name in found}
    runs = [Run(name, found[name], one, attacked[name]) for name, one in files.items()]
    shown = choose(files, runs[0].certificates, data_dir) if examples else None
    with progress("report") as move:
        page = write_report(runs, out, title=title, examples=shown, published=others, progress=move)
    say(f"Report: {page}")


def certify_all(
    files: dict[str, Votes],
    norms: list[str],
    ks: list[int],
    unit: str,
    boxes: dict[str, Any],
    labels: str | None = None,
    **how: Any,
) -> Found:
    """Certificates of all votes for every norm and k; nothing is shown or written before all are there.

    Votes without a rule for any of the norms are left out, and that is said.
    """
    from radii.certificates import certify

    asked = list(dict.fromkeys((norm, k) for norm in norms for k in ks))
    found: Found = {name: {} for name in files}
    with progress("certify", passing=True) as move:
        for done, (norm, k) in enumerate(asked):
            move(done, len(asked))
            for name, one in with_rule(files, norm):
                own = {**how, **settings(norm, unit, boxes.get(name))}
                found[name][norm, k] = certify(one, norm, k=k, labels=labels or one.watched or "true", **own)
        move(len(asked), len(asked))
    for name in [name for name, certificates in found.items() if not certificates]:
        say(
            f"{name} is left out: no rule certifies {' or '.join(norms)} under {files[name].noise.name} noise."
        )
        del found[name]
    return found


def ruled(files: dict[str, Votes]) -> list[str]:
    """The norms for which the noise of any votes has a rule."""
    return [norm for norm in NORMS if any(norm in one.noise.rules for one in files.values())]


def usual_ks(files: dict[str, Votes]) -> list[int]:
    """The first three ranks, as far as they are below the number of classes."""
    fewest = min(len(one.classes) for one in files.values())
    return [k for k in (1, 2, 3) if k < fewest] or [1]


def with_rule(files: dict[str, Votes], norm: str) -> list[tuple[str, Votes]]:
    """The votes whose noise has a rule for the norm, with their names."""
    check_name("norm", norm, NORMS)
    found = [(name, one) for name, one in files.items() if norm in one.noise.rules]
    if not found:
        noises = ", ".join(dict.fromkeys(one.noise.name for one in files.values()))
        raise InputError(f"no rule certifies {norm} under {noises} noise: ask for {', '.join(ruled(files))}")
    return found


def choose(
    files: dict[str, Votes], certificates: Mapping[tuple[str, int], Any], data_dir: Path | None
) -> Any:
    """Images worth looking at that all votes are about, or None where there are none or no data set is at hand."""
    from radii.gallery import shown_examples
    from radii.report import choose_examples

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
