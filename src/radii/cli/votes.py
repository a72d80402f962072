"""The commands that ask models: the demo, training, voting. They import torch when they run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from radii.cli.options import DataDir, Seed, Sigma, parse_options
from radii.console import accuracy_table, console, progress, say
from radii.errors import InputError
from radii.norms import NORMS


def demo(
    out: Annotated[Path, typer.Option(help="Folder for models, votes and the report.")] = Path("demo"),
    data: Annotated[str, typer.Option(help="Embedded data set: mnist5k or digits.")] = "mnist5k",
    sigma: Sigma = 0.5,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training images.  [default: 10 or 20, by data set]")
    ] = None,
    images: Annotated[int, typer.Option(help="Number of test images.")] = 500,
    n: Annotated[int, typer.Option(help="Noisy copies polled for each image.")] = 1000,
) -> None:
    """Do the whole job on embedded images.

    Trains a small network under Laplace, Gaussian and uniform noise of equal sigma, polls each on noisy test images,
    certifies l0, l1, l2 and linf for k = 1, 2, 3, prints tables of certified accuracy and writes one HTML page with
    all figures: report/index.html in the folder. A few minutes on two cores; interrupted, the same command goes on
    with what was finished.
    """
    from radii.demo import KS, Demo, run_demo

    job = Demo(data=data, sigma=sigma, epochs=epochs, images=images, n=n)
    found, page = run_demo(job, out, progress)
    for norm, k in [*((norm, 1) for norm in NORMS), ("linf", KS[-1])]:
        console.print(accuracy_table({name: certificates[norm, k] for name, certificates in found.items()}))
    first = next(iter(found.values()))["l2", 1]
    say(
        f"Each radius holds with probability {1 - first.alpha:.10g} for its image "
        f"(n = {first.n}, sigma = {sigma:g}, {len(first)} images: {first.data}).\n"
        f"The report, with every k and figure: {page}"
    )


def train(
    recipe: Annotated[
        str | None, typer.Option(help="Named recipe (cifar10-cpu, ...), or a file of one, FILE.toml.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set; radii data lists them.  [default: mnist5k]")
    ] = None,
    noise: Annotated[
        str | None, typer.Option(help="laplace, gaussian or uniform.  [default: laplace]")
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the noise on one feature; images lie in [0, 1].  [default: 0.5]"
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="small-cnn, or wrn-D-W: wide ResNet of depth D = 6 n + 4, width W.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="noise-augmentation, stability, consistency, smoothadv or macer.  [default: noise-augmentation]"
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of the loss, for example m=4; may be given several times."),
    ] = None,
    average: Annotated[
        float | None,
        typer.Option(help="Decay of the moving average of the weights; 0 for none.  [default: 0]"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images in one step.  [default: 128]")] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.  [default: 0.1]")] = None,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile", help="Let torch.compile fuse the layers; takes a C++ compiler."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same result on one machine.  [default: 0]")
    ] = None,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder.  [default: runs/DATA-NOISE-SIGMA, or RECIPE-NOISE-SIGMA]")
    ] = None,
) -> None:
    """Train a classifier under noise.

    Every pass shows each training image under fresh noise. Writes a run folder: model.safetensors (weights),
    config.json (recipe) and metrics.csv (loss and accuracy on the noisy images, a line a pass). Without a recipe, model
    and epochs are those that suit the data set, as radii data lists them; with one, other options change it. Stopped
    at any moment, the same command continues from the last pass.
    """
    from radii.data import load_data
    from radii.processes import is_first
    from radii.recipes import read_recipe
    from radii.runs import make_recipe
    from radii.training import train as fit

    changes: dict[str, Any] = {
        "noise": noise,
        "sigma": sigma,
        "model": model,
        "loss": loss,
        "options": parse_options(option) if option else None,
        "average": average,
        "epochs": epochs,
        "batch": batch,
        "lr": lr,
        "compile": compile,
        "seed": seed,
    }
    if recipe is None:
        usual = {"data": "mnist5k" if data is None else data, "noise": "laplace"}
        chosen = make_recipe(**usual | {name: value for name, value in changes.items() if value is not None})
    else:
        chosen = read_recipe(recipe, data=data, **changes)
    name = chosen.data if recipe is None else Path(recipe).stem
    folder = out or Path("runs") / f"{name}-{chosen.noise}-{chosen.sigma:g}"
    images = load_data(chosen.data, "train", data_dir)
    if not is_first():
        fit(chosen, images, folder)
        return
    with progress(f"train {chosen.model}") as move:
        fit(chosen, images, folder, progress=move)
    say(
        f"Trained {chosen.model} under {chosen.noise} noise, sigma {chosen.sigma:g}: {folder}\n"
        f"Next: radii vote {folder}"
    )


def vote(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder that radii train wrote.")],
    n: Annotated[int, typer.Option(help="Noisy copies of each image that bound its probabilities.")] = 1000,
    selection: Annotated[int, typer.Option(help="Separate noisy copies that predict its label.")] = 100,
    alpha: Annotated[
        float, typer.Option(help="Only to say what so many copies can certify; votes do not depend on it.")
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
        str, typer.Option(help="float32, or bfloat16: another, faster classifier.")
    ] = "float32",
    batch: Annotated[int, typer.Option(help="Noisy copies in one call of the model.")] = 128,
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
    data_dir: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Votes file.  [default: votes.parquet in RUN]")] = None,
) -> None:
    """Poll a trained model on noisy images.

    This is the expensive step, so it first says how large a radius can become with n copies. Writes one Parquet
    file: how often each class won on each image, and all that identifies these votes. Every certificate, in any
    norm, for any k and alpha, is computed from this file later, without the model.
    """
    from radii.certificates import check_reach, reachable_radius
    from radii.data import load_data
    from radii.designs import fixed
    from radii.files import check_writable
    from radii.intervals import check_alpha
    from radii.results import radius_text
    from radii.runs import load_run
    from radii.sampling import Smoothed

    path, plan = out or run / "votes.parquet", fixed(n, selection)
    check_alpha(alpha)
    if path.is_file():
        raise InputError(f"{path} exists: choose another file with --out, or remove it")
    model, config = load_run(run)
    smoothed = Smoothed(model, config.recipe.law(), precision, batch, compile, exact)
    check_reach(n, 1, alpha, "two-event", len(config.classes))
    images = load_data(config.recipe.data, split, data_dir).every(every).without(leave_out or [])
    images = images.first(first) if first is not None else images
    check_writable(path)
    known: dict[str, Any] = {"alpha": alpha, "classes": len(config.classes), "shape": config.shape}
    units = {norm: "pixel" if norm == "l0" else "feature" for norm in NORMS}
    reach = {norm: reachable_radius(smoothed.noise, norm, n, unit=units[norm], **known) for norm in NORMS}
    farthest = ", ".join(f"{norm} {radius_text(radius, norm)}" for norm, radius in reach.items())
    say(f"The largest radii that {n} draws can certify at alpha {alpha:g}: {farthest}")
    with progress(f"vote on {len(images)} images") as move:
        votes = smoothed.vote(images, plan=plan, seed=seed, progress=move)
    votes.save(path)
    say(f"Votes of {n} draws on {len(votes)} images: {path}\nNext: radii certify {path}")
