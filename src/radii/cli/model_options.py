"""Which model radii vote polls: one that radii train made, or any other, with what is said about it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from radii.cli.groups import Options
from radii.cli.options import Behind
from radii.errors import InputError
from radii.noises import Noise, make_noise
from radii.storage.documents import parse_number

if TYPE_CHECKING:
    import torch

    from radii.data import DataSet
    from radii.sampling import Smoothed
    from radii.sampling.model_call import BaseClassifier
    from radii.training.run_folder import Config


Named = Annotated[
    str,
    typer.Argument(
        metavar="RUN|MODEL",
        help="Run folder that radii train wrote, or a model: MODULE:ATTRIBUTE, FILE.pt2, FILE.onnx, http://...",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Images to sample, of the shape and classes that the model knows.  [default: those of the training]",
    ),
]
GivenNoise = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[:PARAMETER=NUMBER,...]", help="Of a MODEL: the noise; radii noises lists them."
    ),
]
GivenSigma = Annotated[
    float | None,
    typer.Option(help="Of a MODEL: standard deviation of the noise; images lie in [0, 1].  [default: 0.5]"),
]
InputRange = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH", help="Of a MODEL: images are mapped from [0, 1] to this.  [default: 0,1]"
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER,...", help="Of a MODEL: subtracted after that, one number or one per channel."
    ),
]
Std = Annotated[
    str | None, typer.Option(metavar="NUMBER,...", help="Of a MODEL: divisor after that, likewise.")
]
Layout = Annotated[str | None, typer.Option(help="Of a MODEL: nchw, nhwc or flat.  [default: nchw]")]
Binary = Annotated[
    str | None,
    typer.Option(help="Of a MODEL with one output: logit or probability, of class 1."),
]
ClassMap = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The outputs of the model for each class of the data, JSON or CSV."),
]
Split = Annotated[str, typer.Option(help="test or train; all, for images of your own without splits.")]
Precision = Annotated[
    str, typer.Option(help="float32, or bfloat16: another, faster classifier; auto for the faster here.")
]
BatchSize = Annotated[
    int | None,
    typer.Option(help="Noise samples per forward pass.  [default: the fastest in a short trial]"),
]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="Fuse layers by torch.compile: half a minute at the start, then faster."),
]
ExactArithmetic = Annotated[
    bool,
    typer.Option(
        "--exact-arithmetic",
        help="Add noise without rounding, on a lattice, so that the proofs cover the program.",
    ),
]


Takes = tuple["Smoothed", tuple[int, ...], tuple[str, ...]]
"""The smoothed classifier with its classes in order, the shape of an image, and the names of classes."""


@dataclass(frozen=True)
class Declared(Options):
    """What options say about a model that radii train did not make; None where they say nothing."""

    title = "Model"
    classifier: Behind = None
    input_range: InputRange = None
    mean: Mean = None
    std: Std = None
    layout: Layout = None
    binary: Binary = None
    class_map: ClassMap = None

    def own(self) -> dict[str, str | None]:
        """What a run folder says of its model itself, by the names of the options."""
        own = {"input-range": self.input_range, "mean": self.mean, "std": self.std}
        return own | {"layout": self.layout, "binary": self.binary}

    def parsed(self) -> dict[str, Any]:
        """What `radii.load_model` is told."""
        return {
            "input_range": numbers("input-range", self.input_range) or (0.0, 1.0),
            "mean": numbers("mean", self.mean),
            "std": numbers("std", self.std),
            "layout": self.layout or "nchw",
            "binary": self.binary,
            "class_map": self.class_map,
        }


@dataclass(frozen=True)
class NoiseOptions(Options):
    """The noise of a model that radii train did not make, and how it is added."""

    title = "Noise"
    noise: GivenNoise = None
    sigma: GivenSigma = None
    exact_arithmetic: ExactArithmetic = False


@dataclass(frozen=True)
class Execution(Options):
    """How the model is run."""

    title = "Running"
    precision: Precision = "float32"
    batch_size: BatchSize = None
    compile: Compile = False


class Polled(ABC):
    """A model and the noise that it is polled under."""

    @property
    @abstractmethod
    def votes(self) -> str:
        """Where its votes go unless another file is named."""

    @abstractmethod
    def load(self, device: "torch.device") -> "BaseClassifier":
        """The model, on a device if it is a module."""

    @abstractmethod
    def law(self) -> Noise:
        """The noise."""

    @abstractmethod
    def data(self) -> str:
        """The name of the data set, or the path of images."""

    @abstractmethod
    def fitting(self, images: "DataSet") -> "DataSet":
        """Images that the model can be asked about, with its classes; others are refused."""

    @abstractmethod
    def takes(self, smoothed: "Smoothed", split: str, data_dir: Path | None) -> "Takes":
        """What it can be asked about, without more data than that needs."""

    @abstractmethod
    def check(self, smoothed: "Smoothed", data: "DataSet") -> None:
        """Refuse a model that does not know these images."""


@dataclass(frozen=True)
class TrainedRun(Polled):
    """A run folder, which says all that is to be known; behind a denoiser a classifier of another."""

    folder: Path
    classifier: Path | None
    other_data: str | None
    class_map: Path | None = None

    @property
    def votes(self) -> str:
        return str(self.folder / "votes.parquet")

    def load(self, device: "torch.device") -> "BaseClassifier":
        from radii.models.adapters import declare_outputs
        from radii.training.run_folder import load_classifier

        model = load_classifier(self.folder, self.classifier)[0].to(device)
        return declare_outputs(model, class_map=self.class_map)

    @cached_property
    def config(self) -> "Config":
        """What the folder says of the run."""
        from radii.training.run_folder import load_config

        return load_config(self.folder)

    def law(self) -> Noise:
        return self.config.recipe.law()

    def data(self) -> str:
        return self.other_data or self.config.recipe.data

    def fitting(self, images: "DataSet") -> "DataSet":
        return (
            self.config.match_classes(images) if self.class_map is None else self.config.match_shape(images)
        )

    def takes(self, smoothed: "Smoothed", split: str, data_dir: Path | None) -> Takes:
        from radii.models.adapters.outputs import class_names

        if self.other_data is not None:
            raise InputError(
                f"--data shows what a model takes that radii train did not make: {self.folder} is a run folder, which "
                "says it"
            )
        # with a class map those of the map, which may have no names
        return smoothed, self.config.shape, class_names(smoothed.model)

    def check(self, smoothed: "Smoothed", data: "DataSet") -> None:
        """It was trained on such images, by this program."""


@dataclass(frozen=True)
class GivenModel(Polled):
    """Any other model, by its name, which may be an address with keys; the rest is said by options."""

    spec: str = field(repr=False)
    name_of_data: str
    noise: Noise
    declared: Mapping[str, Any]

    @property
    def votes(self) -> str:
        place = urlsplit(self.spec)
        name = place.hostname if place.netloc else Path(self.spec.rpartition(":")[2]).stem
        return f"{name}.votes.parquet"

    def load(self, device: "torch.device") -> "BaseClassifier":
        from torch import nn

        from radii.models.adapters import load_model

        model = load_model(self.spec, **self.declared)
        return model.to(device) if isinstance(model, nn.Module) else model

    def law(self) -> Noise:
        return self.noise

    def data(self) -> str:
        return self.name_of_data

    def fitting(self, images: "DataSet") -> "DataSet":
        """Any: what the model takes is seen when it is asked."""
        return images

    def takes(self, smoothed: "Smoothed", split: str, data_dir: Path | None) -> Takes:
        from radii.data import load_data
        from radii.models.adapters.outputs import class_names

        data = load_data(self.name_of_data, split, data_dir)
        known = smoothed.matched(data)
        self.check(known, data)
        # labels without names have those of the model, if it has any
        own = () if data.named else class_names(known.model)
        return known, data.shape, own or data.classes

    def check(self, smoothed: "Smoothed", data: "DataSet") -> None:
        from radii.sampling.scale_check import check_scale

        check_scale(smoothed.model, smoothed.noise, data)


def polled_by(
    run: str, data: str | None, noise: str | None, sigma: float | None, declared: Declared
) -> Polled:
    """What the options of radii vote mean; those that have no meaning are refused."""
    from radii.models.adapters import FORMS, is_spec

    own = {"noise": noise, "sigma": sigma, **declared.own()}
    if not is_spec(run):
        if not Path(run).is_dir() and any(value is not None for value in (data, *own.values())):
            raise InputError(f"there is no run folder {run}; a model is {FORMS}")
        for name, value in own.items():
            if value is not None:
                raise InputError(
                    f"--{name} is for models that radii train did not make: {run} is a run folder, which says it"
                )
        return TrainedRun(Path(run), declared.classifier, data, declared.class_map)
    if declared.classifier is not None:
        raise InputError(f"--classifier stands behind a denoiser in a run folder; {run} is a model")
    if data is None or noise is None:
        missing = " and ".join(
            f"--{name}" for name, value in (("data", data), ("noise", noise)) if value is None
        )
        raise InputError(f"{run} is a model, not a run folder: add {missing}")
    return GivenModel(run, data, make_noise(noise, sigma), declared.parsed())


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """`0.5,0.4,0.3` as numbers."""
    if text is None:
        return None
    try:
        return tuple(parse_number(one) for one in text.split(","))
    except ValueError:
        raise InputError(f"--{option} is numbers, for example 0.5,0.4,0.3; got {text!r}") from None
