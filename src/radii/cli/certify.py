"""The commands that turn votes into certificates. They import torch only to look at images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from radii.certificates.certify import certifiable, certify_all
from radii.cli.console import accuracy_table, console, progress, say, unlabelled_table
from radii.cli.groups import Options, grouped
from radii.cli.options import (
    Alpha,
    DataDir,
    Files,
    Ks,
    L0Unit,
    Norms,
    images_of,
    load_named,
    parse_radii,
)
from radii.errors import InputError
from radii.report.formatting import draws_text
from radii.storage.atomic import check_folder
from radii.votes import Votes


@dataclass(frozen=True)
class Certified(Options):
    """What is certified."""

    title = "Certificates"
    norm: Norms = field(default_factory=list)
    k: Ks = field(default_factory=lambda: [1])
    radius: Annotated[
        list[str],
        typer.Option(
            "--radii",
            metavar="[NORM:]RADIUS",
            help="For the table, as 0.5 or linf:2/255; may be given several times.  [default: round ones]",
        ),
    ] = field(default_factory=list)
    alpha: Alpha = 1e-3
    labels: Annotated[
        str | None,
        typer.Option(
            help="true, predicted, or set (the whole predicted top-k set at once).  [default: those that the plan "
            "watched, else true]"
        ),
    ] = None
    method: Annotated[
        str | None,
        typer.Option(
            help="two-event, simultaneous (Jia et al.) or label (Cohen et al.).  [default: two-event, or the plan's]"
        ),
    ] = None
    l0_unit: L0Unit = "pixel"
    box: Annotated[
        bool, typer.Option("--box", help="Use each image's own box for l0 and l1; loads the data set.")
    ] = False

    def radii(self) -> dict[str, tuple[float, ...]]:
        """The radii of the tables, by norm."""
        shown = parse_radii(self.radius, self.norm[0] if len(self.norm) == 1 else None)
        if others := [one for one in self.norm if shown and one not in shown]:
            raise InputError(
                f"--radii are about {', '.join(shown)}, but --norm also asks for {', '.join(others)}: add radii there"
            )
        return shown


@grouped
def certify(
    votes: Files,
    certified: Certified,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a CSV and a JSON file per norm and k.  [default: none]", rich_help_panel="Output"
        ),
    ] = None,
) -> None:
    """Compute certified radii from votes.

    Needs no model. Prints one table per norm and k: the certified accuracy of each votes file at round radii, the
    share of abstentions, the mean and the median radius. With --out, also writes one CSV (a row per image) and one
    JSON (the settings, and the promise in words) for each. With --radii, the tables show these radii, and only
    norms that have some.
    """
    from radii.report.export import csv_text, json_text, slug, summary, write_whole

    if out is not None:
        check_folder(out)
    shown = certified.radii()
    files = load_named(votes)
    norms = list(shown) or certified.norm or certifiable(files.values())
    boxed = certified.box and {"l0", "l1"} & set(norms)
    with progress("certify", passing=True) as move:
        found = certify_all(
            files,
            norms,
            certified.k,
            alpha=certified.alpha,
            labels=certified.labels,
            method=certified.method,
            unit=certified.l0_unit,
            images={name: images_of(one, data_dir) for name, one in files.items()} if boxed else {},
            progress=move,
        )
    say_left_out(files, found, norms)
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


def say_left_out(files: Mapping[str, Votes], found: Mapping[str, object], norms: Sequence[str]) -> None:
    """Say which votes have no certificates, because no rule fits their noise."""
    for name in [name for name in files if name not in found]:
        noise = files[name].noise.name
        say(f"{name} is left out: no rule certifies {' or '.join(norms)} under {noise} noise.")
