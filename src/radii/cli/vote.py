"""radii vote, which samples a model, and radii merge, which combines parts of votes. They import torch late."""

import math
from dataclasses import dataclass, field
from typing import Annotated

import typer

from radii.cli.console import say
from radii.cli.groups import Options, grouped
from radii.cli.model_options import Execution, InputFormat, ModelsArgument, NoiseOptions, model_source
from radii.cli.options import K, L0Unit, Radii, Seed, parse_radii, reach_text, targets_of
from radii.cli.vote_job import ImageOptions, JobSource, Processes, sample, sample_for
from radii.errors import InputError, check_name
from radii.noises import Noise
from radii.noises.norms import UNITS
from radii.storage.folders import check_writable, exists, with_suffix, write_file
from radii.votes import Votes, load_votes
from radii.votes.plans import PLANS, Plan
from radii.votes.record import check_ending

# alpha, n0 and the largest n are those of Cohen et al., ICML 2019
USUAL_N, USUAL_N0, USUAL_N_MAX = 1000, 100, 100_000
USUAL_ALPHA = 1e-3


@dataclass(frozen=True)
class PlanOptions(Options):
    """How many noise samples, and for which certificates."""

    title = "Plan"
    plan: Annotated[
        str | None,
        typer.Option(
            help="Sampling plan: fixed, sequential, top-k, two-stage, anytime or exhaustive.",
            show_default="sequential with --radii, exhaustive for splitting noise, else fixed",
        ),
    ] = None
    n: Annotated[
        int | None,
        typer.Option(help="Noise samples per image, by the plan fixed.", show_default=f"{USUAL_N}"),
    ] = None
    n0: Annotated[
        int | None,
        typer.Option(
            help="Selection samples per image, which predict its label.",
            show_default=f"{USUAL_N0} by the plan fixed, else 0: true labels",
        ),
    ] = None
    n_max: Annotated[
        int | None,
        typer.Option(
            help="Maximum noise samples per image, by plans that stop early.",
            show_default=f"{USUAL_N_MAX}",
        ),
    ] = None
    radius: Radii = field(default_factory=list)
    norm: Annotated[str, typer.Option(help="Norm of --radii without one, and of two-stage.")] = "l2"
    k: K = 1
    alpha: Annotated[
        float, typer.Option(help="Error probability of a certificate, per image, by adaptive plans.")
    ] = USUAL_ALPHA
    l0_unit: L0Unit = "pixel"
    seconds: Annotated[float | None, typer.Option(help="Time limit of the plan anytime, in seconds.")] = None

    def choose(self, noise: Noise, shape: tuple[int, ...], exact: bool) -> Plan:
        """Return the plan that the options mean, for a noise and images of a shape."""
        from radii.certificates.planning import choose

        usual = "exhaustive" if noise.outcomes else "sequential" if self.radius else "fixed"
        name = check_name("sampling plan", self.plan or usual, PLANS)
        self._check_use(name)
        # other plans watch true labels unless selection samples are wanted
        fixed = name == "fixed"
        most, usual_most = (self.n, USUAL_N) if fixed else (self.n_max, USUAL_N_MAX)
        usual_n0 = USUAL_N0 if fixed else 0
        return choose(
            name,
            noise,
            targets_of(noise, parse_radii(self.radius, self.norm), shape, self.k, self.l0_unit, exact),
            norm=self.norm,
            shape=shape,
            k=self.k,
            unit=self.l0_unit,
            alpha=self.alpha,
            # not `most or ...`: 0 is a mistake that the plan reports, not a missing option
            n_max=usual_most if most is None else most,
            selection=usual_n0 if self.n0 is None else self.n0,
        )

    def _check_use(self, plan: str) -> None:
        """Raise `InputError` for an option that the plan does not use, which would silently do nothing."""
        for option, is_given, is_used in (
            ("n", self.n is not None, plan == "fixed"),
            ("n-max", self.n_max is not None, plan not in ("fixed", "exhaustive")),
            ("radii", bool(self.radius), plan in ("sequential", "top-k")),
            ("n0", self.n0 is not None, plan not in ("two-stage", "exhaustive")),
        ):
            if is_given and not is_used:
                raise InputError(
                    f"--{option} has no meaning for the plan {plan}: leave it out, or choose another plan"
                )
        if self.seconds is not None and not PLANS[plan].open_ended:
            raise InputError(f"--seconds has no meaning for the plan {plan}: add --plan anytime")


@grouped
def vote(
    runs: ModelsArgument,
    input_format: InputFormat,
    images: ImageOptions,
    noise: NoiseOptions,
    plan: PlanOptions,
    execution: Execution,
    processes: Processes,
    seed: Seed = 0,
    out: Annotated[
        str | None,
        typer.Option(
            help="Votes file, local or in an object store.",
            show_default="votes.parquet in RUN; MODEL.votes.parquet or RUN+RUN.votes.parquet here",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """Count the votes of a model on noise samples.

    The model is a run folder of radii train, or any other model with --data, --noise and its input format. This is
    the expensive step: it queries the model on noise samples of each image and counts the predicted classes. The
    counts, and all that identifies them, are written to one Parquet file, from which radii certify computes
    certificates without the model.

    Several run folders, trained under one noise, are an ensemble: their mean probabilities vote. With --mirror, each
    noisy image is classified together with its mirror image, left to right, at twice the cost.

    With the plan fixed, every image gets --n noise samples, and the votes serve any norm, k and alpha. With --radii,
    each image is sampled until these radii are certified or cannot be, which typically takes ten to a hundred times
    fewer samples than --n-max. The plan sequential counts the votes of the label, and top-k those of its rivals too.
    The plan two-stage decides after a pilot how many samples each image gets. The plan anytime samples all images
    alike, until --seconds are over.

    Images are chosen by --indices, --stride, --exclude and --limit, in this order.

    Finished parts are kept in a folder beside the votes file. After an interruption, the same command continues.
    Several commands, on one machine or many, may share the folder, with or without --shard.
    """
    from radii.engine.api import check_same_job
    from radii.votes.bounds import check_alpha, check_k

    # what can be checked without the model comes first, since loading takes seconds
    check_name("unit", plan.l0_unit, UNITS)
    model = model_source(runs, images.data, noise.noise, noise.sigma, input_format)
    path = out or model.votes_path
    check_ending(path)
    check_alpha(plan.alpha)
    processes.check()
    # read now, so that a file of another kind is rejected before the model is loaded
    votes = existing_votes(path)
    source = JobSource(model, images, execution, noise.exact_arithmetic)
    smoothed, data = loaded = source.load()
    classes, shape = len(data.classes), data.shape
    chosen = plan.choose(smoothed.noise, shape, noise.exact_arithmetic)
    check_k(plan.k, classes)
    # queries the model on clean images, so after all that costs nothing
    model.check_scale(smoothed, data)
    farthest = reach_text(chosen, smoothed.noise, plan.k, plan.alpha, classes, shape, plan.l0_unit)
    if votes is not None:
        # schedulers start finished jobs again; a file of another job must not look like the result of this one
        check_same_job(votes, loaded, chosen, seed, plan.k, path)
        say("Nothing to do: the votes are complete.")
    else:
        # hours of sampling must not end at a folder that takes no files
        check_writable(path)
        if model.words:
            say(model.words)
        say(farthest)
        if chosen.open_ended:
            votes = sample_for(plan.seconds, loaded, chosen, seed, plan.k, path, processes)
        else:
            votes = sample(source, loaded, chosen, seed, plan.k, path, processes)
        # a shard that leaves others to do has printed the next command
        if votes is None:
            return
    say(f"{votes_text(votes)}: {path}\nNext: {next_command(votes, plan, path)}")


def existing_votes(path: str) -> Votes | None:
    """Return the votes in a file, None without a file; raise `InputError` if it holds something else."""
    if not exists(path):
        return None
    try:
        return load_votes(path)
    except InputError as error:
        raise InputError(f"{path} exists, and holds no votes: choose another file with --out") from error


def votes_text(votes: Votes) -> str:
    """Return the number of images and of noise samples per image, in words."""
    # plans that stop early take another number of samples for each image
    if votes.plan.per_image:
        return f"Votes on {len(votes)} images, {votes.n:,} noise samples per image"
    # rounded up, as in tables of certificates: a text must not claim fewer samples than were drawn
    mean = math.ceil(votes.samples.mean())
    return f"Votes on {len(votes)} images, {mean:,} noise samples per image on average"


def next_command(votes: Votes, plan: PlanOptions, path: str) -> str:
    """Return the command that computes the certificates for which the plan sampled."""
    command = f"radii certify {path}"
    # a plan that stopped early decided at its alpha; votes of other plans serve any
    if plan.alpha != USUAL_ALPHA and votes.tested_labels is not None:
        command += f" --alpha {plan.alpha:g}"
    if votes.tested_labels == "predicted":
        command += " --labels predicted"
    if plan.k > 1:
        command += f" --k {plan.k}"
    # the command has no --norm, so each radius gets its own
    radii = (radius if ":" in radius else f"{plan.norm}:{radius}" for radius in plan.radius)
    return command + "".join(f" --radii {radius}" for radius in radii)


def merge(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="PARTS", help="Folders of parts that radii vote keeps, and votes files."),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            help="Votes file, local or in an object store.",
            show_default="beside the first folder of parts",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """Merge votes from several machines.

    PARTS are folders of parts of one run, each with some of the parts, and votes files on other images or with other
    noise samples of the same images. Neither the model nor the data is needed. Nothing is counted twice, and votes
    that do not belong together are rejected.
    """
    from radii.engine.api import gather

    path = out or with_suffix(sources[0], ".parquet")
    check_ending(path)
    # never replaced: the file may hold hours of other votes
    if exists(path):
        raise InputError(f"{path} exists: choose another file with --out, or remove it")
    votes = gather(sources)
    write_file(path, votes.encode())
    say(f"{votes_text(votes)}: {path}\nNext: radii certify {path}")
