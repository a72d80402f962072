"""The command that tries to break certificates."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.cli.console import console, progress, say, titled
from radii.cli.groups import Options, grouped
from radii.cli.model_options import Declared, Polled, polled_by
from radii.cli.options import Alpha, DataDir, Ks, L0Unit, Seed, images_of
from radii.errors import InputError
from radii.noises import full_name
from radii.report.accuracy import round_radii
from radii.report.formatting import NORM_NAMES, round_text
from radii.storage.class_names import are_counted
from radii.votes import Votes, load_votes

if TYPE_CHECKING:
    from rich.table import Table

    from radii.attacks.attack import Attacks
    from radii.sampling import Smoothed


@dataclass(frozen=True)
class Attempt(Options):
    """How hard to try."""

    title = "Attack"
    steps: Annotated[int, typer.Option(help="Steps of the descent.")] = 20
    eot_samples: Annotated[int, typer.Option(help="Noise samples per image and step.")] = 16
    n: Annotated[int, typer.Option(help="Fresh noise samples that judge a perturbed image.")] = 1000
    reach: Annotated[float, typer.Option(help="How far to go, in certified radii.")] = 8.0
    seed: Seed = 0


@dataclass(frozen=True)
class Attacked(Options):
    """Which certificates to attack."""

    title = "Certificates"
    norm: Annotated[
        list[str],
        typer.Option("--norm", metavar="NORM", help="l0, l1, l2 or linf; may be given several times."),
    ] = field(default_factory=lambda: ["l2"])
    k: Ks = field(default_factory=lambda: [1])
    alpha: Alpha = 1e-3
    l0_unit: L0Unit = "pixel"
    stride: Annotated[int, typer.Option(help="Attack the first image, and then every STRIDE-th.")] = 1


@grouped
def attack(
    votes: Annotated[Path, typer.Argument(metavar="VOTES", help="File that radii vote wrote.")],
    attacked: Attacked,
    attempt: Attempt,
    declared: Declared,
    run: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|MODEL",
            help="Run folder, MODULE:ATTRIBUTE or FILE.pt2.  [default: the folder of VOTES]",
            rich_help_panel="Model",
        ),
    ] = None,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for a CSV file per norm and k, a row per image.", rich_help_panel="Output"),
    ] = None,
) -> None:
    """Try to break certificates.

    Searches a perturbation of each image that changes the smoothed prediction, by projected gradient descent
    through the noise, or in l0 by greedy changes: first within the certified radius, then beyond it. Prints the
    certified accuracy beside the accuracy under attack. Labels that leave the top k within their radius more often
    than alpha explains show a fault: the images are named, and the exit status is 1.
    """
    from radii.attacks import Effort
    from radii.attacks.attack import attack as try_all
    from radii.certificates.certify import certify
    from radii.noises.norms import unit_of
    from radii.report.attack_results import attacked_text, file_name
    from radii.report.export import write_whole
    from radii.storage.atomic import check_folder
    from radii.training.run_folder import CONFIG

    if out is not None:
        check_folder(out)
    drawn = load_votes(votes)
    if attacked.stride < 1:
        raise InputError(f"images are taken every 1st, 2nd, 3rd, ...; got {attacked.stride}")
    part = drawn[:: attacked.stride]
    if run is None and not (votes.parent / CONFIG).is_file():
        raise InputError(f"{votes} lies in no run folder: say which model gave these votes, by --run")
    name = run or str(votes.parent)
    polled = polled_again(drawn, name, declared)
    smoothed, effort = load_smoothed(drawn, polled, name), Effort(attempt.steps, attempt.eot_samples)
    images, refuted = images_of(part, data_dir), False
    how: dict[str, Any] = {"effort": effort, "n": attempt.n, "reach": attempt.reach, "seed": attempt.seed}
    for which in attacked.norm:
        for rank in attacked.k:
            certificates = certify(
                part, which, k=rank, alpha=attacked.alpha, unit=unit_of(which, attacked.l0_unit)
            )
            with progress(f"attack {which}") as move:
                found = try_all(smoothed, images, certificates, progress=move, **how)
            if len(found.rows):
                console.print(bounds_table(found))
            say(words(found))
            refuted |= found.refuted
            if out is not None:
                text = attacked_text(certificates, found.rows, found.lengths)
                write_whole(out / file_name(votes, which, rank), text)
    if refuted:
        raise SystemExit(1)


def polled_again(votes: Votes, run: str, declared: Declared) -> Polled:
    """The model that the options name; what they leave out of one that radii train did not make, votes say."""
    from radii.models.adapters import is_spec

    data, noise = (str(votes.data), full_name(votes.noise)) if is_spec(run) else (None, None)
    return polled_by(run, data, noise, None, declared)


def load_smoothed(votes: Votes, polled: Polled, name: str) -> "Smoothed":
    """The model that gave these votes, polled as it was then."""
    from radii.models import digest
    from radii.models.devices import best_device
    from radii.sampling import Smoothed
    from radii.sampling.class_matching import renamed

    model = renamed(polled.load(best_device()), votes.classes, "the votes", not are_counted(votes.classes))
    if digest(model) != votes.model:
        raise InputError(
            f"{name} holds another model than the one that gave these votes: say which with --run, and what it "
            "takes as it was said then"
        )
    return Smoothed(model, votes.noise, votes.precision, exact_arithmetic=votes.exact_arithmetic)


def bounds_table(found: "Attacks") -> "Table":
    """What is certified, and what attacks leave, at round radii as far as either reaches."""
    import numpy as np

    one = found.certificates
    what = "accuracy" if one.k == 1 else f"top-{one.k} accuracy"
    reached = np.array(one.radius)
    reached[found.rows] = np.where(np.isfinite(found.lengths), found.lengths, found.certified)
    radii = round_radii([replace(one, radius=reached)])
    table = titled(f"{NORM_NAMES[one.norm]}: {what} under any move of at most the radius", one.norm, one.unit)
    table.add_column("", no_wrap=True)
    for header in (round_text(radius, one.norm) for radius in radii):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_row("certified, at least", *(f"{share:.1%}" for share in one.accuracy(radii)))
    table.add_row("attacks leave, at most", *(f"{share:.1%}" for share in found.accuracy(radii)))
    return table


def words(found: "Attacks") -> str:
    """How many labels were pushed out, and how far beyond their radius."""
    import numpy as np

    one, pushed = found.certificates, np.isfinite(found.lengths)
    if not len(found.rows):
        return f"No {NORM_NAMES[one.norm]} radius for the top {one.k} is above 0: nothing was attacked."
    said = f"{len(found.rows)} images attacked, {pushed.sum()} labels pushed out of the top {one.k}"
    if pushed.any():
        ratio = np.median(found.lengths[pushed] / found.certified[pushed])
        said += f", the median of them at {ratio:.2f} certified radii"
    broken = ", ".join(str(index) for index in one.index[found.rows[found.within_radius]])
    if not broken:
        return f"{said}; none within its radius."
    allowed = "more than" if found.refuted else "no more than"
    return f"{said}. Within their radius: images {broken}, {allowed} alpha = {one.alpha:g} explains."
