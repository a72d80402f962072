"""radii attack: the search for perturbations that break certificates."""

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from radii.cli.certificate_tables import radius_caption, share_cell
from radii.cli.console import progress, say
from radii.cli.groups import Options, grouped
from radii.cli.model_options import InputFormat, ModelSource, model_source
from radii.cli.options import Alpha, DataDir, Ks, L0Unit, Seed, images_of
from radii.cli.tables import Table, show, with_format
from radii.errors import InputError, RadiiWarning
from radii.noises import full_name
from radii.report.formatting import NORM_NAMES, round_text
from radii.report.round_radii import round_radii
from radii.storage.class_names import are_counted
from radii.votes import Votes, load_votes, other_answers

if TYPE_CHECKING:
    from radii.attacks.attack import Attacks
    from radii.sampling import Smoothed


@dataclass(frozen=True)
class AttackedOptions(Options):
    """Which certificates are attacked."""

    title = "Certificates"
    data_dir: DataDir = None
    stride: Annotated[
        int, typer.Option(help="Step from one attacked image to the next.", rich_help_panel="Images")
    ] = 1
    norm: Annotated[
        list[str],
        typer.Option("--norm", metavar="NORM", help="Norm: l0, l1, l2 or linf (repeatable)."),
    ] = field(default_factory=lambda: ["l2"])
    k: Ks = field(default_factory=lambda: [1])
    alpha: Alpha = 1e-3
    l0_unit: L0Unit = "pixel"


@dataclass(frozen=True)
class EffortOptions(Options):
    """How long each attack searches."""

    title = "Attack"
    steps: Annotated[int, typer.Option(help="Steps of gradient descent.")] = 20
    eot_samples: Annotated[int, typer.Option(help="Noise samples per image and step.")] = 16
    n: Annotated[int, typer.Option(help="Fresh noise samples that judge a perturbed image.")] = 1000
    reach: Annotated[float, typer.Option(help="Longest perturbation, in certified radii.")] = 8.0
    seed: Seed = 0


@with_format
@grouped
def attack(
    votes: Annotated[Path, typer.Argument(metavar="VOTES", help="Votes file of radii vote.")],
    input_format: InputFormat,
    certificates: AttackedOptions,
    search: EffortOptions,
    run: Annotated[
        list[str],
        typer.Option(
            metavar="RUN|MODEL",
            help="Run folder (repeatable), MODULE:ATTRIBUTE or FILE.pt2.",
            show_default="the folder of VOTES",
            rich_help_panel="Model",
        ),
    ] = [],  # noqa: B006 (typer copies it)
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a CSV file and a picture per norm and k.",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """Search for perturbations that break certificates.

    For each image, projected gradient descent through the noise searches a perturbation that changes the smoothed
    prediction, first within the certified radius, then beyond it. In l0, single features are changed greedily. The
    certified accuracy is printed beside the accuracy under attack. If labels leave the top k within their radius more
    often than alpha explains, the certificates are wrong: the images are named, and the exit status is 1.
    """
    from radii.attacks import Effort
    from radii.attacks.attack import attack as attack_all
    from radii.certificates.certify import certify
    from radii.cli.attacked_pictures import sheet_bytes
    from radii.report.attacked import attacks_name, attacks_text
    from radii.report.export import write_whole
    from radii.storage.atomic import check_folder
    from radii.training.run_folder import CONFIG

    # attacks take minutes, so an impossible folder must show first
    if out is not None:
        check_folder(out)
    loaded = load_votes(votes)
    # a slice of step 0 raises ValueError, and a negative one would reverse the images
    if certificates.stride < 1:
        raise InputError(f"images are taken every 1st, 2nd, 3rd, ...; got {certificates.stride}")
    part = loaded[:: certificates.stride]
    if not run and not (votes.parent / CONFIG).is_file():
        raise InputError(f"{votes} lies in no run folder: name the model that gave these votes with --run")
    names = run or [str(votes.parent)]
    smoothed = load_smoothed(loaded, source_of(loaded, names, input_format), ", ".join(names))
    images, refuted = images_of(part, certificates.data_dir), False
    how: dict[str, Any] = {
        "effort": Effort(search.steps, search.eot_samples),
        "n": search.n,
        "reach": search.reach,
        "seed": search.seed,
    }
    for norm in certificates.norm:
        for k in certificates.k:
            unit = certificates.l0_unit
            attacked = certify(part, norm, k=k, alpha=certificates.alpha, unit=unit)
            with progress(f"attack {norm}") as update:
                attacks = attack_all(smoothed, images, attacked, progress=update, **how)
            # nothing is attacked where all radii are 0
            if len(attacks.rows):
                show(bounds_table(attacks))
            say(summary_text(attacks))
            refuted |= attacks.refuted
            if out is not None:
                path = out / attacks_name(votes, norm, k)
                picture = path.with_suffix(".png")
                # first, since that of an earlier attack shows other images
                picture.unlink(missing_ok=True)
                text = attacks_text(attacked, attacks.rows, attacks.lengths)
                write_whole(path, text)
                if sheet := sheet_bytes(text, attacks.lengths, attacks.perturbed):
                    write_whole(picture, sheet)
    # so that scripts notice
    if refuted:
        raise SystemExit(1)


def source_of(votes: Votes, runs: list[str], input_format: InputFormat) -> ModelSource:
    """Return the model that the options name, with the data set and the noise that the votes record."""
    from radii.models.adapters import is_spec

    # a run folder stores both itself, and `model_source` rejects options that repeat it
    data, noise = (str(votes.data), full_name(votes.noise)) if is_spec(runs[0]) else (None, None)
    return model_source(runs, data, noise, None, input_format)


def load_smoothed(votes: Votes, source: ModelSource, name: str) -> "Smoothed":
    """Load the model that gave these votes, with the same settings; raise `InputError` for another model."""
    from radii.models import digest
    from radii.models.devices import best_device
    from radii.sampling import Smoothed
    from radii.sampling.class_matching import renamed
    from radii.sampling.model_call import LEAST_ROWS

    model = renamed(source.load(best_device()), votes.classes, "the votes", not are_counted(votes.classes))
    # an attack on another model says nothing about these certificates
    if digest(model) != votes.model:
        raise InputError(
            f"{name} holds another model than the one that gave these votes: name that one with --run, and give the "
            "same input format as to radii vote"
        )
    # another precision, or noise that is rounded, would make another smoothed classifier
    smoothed = Smoothed(model, votes.noise, votes.precision, exact_arithmetic=votes.exact_arithmetic)
    if not votes.canary:
        message = (
            f"these votes have no canary: only the weights or the name show that {name} holds their model"
        )
        warnings.warn(RadiiWarning(message), stacklevel=2)
    # few rows, which need no tuning
    canary = replace(smoothed, batch=LEAST_ROWS).ready(votes.shape).canary
    if difference := other_answers(canary, votes.canary, votes.precision):
        raise InputError(
            f"{name} holds another model than the one that gave these votes, of the same weights or name: it gives "
            f"{difference}"
        )
    return smoothed


def bounds_table(attacks: "Attacks") -> Table:
    """Return the certified accuracy and the accuracy under attack at round radii, as far as either reaches."""
    import numpy as np

    certificates = attacks.certificates
    quantity = "accuracy" if certificates.k == 1 else f"top-{certificates.k} accuracy"
    # a copy, since certificates are not to be changed
    reached = np.array(certificates.radius)
    # where no attack succeeded, the certified radius is all that is known
    reached[attacks.rows] = np.where(np.isfinite(attacks.lengths), attacks.lengths, attacks.certified)
    radii = round_radii([replace(certificates, radius=reached)])
    norm = certificates.norm
    table = Table(
        headers=("", *(round_text(radius, norm) for radius in radii)),
        title=f"{NORM_NAMES[norm]}: {quantity} under perturbations of at most the radius",
        caption=radius_caption(norm, certificates.unit),
        about={"norm": norm, "unit": certificates.unit, "k": certificates.k},
    )
    table.add_row("certified, at least", *map(share_cell, certificates.accuracy(radii).tolist()))
    table.add_row("under attack, at most", *map(share_cell, attacks.accuracy(radii).tolist()))
    return table


def summary_text(attacks: "Attacks") -> str:
    """Return how many labels left the top k, how far beyond their radius, and which ones within it."""
    import numpy as np

    certificates, moved_out = attacks.certificates, np.isfinite(attacks.lengths)
    norm, k = NORM_NAMES[certificates.norm], certificates.k
    if not len(attacks.rows):
        return f"No {norm} radius for the top {k} is above 0: nothing was attacked."
    text = f"{len(attacks.rows)} images attacked, {moved_out.sum()} labels left the top {k}"
    if moved_out.any():
        ratio = np.median(attacks.lengths[moved_out] / attacks.certified[moved_out])
        text += f", at {ratio:.2f} certified radii in the median"
    broken = ", ".join(str(index) for index in certificates.index[attacks.rows[attacks.within_radius]])
    if not broken:
        return f"{text}; none within its radius."
    verdict = "more than" if attacks.refuted else "no more than"
    return f"{text}. Within their radius: images {broken}, {verdict} alpha = {certificates.alpha:g} explains."
