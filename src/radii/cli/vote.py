"""The commands that ask a trained model, and that put together what several machines drew. They import torch late."""

from dataclasses import dataclass, field
from typing import Annotated

import typer

from radii.cli.console import say
from radii.cli.groups import Options, grouped
from radii.cli.model_options import Declared, Execution, Named, NoiseOptions, polled_by
from radii.cli.options import L0Unit, Radii, Seed, parse_radii, reach_text, targets_of
from radii.cli.vote_job import ImageOptions, JobSource, Team, draw, draw_for
from radii.errors import InputError, check_name
from radii.noises import Noise
from radii.noises.norms import UNITS, unit_of
from radii.storage.folders import check_writable, exists, with_suffix, write_file
from radii.votes import Votes, load_votes
from radii.votes.plans import PLANS, Plan

Out = Annotated[
    str | None,
    typer.Option(
        help="Votes file, or its address in an object store.  [default: votes.parquet in RUN; MODEL.votes.parquet "
        "here, by the last word of its name]",
        rich_help_panel="Output",
    ),
]


@dataclass(frozen=True)
class PlanOptions(Options):
    """How many noise samples, and which certificates they are for."""

    title = "Plan"
    n: Annotated[
        int | None,
        typer.Option(help="Noise samples per image that bound its probabilities.  [default: 1000]"),
    ] = None
    radius: Radii = field(default_factory=list)
    norm: Annotated[str, typer.Option(help="Norm of the radii; of radii themselves by two-stage.")] = "l2"
    k: Annotated[int, typer.Option(help="With radii or two-stage: certify the top K.")] = 1
    plan: Annotated[
        str | None,
        typer.Option(
            help="fixed, sequential, top-k, two-stage or anytime; exhaustive for splitting noise.  "
            "[default: sequential with radii, else fixed]"
        ),
    ] = None
    n_max: Annotated[
        int | None,
        typer.Option(
            help="Most noise samples per image, by other plans than fixed; two-stage takes its pilot besides.  "
            "[default: 100000]"
        ),
    ] = None
    n0: Annotated[
        int | None,
        typer.Option(
            help="Selection samples per image, which predict its label; with radii at most so many.  "
            "[default: 100; by plans other than fixed 0, for true labels]"
        ),
    ] = None
    seconds: Annotated[float | None, typer.Option(help="Time limit of the plan anytime.")] = None
    alpha: Annotated[
        float, typer.Option(help="Probability that a certificate is wrong, per image, with radii.")
    ] = 1e-3
    l0_unit: L0Unit = "pixel"

    def choose(self, noise: Noise, shape: tuple[int, ...], exact: bool) -> Plan:
        """Return the plan that these options mean, under a noise and for a shape of images."""
        from radii.certificates.planning import choose

        usual = "exhaustive" if noise.outcomes else "sequential" if self.radius else "fixed"
        name = check_name("sampling plan", self.plan or usual, PLANS)
        self._check_use(name)
        given, usual_most, n0 = (self.n, 1000, 100) if name == "fixed" else (self.n_max, 100_000, 0)
        return choose(
            name,
            noise,
            targets_of(noise, parse_radii(self.radius, self.norm), shape, self.k, self.l0_unit, exact),
            norm=self.norm,
            shape=shape,
            k=self.k,
            unit=unit_of(self.norm, self.l0_unit),
            alpha=self.alpha,
            n_max=usual_most if given is None else given,
            selection=n0 if self.n0 is None else self.n0,
        )

    def _check_use(self, plan: str) -> None:
        """Raise `InputError` for an option that the plan has no use for."""
        for option, given, fits in (
            ("n", self.n is not None, plan == "fixed"),
            ("n-max", self.n_max is not None, plan not in ("fixed", "exhaustive")),
            ("radii", bool(self.radius), plan in ("sequential", "top-k")),
            ("n0", self.n0 is not None, plan not in ("two-stage", "exhaustive")),
        ):
            if given and not fits:
                raise InputError(
                    f"--{option} has no meaning for the plan {plan}: leave it out, or choose another plan"
                )
        if self.seconds is not None and not PLANS[plan].open_ended:
            raise InputError(f"--seconds has no meaning for the plan {plan}: add --plan anytime")


@grouped
def vote(
    run: Named,
    declared: Declared,
    images: ImageOptions,
    noise: NoiseOptions,
    plan: PlanOptions,
    execution: Execution,
    team: Team,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Sample a model under noise and count its votes.

    The model is a run folder of radii train, or any other model, for which --data, --noise and its input format are
    given. This is the expensive step. With --n, every image gets the same number of noise samples, and every
    certificate, in any norm, for any k and alpha, is computed from the votes later, without the model. With
    --radii, each image is sampled until it is decided whether these radii are certified, at most n-max times and
    mostly ten to a hundred times fewer: "sequential" counts the votes of the label, "top-k" those of its rivals
    too. "two-stage" takes as many samples as the radius itself is worth; "anytime" samples all images alike until
    --seconds are over. Writes one Parquet file: how often each class won on each image, and everything that
    identifies these votes.

    Unfinished work is kept in parts, in a folder beside that file; after any interruption, the same command
    continues. Several commands may share the folder, on one machine or many, each with --shard or without.
    """
    from radii.engine.api import check_same_job
    from radii.votes.bounds import check_alpha, check_k

    check_name("unit", plan.l0_unit, UNITS)
    polled = polled_by(run, images.data, noise.noise, noise.sigma, declared)
    path = out or polled.votes
    check_alpha(plan.alpha)
    team.check()
    votes = votes_there(path)
    source = JobSource(polled, images, execution, noise.exact_arithmetic)
    smoothed, data = loaded = source.load()
    classes, shape = len(data.classes), data.shape
    chosen = plan.choose(smoothed.noise, shape, noise.exact_arithmetic)
    check_k(plan.k, classes)
    polled.check(smoothed, data)
    farthest = reach_text(chosen, smoothed.noise, plan.k, plan.alpha, classes, shape)
    if votes is not None:
        check_same_job(votes, loaded, chosen, seed, plan.k, path)
        say("All was drawn before.")
    else:
        check_writable(path)
        say(farthest)
        if chosen.open_ended:
            votes = draw_for(plan.seconds, loaded, chosen, seed, plan.k, path, team)
        else:
            votes = draw(source, loaded, chosen, seed, plan.k, path, team)
        if votes is None:
            return
    say(
        f"Votes of {copies_text(votes)} on {len(votes)} images: {path}\nNext: {next_command(votes, plan, path)}"
    )


def next_command(votes: Votes, plan: PlanOptions, path: str) -> str:
    """The command that certifies what was sampled for."""
    said = f"radii certify {path}"
    said += "" if plan.alpha == 1e-3 or votes.tested_labels is None else f" --alpha {plan.alpha:g}"
    said += " --labels predicted" if votes.tested_labels == "predicted" else ""
    said += f" --k {plan.k}" if plan.k > 1 else ""
    return said + "".join(f" --radii {one if ':' in one else f'{plan.norm}:{one}'}" for one in plan.radius)


def votes_there(path: str) -> Votes | None:
    """The votes that are in a file already, if it is there; another file is left alone."""
    if not exists(path):
        return None
    try:
        return load_votes(path)
    except InputError as error:
        raise InputError(f"{path} exists, and holds no votes: choose another file with --out") from error


def merge(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="PARTS...", help="Folders of parts that radii vote keeps, and votes files."),
    ],
    out: Annotated[
        str | None, typer.Option(help="Votes file.  [default: beside the first folder of parts]")
    ] = None,
) -> None:
    """Merge votes that several machines drew.

    Takes folders of parts of one run, each with some of the parts, and votes files about other images, or with
    other noise samples of the same images. Needs neither the model nor the data. Nothing is counted twice: votes
    that do not belong together are rejected.
    """
    from radii.engine.api import gather

    path = out or with_suffix(sources[0], ".parquet")
    if exists(path):
        raise InputError(f"{path} exists: choose another file with --out, or remove it")
    votes = gather(sources)
    write_file(path, votes.encode())
    say(f"Votes of {copies_text(votes)} on {len(votes)} images: {path}\nNext: radii certify {path}")


def copies_text(votes: Votes) -> str:
    """How many draws there are, or copies an image on average."""
    return f"{votes.n} draws" if votes.plan.per_image else f"{votes.samples.mean():,.1f} copies an image"
