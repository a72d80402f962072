"""The commands that make models: the demo and training. They import torch when they run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from radii.cli.console import accuracy_table, console, progress, say
from radii.cli.groups import Options, grouped
from radii.cli.options import DataDir, OwnSigma, Sigma, parse_options
from radii.errors import InputError
from radii.noises.norms import NORMS


def demo(
    out: Annotated[Path, typer.Option(help="Folder for models, votes and the report.")] = Path("demo"),
    data: Annotated[str, typer.Option(help="Embedded data set: mnist5k or digits.")] = "mnist5k",
    sigma: Sigma = 0.5,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of training.  [default: 10 or 20, by data set]")
    ] = None,
    images: Annotated[int, typer.Option(help="Number of test images.")] = 500,
    n: Annotated[int, typer.Option(help="Noise samples per image.")] = 1000,
) -> None:
    """Do the whole job on embedded images.

    Trains a small network under Laplace, Gaussian and uniform noise of equal sigma, samples each on test images,
    certifies l0, l1, l2 and linf for k = 1, 2, 3, prints tables of certified accuracy and writes one HTML page with
    all figures: report/index.html in the folder. Takes a minute or so on two cores. After an interruption, the same
    command continues.
    """
    from radii.cli.demo import KS, Demo, run_demo

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


@dataclass(frozen=True)
class Network(Options):
    """What is trained."""

    title = "Model"
    model: Annotated[
        str | None, typer.Option(help="small-cnn, or wrn-D-W: wide ResNet of depth D = 6 n + 4, width W.")
    ] = None
    denoise: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Train a denoiser, to stand in front of the classifier of this run."
        ),
    ] = None


@dataclass(frozen=True)
class Images(Options):
    """What it is trained on."""

    title = "Images"
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH", help="Data set, or images of your own; see radii data.  [default: mnist5k]"
        ),
    ] = None
    data_dir: DataDir = None


@dataclass(frozen=True)
class Noise(Options):
    """The noise that it is trained under."""

    title = "Noise"
    noise: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:PARAMETER=NUMBER,...]",
            help="The noise; radii noises lists them.  [default: laplace]",
        ),
    ] = None
    sigma: OwnSigma = None


@dataclass(frozen=True)
class Method(Options):
    """How it is trained."""

    title = "Training"
    recipe: Annotated[str | None, typer.Option(help="Named recipe (cifar10-cpu, ...), or FILE.toml.")] = None
    loss: Annotated[
        str | None,
        typer.Option(
            help="noise-augmentation, stability, consistency, smoothadv, macer, or ordinary: without noise.  "
            "[default: noise-augmentation]"
        ),
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of the loss, for example m=4; may be given several times."),
    ] = None
    ema: Annotated[
        float | None,
        typer.Option(help="Decay of the moving average of the weights; 0 for none.  [default: 0]"),
    ] = None
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None
    batch_size: Annotated[int | None, typer.Option(help="Images per step.  [default: 128]")] = None
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.  [default: 0.1]")] = None


@grouped
def train(
    network: Network,
    images: Images,
    noise: Noise,
    method: Method,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Let torch.compile fuse the layers; takes a C++ compiler.",
            rich_help_panel="Running",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="The same seed gives the same result on one machine.  [default: 0]",
            rich_help_panel="Running",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder.  [default: runs/DATA-NOISE-LEVEL, or RECIPE-NOISE-LEVEL]",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """Train a classifier under noise.

    Every epoch shows each training image under fresh noise. Writes a run folder: model.safetensors (weights),
    config.json (recipe) and metrics.csv (loss and accuracy on the noisy images, a line per epoch). Without a
    recipe, model and epochs are those that radii data lists for the data set; for images of your own, small-cnn and
    20 if they are grey and at most 32x32, else wrn-16-2 and 40. With one, other options override it. After an
    interruption, the same command continues from the last epoch.
    """
    from radii.data import load_data
    from radii.models import DENOISER
    from radii.training import train as fit
    from radii.training.distributed import is_first
    from radii.training.recipe import make_recipe, read_recipe
    from radii.training.run_folder import load_classifier

    behind, model, loss, data = None, network.model, method.loss, images.data
    denoise, recipe = network.denoise, method.recipe
    if denoise is not None:
        behind, known = load_classifier(denoise)
        model, loss, data = model or DENOISER, loss or "denoising", data or known.recipe.data

    changes: dict[str, Any] = {
        "noise": noise.noise,
        "sigma": noise.sigma,
        "model": model,
        "loss": loss,
        "options": parse_options(method.option) if method.option else None,
        "average": method.ema,
        "epochs": method.epochs,
        "batch": method.batch_size,
        "lr": method.lr,
        "compile": compile,
        "seed": seed,
    }
    if recipe is None:
        data_set = load_data("mnist5k" if data is None else data, "train", images.data_dir)
        chosen = make_recipe(data_set.name, data_set.shape, **changes | {"noise": noise.noise or "laplace"})
    else:
        chosen = read_recipe(recipe, data=data, **changes)
        data_set = load_data(chosen.data, "train", images.data_dir)
    name = Path(chosen.data if recipe is None else recipe).resolve().stem
    law = chosen.law()
    name += "-denoiser" if denoise else "-ordinary" if chosen.loss == "ordinary" else ""
    folder = out or Path("runs") / f"{name}-{law.name}-{law.level:g}"
    if denoise is not None and (known.shape, known.classes) != (data_set.shape, data_set.classes):
        raise InputError(
            f"{denoise} was trained on images of the shape {known.shape} with the classes of {known.recipe.data}, "
            f"which those of {chosen.data} are not"
        )
    if not is_first():
        fit(chosen, data_set, folder, classifier=behind)
        return
    with progress(f"train {chosen.model}") as move:
        fit(chosen, data_set, folder, progress=move, classifier=behind)
    under = "without noise" if chosen.loss == "ordinary" else f"under {law.name} noise, {law.level_words}"
    say(
        f"Trained {chosen.model} {under}: {folder}\n"
        f"Next: radii vote {folder}{f' --classifier {denoise}' if denoise else ''}"
    )
