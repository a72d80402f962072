"""The command line: each command reads files and writes files."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from radii.console import INTERRUPTED, accuracy_table, console, one_sentence, progress, unlabelled_table
from radii.errors import InputError
from radii.norms import NORMS

app = typer.Typer(
    help="Certify classifiers: for any model and image, the radius in l0, l1, l2 or linf within which no perturbation "
    "pushes the right label out of the top k. Start with: radii demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

DataDir = Annotated[
    Path | None, typer.Option(help="Folder of the data set, where it is not embedded (cifar10).")
]
Noise = Annotated[str, typer.Option(help="Name of the noise; radii noises lists them.")]
Sigma = Annotated[
    float, typer.Option(help="Standard deviation of the noise on one feature; images lie in [0, 1].")
]
Ks = Annotated[list[int], typer.Option("--k", help="Certify the top k; give it several times for several k.")]
Alpha = Annotated[float, typer.Option(help="Probability that a certificate is wrong, for each image.")]
Norms = Annotated[list[str], typer.Option("--norm", help="l0, l1, l2 or linf; several times for several.")]
Unit = Annotated[str, typer.Option(help="What l0 counts: pixel (all channels of a position) or feature.")]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for models, votes and the report.")] = Path("demo"),
    sigma: Sigma = 0.5,
    images: Annotated[int, typer.Option(help="Number of test images.")] = 500,
    n: Annotated[int, typer.Option(help="Noisy copies polled for each image.")] = 1000,
) -> None:
    """Run the whole job on embedded images: train, vote, certify, report.

    Trains a small network under Laplace, Gaussian and uniform noise of equal sigma on mnist5k, certifies l0, l1, l2
    and linf for k = 1, 2, 3, prints the tables and writes one HTML report. A few minutes on two cores; interrupted,
    the same command goes on with what was finished.
    """
    from radii.demo import KS, Demo, run_demo

    found, page = run_demo(Demo(sigma=sigma, images=images, n=n), out, progress)
    for norm in NORMS:
        console.print(accuracy_table({name: certificates[norm, 1] for name, certificates in found.items()}))
    top = {f"{name}, top-{k}": found[name]["linf", k] for name in found for k in KS[-1:]}
    console.print(accuracy_table(top))
    first = next(iter(found.values()))["l2", 1]
    console.print(
        f"Each radius holds with probability {1 - first.alpha:g} for its image (n = {first.n}, sigma = {sigma:g}, "
        f"{len(first)} images: {first.data}).\nThe report, with every k and figure: {page}"
    )


@app.command()
def train(
    data: Annotated[str, typer.Option(help="Data set; radii data lists them.")] = "mnist5k",
    noise: Noise = "laplace",
    sigma: Sigma = 0.5,
    model: Annotated[
        str | None, typer.Option(help="Architecture: small-cnn, wrn-16-2, wrn-40-2, ...")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Largest learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights on one machine.")] = 0,
    data_dir: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/DATA-NOISE-SIGMA.")] = None,
) -> None:
    """Train a classifier under noise; write a run folder with weights, recipe and metrics."""
    from radii.data import load_data
    from radii.runs import make_recipe
    from radii.training import train as fit

    recipe = make_recipe(
        data, noise=noise, sigma=sigma, model=model, epochs=epochs, batch=batch, lr=lr, seed=seed
    )
    folder = out or Path("runs") / f"{data}-{noise}-{sigma:g}"
    with progress(f"train {recipe.model}") as move:
        fit(recipe, load_data(data, "train", data_dir), folder, progress=move)
    console.print(
        f"Trained {recipe.model} under {noise} noise, sigma {sigma:g}: {folder}\nNext: radii vote {folder}"
    )


@app.command()
def vote(
    run: Annotated[Path, typer.Argument(help="Run folder of radii train.")],
    n: Annotated[int, typer.Option(help="Noisy copies of each image that bound its probabilities.")] = 1000,
    selection: Annotated[int, typer.Option(help="Separate noisy copies that predict its label.")] = 100,
    split: Annotated[str, typer.Option(help="test or train images.")] = "test",
    every: Annotated[int, typer.Option(help="Take every so-manieth image.")] = 1,
    first: Annotated[int | None, typer.Option(help="Take so many images.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same votes on one kind of machine.")] = 0,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16: another, faster classifier.")
    ] = "float32",
    data_dir: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Votes file; default RUN/votes.parquet.")] = None,
) -> None:
    """Poll the model of a run on noisy copies of images; write the votes.

    Votes are class counts: every certificate, in any norm, for any k and alpha, is computed from the file later.
    """
    from radii.certificates import reachable_radius
    from radii.data import load_data
    from radii.designs import fixed
    from radii.results import radius_text
    from radii.runs import load_run
    from radii.sampling import Smoothed

    path, plan = out or run / "votes.parquet", fixed(n, selection)
    if path.exists():
        raise InputError(f"{path} exists: choose another file with --out, or remove it")
    model, config = load_run(run)
    noise = config.recipe.law()
    images = load_data(config.recipe.data, split, data_dir).every(every)
    images = images.first(first) if first is not None else images
    smoothed = Smoothed(model, noise, precision=precision)
    reach = {
        norm: reachable_radius(noise, norm, n, classes=len(config.classes), shape=config.shape)
        for norm in NORMS
    }
    farthest = ", ".join(f"{norm} {radius_text(radius, norm)}" for norm, radius in reach.items())
    console.print(f"The largest radii that {n} draws can certify at alpha 0.001: {farthest}")
    with progress(f"vote on {len(images)} images") as move:
        votes = smoothed.vote(images, plan=plan, seed=seed, progress=move)
    votes.save(path)
    console.print(f"Votes of {n} draws on {len(votes)} images: {path}\nNext: radii certify {path}")


@app.command()
def certify(
    votes: Annotated[list[Path], typer.Argument(help="Votes files.")],
    norm: Norms = list(NORMS),  # noqa: B006 (typer copies it)
    k: Ks = [1],  # noqa: B006
    alpha: Alpha = 1e-3,
    labels: Annotated[str, typer.Option(help="true, predicted, or set (the whole top-k set).")] = "true",
    method: Annotated[
        str, typer.Option(help="two-event, simultaneous (Jia et al.) or label (Cohen et al.).")
    ] = "two-event",
    unit: Unit = "pixel",
    box: Annotated[
        bool, typer.Option("--box", help="Use each image's own box for l0; loads the data set.")
    ] = False,
    data_dir: DataDir = None,
    out: Annotated[Path | None, typer.Option(help="Folder for one CSV and JSON file each.")] = None,
) -> None:
    """Turn votes into certified radii; print tables of certified accuracy."""
    from radii.certificates import certify as make
    from radii.exports import csv_text, json_text, summary, write_whole

    files = name_files(votes)
    known = all(one.labels is not None for one in files.values())
    for which in norm:
        for rank in k:
            found = {}
            for name, one in files.items():
                boxes = images_of(one, data_dir).images().numpy() if which == "l0" and box else None
                counted = unit if which == "l0" else "feature"
                found[name] = make(
                    one, which, k=rank, alpha=alpha, labels=labels, method=method, unit=counted, images=boxes
                )
                if out is not None:
                    stem = f"{name.replace('/', '-').replace(' ', '-')}-{which}-top{rank}"
                    write_whole(out / f"{stem}.csv", csv_text(found[name]))
                    write_whole(out / f"{stem}.json", json_text(summary(found[name])))
            console.print(accuracy_table(found) if known else unlabelled_table(found))
    n = ", ".join(map(str, sorted({one.n for one in files.values()})))
    console.print(f"Each radius holds with probability {1 - alpha:g} for its image; n = {n}.")


@app.command()
def report(
    votes: Annotated[list[Path], typer.Argument(help="Votes files to compare, one a run.")],
    norm: Norms = list(NORMS),  # noqa: B006
    k: Ks = [1, 2, 3],  # noqa: B006
    alpha: Alpha = 1e-3,
    unit: Unit = "pixel",
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Certified robustness",
    data_dir: DataDir = None,
    out: Annotated[Path, typer.Option(help="Folder for the page, figures and files.")] = Path("report"),
) -> None:
    """Compare votes on one HTML page: curves, top-k, tables, images, with PNG, CSV and JSON files beside it."""
    from radii.certificates import certify as make
    from radii.report import Examples, Run, choose_examples, write_report

    files = name_files(votes)
    runs = [
        Run(
            name,
            {
                (which, rank): make(
                    one, which, k=rank, alpha=alpha, unit=unit if which == "l0" else "feature"
                )
                for which in norm
                for rank in k
            },
        )
        for name, one in files.items()
    ]
    first = next(iter(files.values()))
    by_norm = {which: one for (which, _), one in runs[0].certificates.items()}
    rows = choose_examples(by_norm.get("l2", next(iter(by_norm.values()))))
    try:
        data = images_of(first[rows], data_dir)
        examples = Examples(data.pixels.numpy(), data.index.numpy(), data.classes)
    except InputError as error:
        console.print(f"The page goes without example images: {error}")
        examples = None
    page = write_report(runs, out, title=title, examples=examples)
    console.print(f"Report: {page}")


@app.command()
def data(
    name: Annotated[
        str | None, typer.Argument(help="A data set to prepare and check; none lists all.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """List the data sets, or prepare and check one of them."""
    from rich.table import Table

    from radii.data import DATASETS, SPLITS, load_data

    if name is None:
        table = Table("name", "what it is")
        for known, words in DATASETS.items():
            table.add_row(known, words)
        console.print(table)
        return
    for split in SPLITS:
        found = load_data(name, split, data_dir)
        console.print(f"{name} {split}: {len(found)} images of {found.shape}, {len(found.classes)} classes")


@app.command()
def noises(
    norm: Norms = list(NORMS),  # noqa: B006
    sigma: Sigma = 0.5,
    p: Annotated[float, typer.Option(help="Probability of the label under noise.")] = 0.99,
    shape: Annotated[str, typer.Option(help="Shape of one image, for example 3,32,32.")] = "3,32,32",
) -> None:
    """List noises and norms: how tight each rule is, who proved it, and the top-1 radius that it gives."""
    import numpy as np
    from rich.table import Table

    from radii.errors import check_name
    from radii.noises import NOISES
    from radii.norms import check_shape
    from radii.radius import certified_radius
    from radii.results import radius_text

    sizes = check_shape(shape.split(","))
    table = Table("noise", "norm", f"radius at p = {p:g}", "tightness", "source")
    for name, make in NOISES.items():
        for which in norm:
            noise = make(sigma)
            rule = noise.rules[check_name("norm", which, NORMS)]
            radius = certified_radius(noise, which, np.array([p]), shape=sizes)[0]
            table.add_row(name, which, radius_text(radius, which), rule.tightness, rule.source)
    console.print(table)
    console.print(
        f"sigma = {sigma:g}, shape = {sizes}; l0 counts features here, a pixel is {sizes[0]} of them."
    )


def name_files(paths: list[Path]) -> dict[str, Any]:
    """Votes by a short name that differs: their noise, or noise and folder."""
    from radii.votes import load_votes

    loaded = [(path, load_votes(path)) for path in paths]
    names = [f"{one.noise.name} {one.noise.sigma:g}" for _, one in loaded]
    if len(set(names)) < len(names):
        names = [
            f"{name} {path.parent.name}/{path.stem}" for name, (path, _) in zip(names, loaded, strict=True)
        ]
    return dict(zip(names, (one for _, one in loaded), strict=True))


def images_of(votes: Any, data_dir: Path | None) -> Any:
    """The images that votes are about, in their order."""
    from radii.data import load_data

    name, split = votes.data.split(",")[0].split(" ")
    return load_data(name, split, data_dir).at(votes.index)


def main() -> None:
    """Run a command; what the user can mend ends in one sentence and exit status 2."""
    # OpenMP threads that spin while they wait make a busy machine many times slower; read when torch is loaded
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with one_sentence():
        try:
            status = app(standalone_mode=False)
        except typer.TyperException as error:
            raise InputError(f"{error.format_message().rstrip('.')}; see radii --help") from error
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        raise SystemExit(status or 0)
