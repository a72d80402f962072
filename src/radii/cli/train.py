"""radii demo and radii train, the commands that train models. They import torch late."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from radii.cli.certificate_tables import accuracy_table
from radii.cli.console import progress, say
from radii.cli.groups import Options, grouped
from radii.cli.options import DataDir, OptionalSigma, Sigma, noise_option, parse_loss_options
from radii.cli.tables import show, with_format
from radii.errors import InputError
from radii.noises.norms import NORMS


@with_format
def demo(
    data: Annotated[
        str, typer.Option(help="Embedded data set: mnist5k or digits.", rich_help_panel="Images")
    ] = "mnist5k",
    images: Annotated[int, typer.Option(help="Number of test images.", rich_help_panel="Images")] = 500,
    sigma: Sigma = 0.5,
    n: Annotated[int, typer.Option(help="Noise samples per image.", rich_help_panel="Plan")] = 1000,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Epochs of training.", show_default="10 or 20, by data set", rich_help_panel="Training"
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for models, votes and the report.", rich_help_panel="Output")
    ] = Path("demo"),
) -> None:
    """Train, vote, certify and report on embedded images.

    The demo trains a small network under Laplace, Gaussian and uniform noise of equal sigma, and counts the votes of
    each on test images. It certifies l0, l1, l2 and linf for k = 1, 2, 3, prints tables of certified accuracy, and
    writes one HTML page with all figures, report/index.html in the folder. It takes about a minute on two cores.
    After an interruption, the same command continues.
    """
    from radii.cli.demo import KS, Demo, run_demo

    job = Demo(data=data, sigma=sigma, epochs=epochs, images=images, n=n)
    certificates, page = run_demo(job, out, progress)
    for question in [*((norm, 1) for norm in NORMS), ("linf", KS[-1])]:
        show(accuracy_table({name: of_noise[question] for name, of_noise in certificates.items()}))
    first = next(iter(certificates.values()))["l2", 1]
    say(
        f"Each radius holds for its image with probability {1 - first.alpha:.10g} "
        f"(n = {first.n}, sigma = {sigma:g}, {len(first)} images: {first.data}).\n"
        f"The report, with every k and all figures: {page}"
    )


@dataclass(frozen=True)
class NetworkOptions(Options):
    """What is trained."""

    title = "Model"
    model: Annotated[
        str | None,
        typer.Option(
            help="Network: small-cnn, or wrn-D-W of depth D and width W.",
            show_default="that of the data set",
        ),
    ] = None
    denoise: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Run folder of the classifier to train a denoiser for."),
    ] = None


@dataclass(frozen=True)
class TrainingImages(Options):
    """What it is trained on."""

    title = "Images"
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Data set or images; see radii data.", show_default="mnist5k"),
    ] = None
    data_dir: DataDir = None


@dataclass(frozen=True)
class TrainingNoise(Options):
    """The noise that is added to the training images."""

    title = "Noise"
    noise: Annotated[str | None, noise_option("laplace")] = None
    sigma: OptionalSigma = None


@dataclass(frozen=True)
class Method(Options):
    """How it is trained; None for what the recipe defines."""

    title = "Training"
    recipe: Annotated[
        str | None,
        typer.Option(help="Recipe, for example cifar10-cpu, or a file FILE.toml."),
    ] = None
    loss: Annotated[
        str | None,
        typer.Option(
            help="Loss: noise-augmentation, stability, consistency, smoothadv, macer, ordinary (noiseless).",
            show_default="noise-augmentation",
        ),
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the loss, for example m=4 (repeatable)."),
    ] = None
    epochs: Annotated[
        int | None, typer.Option(help="Number of epochs.", show_default="that of the data set")
    ] = None
    batch_size: Annotated[int | None, typer.Option(help="Images per training step.", show_default="128")] = (
        None
    )
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.", show_default="0.1")] = None
    ema: Annotated[
        float | None,
        typer.Option(help="Decay of the moving average of the weights.", show_default="0: no average"),
    ] = None


@grouped
def train(
    network: NetworkOptions,
    images: TrainingImages,
    noise: TrainingNoise,
    method: Method,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            help="Layer fusion by torch.compile, which needs a C++ compiler.",
            rich_help_panel="Running",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of the random numbers, reproducible on one machine.",
            show_default="0",
            rich_help_panel="Running",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder.",
            show_default="runs/DATA-NOISE-LEVEL, or runs/RECIPE-NOISE-LEVEL",
            rich_help_panel="Output",
        ),
    ] = None,
) -> None:
    """Train a base classifier under noise.

    Every epoch adds fresh noise to each training image. The run folder gets model.safetensors (weights), config.json
    (recipe) and metrics.csv (loss and accuracy on noisy images, a line per epoch). Without a recipe, model and epochs
    are those that radii data lists for the data set. For your own images, they are small-cnn and 20 epochs for grey
    images of at most 32 x 32 pixels, otherwise wrn-16-2 and 40. Other options override a recipe. After an
    interruption, the same command continues from the last epoch.
    """
    from radii.data import load_data
    from radii.models import DENOISER
    from radii.training import train as fit
    from radii.training.distributed import is_first
    from radii.training.recipe import make_recipe, read_recipe
    from radii.training.run_folder import load_classifier

    classifier, model, loss, data = None, network.model, method.loss, images.data
    denoise, recipe = network.denoise, method.recipe
    if denoise is not None:
        # a denoiser is trained on the images of its classifier unless told otherwise
        classifier, config = load_classifier(denoise)
        model, loss, data = model or DENOISER, loss or "denoising", data or config.recipe.data

    changes: dict[str, Any] = {
        "noise": noise.noise,
        "sigma": noise.sigma,
        "model": model,
        "loss": loss,
        # None in place of no options, which would replace those of the recipe
        "options": parse_loss_options(method.option) if method.option else None,
        "average": method.ema,
        "epochs": method.epochs,
        "batch": method.batch_size,
        "lr": method.lr,
        "compile": compile,
        "seed": seed,
    }
    # options that were not given are None, and leave the recipe as it is
    if recipe is None:
        # the images first: their shape decides on the default model and epochs
        data_set = load_data("mnist5k" if data is None else data, "train", images.data_dir)
        chosen = make_recipe(data_set.name, data_set.shape, **changes | {"noise": noise.noise or "laplace"})
    else:
        chosen = read_recipe(recipe, data=data, **changes)
        data_set = load_data(chosen.data, "train", images.data_dir)
    # resolved, since a path such as ".." has no name of its own
    name = Path(chosen.data if recipe is None else recipe).resolve().stem
    distribution = chosen.law()
    name += "-denoiser" if denoise else "-ordinary" if chosen.loss == "ordinary" else ""
    folder = out or Path("runs") / f"{name}-{distribution.name}-{distribution.level:g}"
    # a denoiser learns through its classifier, which must take its images and know their labels
    if denoise is not None and (config.shape, config.classes) != (data_set.shape, data_set.classes):
        raise InputError(
            f"{denoise} was trained on images of the shape {config.shape} with the classes of {config.recipe.data}, "
            f"which those of {chosen.data} are not: take other images, or another classifier"
        )
    # torchrun starts several processes, of which one reports
    if not is_first():
        fit(chosen, data_set, folder, classifier=classifier)
        return
    with progress(f"train {chosen.model}") as update:
        fit(chosen, data_set, folder, progress=update, classifier=classifier)
    noise_text = (
        "without noise"
        if chosen.loss == "ordinary"
        else f"under {distribution.name} noise, {distribution.level_words}"
    )
    say(
        f"Trained {chosen.model} {noise_text}: {folder}\n"
        f"Next: radii vote {folder}{f' --classifier {denoise}' if denoise else ''}"
    )
