"""radii import: runs of other codes, from their certification logs, probability bounds or class counts."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from radii.certificates.imported import ImportedRun, Stated, read_run
from radii.certificates.imported.arrays import read_content, read_npy
from radii.cli.console import say
from radii.cli.groups import Options, grouped
from radii.cli.options import noise_option, parse_shape
from radii.errors import InputError
from radii.noises import NOISES, Noise, make_noise
from radii.noises.norms import unit_of
from radii.storage import atomic
from radii.storage.atomic import check_writable
from radii.storage.folders import write_file
from radii.storage.kinds import kind_of
from radii.votes import ImageIdentity, Votes

if TYPE_CHECKING:
    from radii.data.dataset import DataSet


@dataclass(frozen=True)
class StatedOptions(Options):
    """What is stated about the run, and not in its log."""

    title = "The run, as it was made"
    noise: Annotated[str, noise_option()]
    shape: Annotated[str, typer.Option(help="Shape of one image, for example 3,32,32.")]
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the noise per feature, images in [0, 1].",
            show_default=False,
            rich_help_panel="Noise",
        ),
    ] = None
    n: Annotated[int | None, typer.Option(help="Noise samples per image; not needed for counts.")] = None
    alpha: Annotated[float, typer.Option(help="Error probability of a certificate, per image.")] = 1e-3
    norm: Annotated[str, typer.Option(help="Norm of the radii in a log.")] = "l2"
    l0_unit: Annotated[str, typer.Option(help="Unit of l0 radii in a log: pixel or feature.")] = "pixel"

    def made_noise(self) -> Noise:
        """Return the noise, whose level must be stated: a default would be a guess about another's run."""
        kind = NOISES.get(self.noise.partition(":")[0])
        levelled = kind is not None and "sigma" in [field.name for field in fields(kind)]
        if levelled and self.sigma is None and "sigma=" not in self.noise:
            raise InputError(f"state the --sigma of the {self.noise} noise that was used")
        return make_noise(self.noise, self.sigma)


@dataclass(frozen=True)
class ImportedImages(Options):
    """Which images the run is about."""

    title = "Images"
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME|PATH",
            help="Data set of the images, or the path of your own.",
            show_default="unknown",
        ),
    ] = ""
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "test"
    stride: Annotated[int, typer.Option(help="Distance of images in the data set, without positions.")] = 1
    start: Annotated[int, typer.Option(help="Position of the first image, without positions.")] = 0
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="True labels, .npy or one per line, for files without them."),
    ] = None


@grouped
def import_log(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="Log, table of counts, or folder of rs4a.")],
    stated: StatedOptions,
    images: ImportedImages,
    name: Annotated[
        str, typer.Option(help="Name in tables.", show_default="the noise", rich_help_panel="Output")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="File to write.", show_default="beside the log", rich_help_panel="Output"),
    ] = None,
) -> None:
    """Import the run of another code, for reports and comparisons.

    Four layouts are read. A log in text has the columns idx, label, predict, radius and correct, as the codes of
    Cohen et al., SmoothAdv, MACER, Consistency and SmoothMix print it. A .mat file of MACER's own code has a row hard
    of radii, and needs --labels. A folder of rs4a or of splitting noise has preds.npy and labels.npy, and prob_lb.npy
    unless all outcomes were counted. A table of class counts is a .npy, a .npz or a CSV file with one row per image.

    A log becomes a JSON file of certificates for k = 1, a table of counts becomes a votes file. radii certify, compare,
    report and gate read both. What cannot be checked is printed, stored, and shown with every result. A value that the
    stated noise samples cannot give is an error.
    """
    data = own_images(images)
    identity = ImageIdentity(images.data, images.split) if images.data else None
    if data is not None:
        identity = data.identity
    setting = Stated(
        noise=stated.made_noise(),
        shape=parse_shape(stated.shape),
        n=stated.n,
        alpha=stated.alpha,
        norm=stated.norm,
        unit=unit_of(stated.norm, stated.l0_unit),
        labels=None if images.labels is None else read_labels(images.labels),
        positions=slice(images.start, None, images.stride),
        data=identity and replace(identity, part="as in the log"),
        name=name,
    )
    # of a folder such as "." the name is that of where it leads
    log = log if log.name not in ("", "..") else log.resolve()
    run = read_run(log, setting)
    if data is not None:
        check_labels(run, data)
    if not isinstance(run, ImportedRun) and name:
        raise InputError(
            "counts become a votes file, which has no name: name it where it is shown, as NAME=FILE"
        )
    path = out or log.with_name(f"{log.name}{'.json' if isinstance(run, ImportedRun) else '.parquet'}")
    content = run.encode()
    # a name that nobody chose must not cost a file
    if out is None and path.exists() and atomic.read(path) != content:
        raise InputError(f"{path} exists and holds something else: choose another file with --out")
    check_writable(path)
    write_file(path, content)
    for sentence in run.unchecked:
        say(sentence)
    kind = "Certificates" if isinstance(run, ImportedRun) else "Votes"
    say(f"{kind} of {len(run):,} images: {path}")


def own_images(images: ImportedImages) -> "DataSet | None":
    """Return your own images, whose votes are identified by a digest; None for a data set that a name identifies."""
    from radii.data.loading import DATASETS, load_data

    if not images.data or images.data in DATASETS or not Path(images.data).exists():
        return None
    return load_data(images.data, images.split)


def check_labels(run: ImportedRun | Votes, data: "DataSet") -> None:
    """Raise `InputError` if the run is about images that the data set lacks, or that it labels otherwise."""
    if len(beyond := run.index[run.index >= len(data)]):
        raise InputError(
            f"the log is about image {beyond[0]}, but {data.description} has {len(data)}: name the data set it is about"
        )
    if data.labels is None or run.labels is None:
        return
    for index, label in zip(run.index.tolist(), run.labels.tolist(), strict=True):
        if label != data.labels[index]:
            raise InputError(
                f"image {index} has the label {label} in the log and {data.labels[index]} in {data.description}: name "
                "the data set that the log is about, and state the stride if it has no positions"
            )


def read_labels(path: Path) -> np.ndarray:
    """Return labels of a file: an array in `.npy`, or one whole number per line."""
    content = read_content(path)
    if kind_of(content) == "npy":
        return read_npy(content, path)
    words = content.decode("utf-8", errors="replace").split()
    if not words or not all(word.isascii() and word.isdigit() and len(word) < 16 for word in words):
        raise InputError(f"{path} must hold labels, one whole number per line")
    return np.array([int(word) for word in words])
