"""What commands are given: options that several of them share, votes files, and the images behind votes."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from radii.certificates.certify import LABELS
from radii.certificates.planning import RadiusTarget
from radii.errors import InputError
from radii.noises import NOISES, Noise
from radii.noises.norms import NORMS, UNITS, unit_of
from radii.storage.documents import names_in, parse_number
from radii.storage.folders import bare
from radii.votes import PRECISIONS, Votes, check_fingerprints, load_votes
from radii.votes.bounds import METHODS
from radii.votes.plans import PLANS, Plan

if TYPE_CHECKING:
    from radii.data import DataSet


DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the data set (cifar10, cifar100).  [default: downloaded once]",
        rich_help_panel="Images",
    ),
]
Sigma = Annotated[
    float, typer.Option(help="Standard deviation of the noise on one feature; images lie in [0, 1].")
]
OwnSigma = Annotated[
    float | None,
    typer.Option(
        help="Standard deviation of the noise on one feature; images lie in [0, 1].  [default: 0.5]"
    ),
]
NoiseName = Annotated[
    str, typer.Option(metavar="NAME[:PARAMETER=NUMBER,...]", help="The noise; radii noises lists them.")
]
Seed = Annotated[
    int,
    typer.Option(help="The same seed gives the same result on one machine.", rich_help_panel="Running"),
]
Behind = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="If the run holds a denoiser: the run of the classifier behind it."),
]
Files = Annotated[list[Path], typer.Argument(metavar="VOTES", help="Files that radii vote wrote.")]
Norms = Annotated[
    list[str],
    typer.Option(
        "--norm", metavar="NORM", help="l0, l1, l2 or linf; may be given several times.  [default: all]"
    ),
]
Ks = Annotated[
    list[int], typer.Option("--k", metavar="K", help="Certify the top K; may be given several times.")
]
Radii = Annotated[
    list[str],
    typer.Option(
        "--radii",
        metavar="[NORM:]RADIUS",
        help="To certify, as 0.5 or linf:2/255; may be given several times.",
    ),
]
Alpha = Annotated[float, typer.Option(help="Probability that a certificate is wrong, per image.")]
L0Unit = Annotated[str, typer.Option(help="What l0 counts: pixel (all channels of a position) or feature.")]

RENAMED = {
    "--average": "--ema",
    "--batch": "--batch-size",
    "--block": "--part-size",
    "--copies": "--eot-samples",
    "--every": "--stride",
    "--exact": "--exact-arithmetic",
    "--first": "--limit",
    "--lease": "--worker-timeout",
    "--leave-out": "--exclude",
    "--selection": "--n0",
    "--subset": "--indices",
    "--unit": "--l0-unit",
}
"""Options by names that they once had."""


def parse_options(given: Sequence[str]) -> dict[str, float]:
    """`m=4` as a name and a number."""
    options: dict[str, float] = {}
    for one in given:
        name, _, text = one.partition("=")
        try:
            options[name.strip()] = int(text) if text.strip().lstrip("-").isdigit() else float(text)
        except ValueError:
            raise InputError(f"an option of a loss is NAME=VALUE, for example m=4; got {one!r}") from None
    return options


def parse_radii(given: Sequence[str], norm: str | None) -> dict[str, tuple[float, ...]]:
    """`0.5`, `2/255` or `linf:2/255` as radii that rise, by norm; those without one are in `norm`."""
    radii: dict[str, set[float]] = {}
    for one in given:
        where, _, text = one.rpartition(":")
        try:
            radius = parse_number(text)
        except ValueError:
            raise InputError(
                f"a radius is a number or a fraction, with its norm if it has another one, for example 0.5 or "
                f"linf:2/255; got {one!r}"
            ) from None
        where = where or norm or ""
        if not where:
            raise InputError(
                f"say which norm the radius {one} is in, for example l2:{one}, or give one --norm"
            )
        radii.setdefault(where, set()).add(radius)
    return {where: tuple(sorted(found)) for where, found in radii.items()}


def targets_of(
    noise: Noise,
    radii: Mapping[str, Sequence[float]],
    shape: tuple[int, ...],
    k: int,
    unit: str,
    exact_arithmetic: bool = False,
) -> list[RadiusTarget]:
    """Return the radii of each norm as a target of a plan; `unit` is what l0 counts."""
    return [
        RadiusTarget(noise, norm, tuple(at), shape, k, unit_of(norm, unit), exact_arithmetic)
        for norm, at in radii.items()
    ]


def load_named(paths: Sequence[Path]) -> dict[str, Votes]:
    """Votes by the shortest names that differ: the noise, with its level, with the folder, with the whole path."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("a votes file is given twice")
    loaded = [load_votes(path) for path in paths]
    short = [one.noise.title for one in loaded]
    level = [f"{name} {one.noise.level:g}" for name, one in zip(short, loaded, strict=True)]
    places = [bare(path) for path in paths]
    inner = [f"{name} {path.parent.name}/{path.stem}" for name, path in zip(level, places, strict=True)]
    whole = [f"{name} {path.resolve()}" for name, path in zip(level, places, strict=True)]
    names = next(names for names in (short, level, inner, whole) if len(set(names)) == len(names))
    return dict(zip(names, loaded, strict=True))


def images_of(votes: Votes, data_dir: Path | None) -> np.ndarray:
    """The images that votes are about, in their order, in [0, 1]."""
    return data_behind(votes, data_dir).images()


def data_behind(votes: Votes, data_dir: Path | None) -> "DataSet":
    """The images that votes are about, in their order, with all that the data set says of them."""
    from radii.data.loading import load_identified

    data = load_identified(votes.data, data_dir).at(votes.index)
    check_fingerprints(votes, data.images())
    return data


HERE = Path(__file__).parents[1]

# tests/cli/test_completion.py holds these against the modules that know them, which import torch
DATA = ("mnist5k", "digits", "cifar10", "cifar100")
MODELS = ("small-cnn", "wrn-16-2", "wrn-16-4", "wrn-40-2", "wrn-22-3-half", "wrn-28-10", "denoiser-8-32")
LOSSES = ("noise-augmentation", "stability", "consistency", "smoothadv", "macer", "ordinary", "denoising")
LAYOUTS = ("nchw", "nhwc", "flat")
BINARY = ("logit", "probability")
NAMES: Mapping[str, Iterable[str]] = {
    "binary": BINARY,
    "data": DATA,
    "executor": ("local", "ray"),
    "labels": LABELS,
    "layout": LAYOUTS,
    "loss": LOSSES,
    "method": METHODS,
    "model": MODELS,
    "name": DATA,
    "noise": NOISES,
    "norm": NORMS,
    "plan": PLANS,
    "precision": (*PRECISIONS, "auto"),
    "published": names_in(HERE / "report" / "published"),
    "recipe": names_in(HERE / "training" / "recipes"),
    "split": ("test", "train", "all"),
    "l0_unit": UNITS,
}
"""By what commands call it; a path is completed where no name fits."""


def completed(command: Callable[..., None]) -> Callable[..., None]:
    """The command, each of whose options and arguments that takes a name knows which."""
    for one in inspect.signature(command).parameters.values():
        if one.name in NAMES:
            for info in one.annotation.__metadata__:
                info.autocompletion = _beginning(NAMES[one.name])
    return command


def _beginning(names: Iterable[str]) -> Callable[[str], list[str]]:
    def matching(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return matching


def reach_text(plan: Plan, noise: Noise, k: int, alpha: float, classes: int, shape: tuple[int, ...]) -> str:
    """Return in words the largest radii that a plan can certify."""
    from radii.certificates.planning import farthest
    from radii.report.formatting import radius_text

    reach = farthest(plan, noise, k=k, alpha=alpha, classes=classes, shape=shape, unit="pixel")
    if not reach:
        return f"All {plan.n_max} outcomes of the noise on each image: no sampling error"
    radii = ", ".join(f"{norm} {radius_text(radius, norm)}" for norm, radius in reach.items())
    return f"The largest radii that {plan.n_max} samples can certify at alpha {alpha:g}: {radii}"
