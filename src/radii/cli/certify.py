"""radii certify: certificates from votes. It imports torch only to read images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from radii.certificates.certify import Certificates
from radii.certificates.imported import ImportedRun
from radii.certificates.runs import certifiable, certify_all
from radii.cli.certificate_tables import accuracy_table, unlabelled_table
from radii.cli.console import progress, say
from radii.cli.groups import Options, grouped
from radii.cli.options import (
    Alpha,
    DataDir,
    Files,
    Ks,
    L0Unit,
    Norms,
    TableRadii,
    images_of,
    load_named,
    parse_radii,
)
from radii.cli.tables import show, with_format
from radii.errors import InputError
from radii.report.formatting import dataset_guarantee, draws_text
from radii.storage.atomic import check_folder
from radii.votes import Votes


@dataclass(frozen=True)
class CertificateOptions(Options):
    """Which certificates to compute."""

    title = "Certificates"
    norm: Norms = field(default_factory=list)
    k: Ks = field(default_factory=lambda: [1])
    radius: TableRadii = field(default_factory=list)
    alpha: Alpha = 1e-3
    labels: Annotated[
        str | None,
        typer.Option(
            help="Labels to certify: true, predicted, or top-k-set (all k together).",
            show_default="those that the plan watched, or true",
        ),
    ] = None
    method: Annotated[
        str | None,
        typer.Option(
            help="Confidence bounds: two-event, simultaneous (Jia et al.) or binary (Cohen et al.).",
            show_default="those of the plan, or two-event",
        ),
    ] = None
    jointly: Annotated[
        bool,
        typer.Option("--joint", help="One alpha per image for all k and norms together."),
    ] = False
    l0_unit: L0Unit = "pixel"
    box: Annotated[
        bool,
        typer.Option("--box", help="Larger l0 and l1 radii from each image's distances to [0, 1]."),
    ] = False

    def radii(self) -> dict[str, tuple[float, ...]]:
        """Return the radii of the tables, by norm."""
        # one --norm is that of all radii; of several, none can be meant
        shown = parse_radii(self.radius, self.norm[0] if len(self.norm) == 1 else None)
        if others := [norm for norm in self.norm if shown and norm not in shown]:
            raise InputError(
                f"--radii are about {', '.join(shown)}, but --norm also asks for {', '.join(others)}: add radii there"
            )
        return shown


@with_format
@grouped
def certify(
    votes: Files,
    options: CertificateOptions,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a CSV and a JSON file per norm and k.",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """Compute certified radii from votes.

    The model is not needed. Each norm and k gets a table: the certified accuracy of each votes file at round radii,
    beside the plain accuracy, the shares of images whose label is open or refuted, and the median radius over all
    images, of which those that are not certified count as 0. With --radii, the tables show these radii, and only
    their norms. With --out, each norm and k also gets a CSV file with a row per image, and a JSON file with the
    settings and the guarantee in words. With --box, the images are read as well.

    The error alpha is that of one image and one k; norms and radii cost nothing more. With --joint, it covers all k.
    """
    from radii.report.export import csv_text, json_text, slug, summary, write_whole

    if out is not None:
        check_folder(out)
    shown = options.radii()
    files = load_named(votes)
    # radii choose the norms of the tables; otherwise all norms that a rule certifies
    norms = list(shown) or options.norm or certifiable(files.values())
    # only l0 and l1 have rules that use the box
    boxed = options.box and {"l0", "l1"} & set(norms)
    with progress("certify", passing=True) as update:
        certified = certify_all(
            files,
            norms,
            options.k,
            alpha=options.alpha,
            labels=options.labels,
            method=options.method,
            unit=options.l0_unit,
            images={name: boxes_of(name, loaded, data_dir) for name, loaded in files.items()}
            if boxed
            else {},
            jointly=options.jointly,
            progress=update,
        )
    say_excluded(files, certified, norms)
    say_unchecked(certified)
    if out is not None:
        for name, by_question in certified.items():
            for (norm, k), certificates in by_question.items():
                stem = f"{slug(name)}-{norm}-top{k}" + "-joint" * options.jointly
                write_whole(out / f"{stem}.csv", csv_text(certificates))
                write_whole(out / f"{stem}.json", json_text(summary(certificates)))
    # accuracies need true labels; a table shows one kind of rows
    labelled = all(loaded.labels is not None for loaded in files.values())
    # a norm may have rules for some of the files only; each table shows those that it has
    for question in dict.fromkeys(question for by_question in certified.values() for question in by_question):
        by_name = {name: certified[name][question] for name in certified if question in certified[name]}
        radii = shown.get(question[0], ())
        show(accuracy_table(by_name, radii) if labelled else unlabelled_table(by_name))
    # alpha and n are those of the votes, the same in every norm and k
    firsts = [next(iter(by_question.values())) for by_question in certified.values()]
    # the statement covers all tables, so the largest alpha counts; enumerated noise has none
    alpha = max(certificates.alpha for certificates in firsts)
    holds = f"with probability {1 - alpha:.10g}" if alpha else "without sampling error"
    subject = (
        "The radii of an image for all k and norms hold together"
        if options.jointly
        else "Each radius holds for its image"
    )
    if any(certificates.unchecked for certificates in firsts):
        holds += ", of imported runs if their logs are what they were stated to be"
    say(f"{subject} {holds}; n = {draws_text(firsts)} noise samples per image.")
    # files of equally many images share the sentence
    for statement in dict.fromkeys(dataset_guarantee(certificates) for certificates in firsts):
        say(statement)
    if out is not None:
        say(f"One CSV and one JSON file for each norm and k: {out}")
    say(f"Next: radii report {' '.join(map(str, votes))}")


def boxes_of(name: str, run: Votes | ImportedRun, data_dir: Path | None) -> np.ndarray:
    """Return the images of a run; raise `InputError` for an imported one, which says nothing about its images."""
    if isinstance(run, ImportedRun) or run.unchecked:
        raise InputError(f"{name} does not identify its images, which --box needs: leave out --box")
    return images_of(run, data_dir)


def say_unchecked(certified: Mapping[str, Mapping[tuple[str, int], Certificates]]) -> None:
    """Print what cannot be checked of imported runs."""
    for name, by_question in certified.items():
        if sentences := next(iter(by_question.values())).unchecked:
            say(f"{name}: {' '.join(sentences)}")


def say_excluded(
    files: Mapping[str, Votes | ImportedRun], certified: Mapping[str, object], norms: Sequence[str]
) -> None:
    """Print which votes have no certificates, because no rule fits their noise."""
    for name, votes in files.items():
        if name not in certified:
            what = f"no rule certifies {' or '.join(norms)} under {votes.noise.name} noise"
            if isinstance(votes, ImportedRun):
                what = f"its log certifies k = 1, in {', '.join(votes.norms)}"
            say(f"{name} is excluded: {what}.")
