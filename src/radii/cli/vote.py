"""The commands that ask a trained model, and that put together what several machines drew. They import torch late."""

from pathlib import Path
from typing import Annotated, Any

import typer

from radii.cli.console import say
from radii.cli.model_options import (
    Batch,
    Binary,
    ClassMap,
    Compile,
    Data,
    Declared,
    Exact,
    GivenNoise,
    GivenSigma,
    InputRange,
    Layout,
    Mean,
    Named,
    Precision,
    Split,
    Std,
    polled_by,
)
from radii.cli.options import Behind, DataDir, Radii, Seed, Unit, choose_plan, parse_radii, reachable
from radii.cli.vote_job import Source, Team, draw, draw_for
from radii.errors import InputError, check_name
from radii.noises.norms import UNITS
from radii.storage.folders import check_writable, exists, with_suffix, write_file
from radii.votes import Votes, load_votes
from radii.votes.plans import Anytime


def vote(
    run: Named,
    n: Annotated[
        int | None,
        typer.Option(help="Noisy copies of each image that bound its probabilities.  [default: 1000]"),
    ] = None,
    radius: Radii = [],  # noqa: B006 (typer copies it)
    norm: Annotated[str, typer.Option(help="Norm of the radii; of radii themselves by two-stage.")] = "l2",
    k: Annotated[int, typer.Option(help="With radii or two-stage: certify the top K.")] = 1,
    plan: Annotated[
        str | None,
        typer.Option(
            help="fixed, sequential, top-k, two-stage or anytime; exhaustive for splitting noise.  "
            "[default: sequential with radii, else fixed]"
        ),
    ] = None,
    n_max: Annotated[
        int | None,
        typer.Option(
            help="The most noisy copies of one image, by other plans than fixed; two-stage takes its pilot "
            "besides.  [default: 100000]"
        ),
    ] = None,
    selection: Annotated[
        int | None,
        typer.Option(
            help="Separate noisy copies that predict its label; at most so many, with radii.  "
            "[default: 100; by plans other than fixed 0, for true labels]"
        ),
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop after so long; for the plan anytime.")] = None,
    alpha: Annotated[
        float, typer.Option(help="Probability that a certificate is wrong, for each image, with radii.")
    ] = 1e-3,
    classifier: Behind = None,
    data: Data = None,
    noise: GivenNoise = None,
    sigma: GivenSigma = None,
    input_range: InputRange = None,
    mean: Mean = None,
    std: Std = None,
    layout: Layout = None,
    binary: Binary = None,
    class_map: ClassMap = None,
    split: Split = "test",
    subset: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take the images at these positions of the split, one a line, or a .npy file. Of these come "
            "--every, then --leave-out, then --first.",
        ),
    ] = None,
    every: Annotated[int, typer.Option(help="Take the first image, and then every so many.")] = 1,
    leave_out: Annotated[
        list[int] | None,
        typer.Option(
            metavar="POSITION",
            help="Not the image at this position of the split; may be given several times.",
        ),
    ] = None,
    first: Annotated[
        int | None, typer.Option(help="Take so many images, from the first.  [default: all]")
    ] = None,
    seed: Seed = 0,
    precision: Precision = "float32",
    batch: Batch = None,
    compile: Compile = False,
    exact: Exact = False,
    unit: Unit = "pixel",
    data_dir: DataDir = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="Votes file, or its address in an object store.  [default: votes.parquet in RUN; MODEL.votes.parquet "
            "here, by the last word of its name]"
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Draw the I-th of N shares of the work; without it, all that is missing."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that draw.  [default: one for each GPU, else this one]")
    ] = None,
    executor: Annotated[
        str, typer.Option(help="local, or ray: the cluster at RAY_ADDRESS, or one started here.")
    ] = "local",
    lease: Annotated[
        float, typer.Option(help="Seconds of silence after which a worker is replaced.")
    ] = 600.0,
    block: Annotated[
        int | None,
        typer.Option(help="Noisy copies in a part of the work.  [default: 16384, or more if there are many]"),
    ] = None,
) -> None:
    """Poll a model on noisy images.

    The model is one that radii train made, or any other, of which --data, --noise and what it takes are said.
    This is the expensive step. With --n, every image is polled as often, and every certificate, in any norm, for any
    k and alpha, is computed from the votes later, without the model. With --radii, each image is polled until it is
    clear whether these radii are certified, at most n-max times and mostly ten to a hundred times fewer: "sequential"
    counts the votes of the label, "top-k" those of its rivals too. "two-stage" polls as often as the radius itself is
    worth, "anytime" all images alike until --seconds are over. Writes one Parquet file: how often each class won on
    each image, and all that identifies these votes.

    Until all is there, it is kept in parts, in a folder beside that file. Whatever interrupts it, the same command
    goes on from there. Several commands may share the folder, on one machine or many, each with --shard or without.
    """
    from radii.engine.api import check_same_job
    from radii.votes.bounds import check_alpha, check_k

    check_name("unit", unit, UNITS)
    declared = Declared(input_range, mean, std, layout, binary, class_map)
    polled = polled_by(run, classifier, data, noise, sigma, declared)
    path = out or polled.votes
    check_alpha(alpha)
    team = Team(shard, workers, lease, block, executor)
    team.check()
    before = votes_there(path)
    chosen_by = split, every, tuple(leave_out or ()), first, data_dir, subset
    source = Source(polled, precision, batch, compile, exact, *chosen_by)
    smoothed, images = source.load()
    classes, shape = len(images.classes), images.shape
    asked: dict[str, Any] = {
        "norm": norm,
        "k": k,
        "unit": unit,
        "alpha": alpha,
        "exact": exact,
        "shape": shape,
    }
    chosen = choose_plan(smoothed.noise, plan, parse_radii(radius, norm), n, n_max, selection, **asked)
    check_k(k, classes)
    polled.check(smoothed, images)
    farthest = reachable(chosen, smoothed.noise, k, alpha, classes, shape)
    if seconds is not None and not isinstance(chosen, Anytime):
        raise InputError(f"--seconds has no meaning for the plan {chosen.name}: add --plan anytime")
    votes, loaded = before, (smoothed, images)
    if votes is not None:
        check_same_job(votes, loaded, chosen, seed, k, path)
        say("All was drawn before.")
    else:
        check_writable(path)
        say(farthest)
        if isinstance(chosen, Anytime):
            votes = draw_for(seconds, loaded, chosen, seed, k, path, team)
        else:
            votes = draw(source, loaded, chosen, seed, k, path, team)
        if votes is None:
            return
    settled = "" if alpha == 1e-3 or votes.watched is None else f" --alpha {alpha:g}"
    settled += " --labels predicted" if votes.watched == "predicted" else ""
    settled += f" --k {k}" if k > 1 else ""
    settled += "".join(f" --radii {one if ':' in one else f'{norm}:{one}'}" for one in radius)
    say(f"Votes of {copies_text(votes)} on {len(votes)} images: {path}\nNext: radii certify {path}{settled}")


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
    """Put together votes that several machines drew.

    Folders of parts of one run, each with some of the parts, wherever they were drawn, and votes files that hold other
    images, or other draws of the same images. Needs neither the model nor the data. Nothing is counted twice: votes
    that do not belong together are refused.
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
    return f"{votes.n} draws" if votes.plan.per_image else f"{votes.passes.mean():,.1f} copies an image"
