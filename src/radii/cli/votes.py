"""The command that asks a trained model. It imports torch when it runs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from radii.cli.options import DataDir, Radii, Seed, Unit, parse_radii
from radii.console import progress, say
from radii.designs import PLANS, Anytime, Fixed, Plan, TopK
from radii.errors import InputError, check_name
from radii.noises import Noise
from radii.norms import NORMS, unit_of
from radii.votes import plan_name


def vote(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that radii train wrote.")],
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
            help="fixed, sequential, top-k, two-stage or anytime.  [default: sequential with radii, else fixed]"
        ),
    ] = None,
    n_max: Annotated[
        int | None,
        typer.Option(
            help="The most noisy copies of one image, by other plans than fixed.  [default: 100000]"
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
    split: Annotated[str, typer.Option(help="test or train images.")] = "test",
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
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16: another, faster classifier; auto for the faster here.")
    ] = "float32",
    batch: Annotated[
        int | None,
        typer.Option(
            help="Noisy copies in one call of the model.  [default: what a short trial finds fastest]"
        ),
    ] = None,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile", help="Fuse layers by torch.compile: half a minute at the start, then faster."
        ),
    ] = False,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Noise on a lattice: no rounding when it is added, the proofs hold for the program.",
        ),
    ] = False,
    unit: Unit = "pixel",
    data_dir: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Votes file.  [default: votes.parquet in RUN]")] = None,
) -> None:
    """Poll a trained model on noisy images.

    This is the expensive step. With --n, every image is polled as often, and every certificate, in any norm, for any
    k and alpha, is computed from the votes later, without the model. With --radii, each image is polled until it is
    clear whether these radii are certified, at most n-max times and mostly ten to a hundred times fewer: "sequential"
    counts the votes of the label, "top-k" those of its rivals too. "two-stage" polls as often as the radius itself is
    worth, "anytime" all images alike until --seconds are over. Writes one Parquet file: how often each class won on
    each image, and all that identifies these votes.
    """
    from radii.data import load_data
    from radii.files import check_writable
    from radii.intervals import check_alpha, check_k
    from radii.runs import load_run
    from radii.sampling import Smoothed

    path = out or run / "votes.parquet"
    check_alpha(alpha)
    if path.is_file():
        raise InputError(f"{path} exists: choose another file with --out, or remove it")
    model, config = load_run(run)
    smoothed = Smoothed(model, config.recipe.law(), precision, batch, compile, exact)
    asked: dict[str, Any] = {
        "norm": norm,
        "k": k,
        "unit": unit,
        "alpha": alpha,
        "exact": exact,
        "shape": config.shape,
    }
    chosen = choose_plan(smoothed.noise, plan, parse_radii(radius, norm), n, n_max, selection, **asked)
    check_k(k, len(config.classes))
    farthest = reachable(chosen, smoothed.noise, k, alpha, len(config.classes), config.shape)
    images = load_data(config.recipe.data, split, data_dir).every(every).without(leave_out or [])
    images = images.first(first) if first is not None else images
    if seconds is not None and not isinstance(chosen, Anytime):
        raise InputError(f"--seconds has no meaning for the plan {plan_name(chosen)}: add --plan anytime")
    check_writable(path)
    say(farthest)
    with progress(f"vote on {len(images)} images") as move:
        votes = smoothed.vote(images, plan=chosen, seed=seed, seconds=seconds, progress=move)
    votes.save(path)
    copies = (
        f"{chosen.n} draws" if isinstance(chosen, Fixed) else f"{votes.passes.mean():,.1f} copies an image"
    )
    settled = "" if alpha == 1e-3 or votes.watched is None else f" --alpha {alpha:g}"
    settled += " --labels predicted" if votes.watched == "predicted" else ""
    settled += f" --k {k}" if k > 1 else ""
    settled += "".join(f" --radii {one if ':' in one else f'{norm}:{one}'}" for one in radius)
    say(f"Votes of {copies} on {len(votes)} images: {path}\nNext: radii certify {path}{settled}")


def choose_plan(
    noise: Noise,
    name: str | None,
    radii: dict[str, tuple[float, ...]],
    n: int | None,
    n_max: int | None,
    selection: int | None,
    **asked: Any,
) -> Plan:
    """The plan that these options mean; options that it has no use for are refused."""
    from radii.planning import choose

    name = check_name("sampling plan", name or ("sequential" if radii else "fixed"), PLANS)
    for option, given, fits in (
        ("n", n is not None, name == "fixed"),
        ("n-max", n_max is not None, name != "fixed"),
        ("radii", bool(radii), name in ("sequential", "top-k")),
        ("selection", selection is not None, name != "two-stage"),
    ):
        if given and not fits:
            raise InputError(
                f"--{option} has no meaning for the plan {name}: leave it out, or choose another plan"
            )
    most, apart = (
        (1000 if n is None else n, 100) if name == "fixed" else (100_000 if n_max is None else n_max, 0)
    )
    given_apart = apart if selection is None else selection
    return choose(name, noise, radii, n_max=most, selection=given_apart, **asked)


def reachable(plan: Plan, noise: Noise, k: int, alpha: float, classes: int, shape: tuple[int, ...]) -> str:
    """What so many draws can certify at most, in words; an error if that is nothing."""
    from radii.certificates import check_reach, reachable_radius
    from radii.results import radius_text

    method, last = "label", alpha
    if isinstance(plan, Fixed | TopK):
        method = "two-event"
    if isinstance(plan, TopK):
        last = float(plan.shares[-1])
    if isinstance(plan, Anytime):
        last = alpha / 2
    n = plan.n if isinstance(plan, Fixed) else plan.n_max
    check_reach(n, k, last, method, classes)
    known: dict[str, Any] = {"k": k, "alpha": last, "method": method, "classes": classes, "shape": shape}
    reach = {norm: reachable_radius(noise, norm, n, unit=unit_of(norm, "pixel"), **known) for norm in NORMS}
    farthest = ", ".join(f"{norm} {radius_text(radius, norm)}" for norm, radius in reach.items())
    return f"The largest radii that {n} draws can certify at alpha {alpha:g}: {farthest}"
