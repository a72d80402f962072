"""Options and arguments that several commands share, votes files by name, and errors in a command line."""

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from radii.certificates.certify import LABELS
from radii.certificates.imported import ImportedRun, load_run
from radii.certificates.planning import RadiusTarget
from radii.errors import InputError
from radii.noises import NOISES, Noise
from radii.noises.norms import NORMS, UNITS, check_shape
from radii.storage.documents import names_in, parse_number
from radii.storage.folders import bare
from radii.votes import PRECISIONS, Votes, check_fingerprints
from radii.votes.bounds import METHODS
from radii.votes.plans import PLANS, Plan

if TYPE_CHECKING:
    from radii.data import DataSet

# a help text is a noun phrase of at most 12 words; tests/cli/test_cli.py counts them

ClassifierRun = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Run folder of the classifier behind a denoiser.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder that contains the data set.",
        show_default="a download, made once",
        rich_help_panel="Images",
    ),
]
Split = Annotated[str, typer.Option(help="Split: test or train, or all for images without splits.")]
Shape = Annotated[str, typer.Option(help="Shape of one image.", rich_help_panel="Images")]


def noise_option(default: bool | str = True) -> Any:
    """Return the option of a noise; `default` is the text that the help shows for it, True for the value itself."""
    return typer.Option(
        metavar="NAME[:PARAMETER=NUMBER,...]",
        help="Noise distribution; radii noises lists them.",
        show_default=default,
        rich_help_panel="Noise",
    )


Sigma = Annotated[
    float,
    typer.Option(
        help="Standard deviation of the noise per feature, images in [0, 1].", rich_help_panel="Noise"
    ),
]
OptionalSigma = Annotated[
    float | None,
    typer.Option(
        help="Standard deviation of the noise per feature, images in [0, 1].",
        show_default="0.5",
        rich_help_panel="Noise",
    ),
]
Files = Annotated[
    list[Path],
    typer.Argument(metavar="[NAME=]VOTES", help="Votes or imported runs, each with a name if you like."),
]
Norms = Annotated[
    list[str],
    typer.Option(
        "--norm", metavar="NORM", help="Norm: l0, l1, l2 or linf (repeatable).", show_default="all norms"
    ),
]
Ks = Annotated[
    list[int], typer.Option("--k", metavar="K", help="Size k of the certified top-k prediction (repeatable).")
]
K = Annotated[int, typer.Option(help="Size k of the certified top-k prediction.")]
Radii = Annotated[
    list[str],
    typer.Option(
        "--radii",
        metavar="[NORM:]RADIUS",
        help="Radius to certify, for example 0.5 or linf:2/255 (repeatable).",
    ),
]
Alpha = Annotated[float, typer.Option(help="Error probability of a certificate, per image.")]
L0Unit = Annotated[
    str, typer.Option(help="Unit of l0 radii: pixel (all its channels) or feature, Python's default.")
]
Seed = Annotated[
    int,
    typer.Option(help="Seed of the random numbers, reproducible on one machine.", rich_help_panel="Running"),
]

RENAMED = {
    "--average": "--ema",
    "--batch": "--batch-size",
    "--block": "--part-size",
    "--copies": "--eot-samples",
    "--dataset": "--data",
    "--eps": "--radii",
    "--epsilon": "--radii",
    "--every": "--stride",
    "--exact": "--exact-arithmetic",
    "--first": "--limit",
    "--lease": "--worker-timeout",
    "--leave-out": "--exclude",
    "--n-samples": "--n",
    "--noise-sd": "--sigma",
    "--output": "--out",
    "--radius": "--radii",
    "--samples": "--n",
    "--selection": "--n0",
    "--skip": "--stride",
    "--subset": "--indices",
    "--unit": "--l0-unit",
}
"""Former names of options and those that other programs have, with the names here."""


def parse_loss_options(texts: Sequence[str]) -> dict[str, float]:
    """Return options of a loss by name, for example of `m=4`."""
    options: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            # whole numbers stay whole: some options, such as m, are counts
            options[name.strip()] = int(value) if value.strip().lstrip("-").isdigit() else float(value)
        except ValueError:
            raise InputError(f"an option of a loss is NAME=VALUE, for example m=4; got {text!r}") from None
    return options


def parse_shape(text: str) -> tuple[int, ...]:
    """Return the shape that a text such as `3,32,32` stands for."""
    try:
        return check_shape(text.split(","))
    except InputError as error:
        raise InputError(
            f"shape must be the sizes of one image, for example 3,32,32; got {text!r}"
        ) from error


def parse_radii(texts: Sequence[str], norm: str | None) -> dict[str, tuple[float, ...]]:
    """Return radii in increasing order by norm, of texts such as `0.5`, `2/255` or `linf:2/255`.

    Radii without a norm are in `norm`.
    """
    radii: dict[str, set[float]] = {}
    # a set per norm: a radius that is given twice is one target
    for text in texts:
        prefix, _, number = text.rpartition(":")
        try:
            radius = parse_number(number)
        except ValueError:
            raise InputError(
                f"a radius is a number or a fraction, with its norm if it has another one, for example 0.5 or "
                f"linf:2/255; got {text!r}"
            ) from None
        its_norm = prefix or norm or ""
        # 8 grey levels, in packages whose unit they are; no perturbation of images in [0, 1] is longer than 1
        if its_norm == "linf" and radius > 1:
            raise InputError(
                f"linf radii are at most 1, for images in [0, 1]; got {text}: did you mean {number}/255?"
            )
        if not its_norm:
            raise InputError(
                f"the norm of the radius {text} is unknown: write for example l2:{text}, or give one --norm"
            )
        radii.setdefault(its_norm, set()).add(radius)
    return {its_norm: tuple(sorted(values)) for its_norm, values in radii.items()}


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
        RadiusTarget(noise, norm, tuple(values), shape, k, unit, exact_arithmetic)
        for norm, values in radii.items()
    ]


def reach_text(
    plan: Plan, noise: Noise, k: int, alpha: float, classes: int, shape: tuple[int, ...], unit: str
) -> str:
    """Return in words the largest radii that a plan can certify; `unit` is what l0 counts."""
    from radii.certificates.planning import farthest
    from radii.report.formatting import radius_text

    reach = farthest(plan, noise, k=k, alpha=alpha, classes=classes, shape=shape, unit=unit)
    if not reach:
        return f"All {plan.n_max} outcomes of the noise on each image: no sampling error"
    radii = ", ".join(f"{norm} {radius_text(radius, norm)}" for norm, radius in reach.items())
    return f"The largest radii that {plan.n_max} samples can certify at alpha {alpha:g}: {radii}"


def split_name(path: Path) -> tuple[str, Path]:
    """Return the name and the path of `NAME=votes.parquet`; the name is empty where none is given."""
    name, equals, rest = str(path).partition("=")
    # a file or a folder may have an equals sign of its own: data=cifar10/votes.parquet
    if not equals or "/" in name or path.exists() or not rest:
        return "", path
    return name.strip(), Path(rest)


def load_named(paths: Sequence[Path]) -> dict[str, Votes | ImportedRun]:
    """Return votes and imported runs by name, in the order of the files, each of which may be `NAME=votes.parquet`.

    Those without a name get the shortest that differ: the noise; with its level; with the folder; with the path.
    """
    named = [split_name(path) for path in paths]
    files = [path for _, path in named]
    # resolved, since two paths may lead to one file; Path.resolve raises for a loop of links
    if len({os.path.realpath(path) for path in files}) < len(files):
        raise InputError("a votes file is given twice: give each file once")
    given = [name for name, _ in named if name]
    if len(set(given)) < len(given):
        raise InputError(f"names of votes files must differ; got {', '.join(given)}")
    loaded = [load_run(path) for path in files]
    # from the shortest, which fit a table, to paths, which always differ
    by_noise = [title_of(run) for run in loaded]
    by_level = [f"{name} {run.noise.level:g}" for name, run in zip(by_noise, loaded, strict=True)]
    stems = [bare(path) for path in files]
    by_folder = [f"{name} {path.parent.name}/{path.stem}" for name, path in zip(by_level, stems, strict=True)]
    by_path = [f"{name} {path.resolve()}" for name, path in zip(by_level, stems, strict=True)]
    for kind in (by_noise, by_level, by_folder, by_path):
        names = [
            name + mark_of(run) if name else made
            for (name, _), made, run in zip(named, kind, loaded, strict=True)
        ]
        if len(set(names)) == len(names):
            break
    return dict(zip(map(one_line, names), loaded, strict=True))


def one_line(name: str) -> str:
    """Return a name with escapes in place of line breaks and control characters, which would make other rows of it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


def title_of(run: Votes | ImportedRun) -> str:
    """Return the shortest name of a run in tables; ensembles, mirror averages and what was imported are marked."""
    if not isinstance(run, Votes):
        return (run.name or run.noise.title) + mark_of(run)
    # as `radii.models.digest` names them; every text matches, perhaps with empty groups
    pattern = r"(?:unknown:)?(mirrored)?(?:-\w+\()?(?:unknown:)?(?:(probabilities|logits)\()?"
    mirrored, averaged = re.findall(pattern, run.model)[0]
    kind = " ".join(filter(None, (mirrored, averaged and "ensemble")))
    return ", ".join(filter(None, (run.noise.title, kind))) + mark_of(run)


def mark_of(run: Votes | ImportedRun) -> str:
    """Return what marks the name of a run of another code."""
    return " (imported)" if run.unchecked else ""


def images_of(votes: Votes, data_dir: Path | None) -> np.ndarray:
    """Return the images of the votes in their order, `(images, *shape)` in [0, 1]."""
    return data_of(votes, data_dir).images()


def data_of(votes: Votes, data_dir: Path | None) -> "DataSet":
    """Return the images of the votes in their order, as a data set; raise `InputError` if they were changed."""
    from radii.data.loading import load_identified

    data = load_identified(votes.data, data_dir).at(votes.index)
    # files of your own may have changed since
    check_fingerprints(votes, data.images())
    return data


KINDS = {"float": "a number", "int": "a whole number"}
"""What an option must be, by the beginning of the parser's code for the error."""

PACKAGE = Path(__file__).parents[1]

# Written out, since the modules that define them import torch, for which no key press can wait;
# tests/cli/test_completion.py compares both.
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
    "published": names_in(PACKAGE / "report" / "published"),
    "recipe": names_in(PACKAGE / "training" / "recipes"),
    "split": ("test", "train", "all"),
    "l0_unit": UNITS,
}
"""Names that shells complete, by parameter; where none fits, shells complete paths."""


def completed(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with completion for each parameter in `NAMES`."""
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in NAMES:
            for info in parameter.annotation.__metadata__:
                info.autocompletion = _completion(NAMES[parameter.name])
    return command


# a function for each list of names: closures made in the loop above would all complete those of the last parameter
def _completion(names: Iterable[str]) -> Callable[[str], list[str]]:
    def matching(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return matching


def usage_error(error: Any) -> InputError:
    """Return the error of the parser, a `typer.TyperException`, as one sentence that names the help to read."""
    command = getattr(getattr(error, "ctx", None), "command_path", "radii")
    sentence = _number_sentence(error) or _option_sentence(error)
    return InputError(f"{sentence}{' See' if sentence.endswith('?') else '; see'} {command} --help")


def _number_sentence(error: Any) -> str:
    """Return what a number must be and what came instead; empty for other errors."""
    # the parser reads numbers by pydantic, whose errors carry a code such as int_parsing, and the input
    details: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    # other kinds of errors are sentences already
    kind = KINDS.get(details[0]["type"].partition("_")[0]) if details else None
    if kind is None or getattr(error, "param", None) is None:
        return ""
    return f"{error.param.opts[0]} must be {kind}; got {str(details[0]['input'])!r}"


def _option_sentence(error: Any) -> str:
    """Return the parser's sentence about an option, an argument or a command, with the name here of a renamed one."""
    option, near = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    # before the similar names, of which none may be the one here; the command need not have the option at all. Without
    # a context the option is one of the command, as --radius of radii gate, and lacks its value.
    known = [] if error.ctx is None else [name for one in error.ctx.command.params for name in one.opts]
    if option in RENAMED and RENAMED[option] in known:
        return f"no such option: {option} is called {RENAMED[option]} here"
    if near:
        # without the dashes, which make any two short names similar
        similar = get_close_matches(str(option).strip("-"), [name.strip("-") for name in near])
        hint = f"; did you mean {' or '.join(f'--{name}' for name in sorted(similar))}?" if similar else ""
        return f"no such option: {option}{hint}"
    # a second sentence, as in "No such command 'certfy'. Did you mean 'certify'?", becomes a part of the first
    message = error.format_message().rstrip(".").replace(". Did you", "; did you")
    return f"{message[:1].lower()}{message[1:]}"
