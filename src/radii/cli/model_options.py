"""The model that a command samples: a run folder of radii train, or any other model with its input format."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from radii.cli.groups import Options
from radii.cli.options import ClassifierRun, noise_option
from radii.errors import InputError
from radii.noises import Noise, make_noise
from radii.storage.documents import parse_number

if TYPE_CHECKING:
    import torch

    from radii.data import DataSet
    from radii.sampling import Smoothed
    from radii.sampling.model_call import BaseClassifier
    from radii.training.run_folder import Config


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN|MODEL",
        help="Run folder of radii train, or MODULE:ATTRIBUTE, FILE.pt2, FILE.onnx, http://...",
    ),
]


@dataclass(frozen=True)
class InputFormat(Options):
    """Input and output format of a model; None for options that were not given."""

    title = "Model"
    classifier: ClassifierRun = None
    input_range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH",
            help="Range of the model's input, to which [0, 1] is scaled.",
            show_default="0,1",
        ),
    ] = None
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER,...", help="Mean subtracted after scaling, one number or one per channel."
        ),
    ] = None
    std: Annotated[
        str | None,
        typer.Option(metavar="NUMBER,...", help="Divisor after the mean, one number or one per channel."),
    ] = None
    layout: Annotated[
        str | None, typer.Option(help="Input layout: nchw, nhwc or flat.", show_default="nchw")
    ] = None
    binary: Annotated[
        str | None, typer.Option(help="Meaning of a single output: logit or probability of class 1.")
    ] = None
    class_map: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Model outputs of each class of the data, JSON or CSV."),
    ] = None
    trust_model: Annotated[
        bool, typer.Option("--trust-model", help="Run FILE.pt2 as code with your rights, without limits.")
    ] = False

    def stored_in_runs(self) -> dict[str, str | bool | None]:
        """Return the options that a run folder makes superfluous, by name."""
        # not the classifier and the class map, which are for run folders, too
        options = {"input-range": self.input_range, "mean": self.mean, "std": self.std}
        texts = options | {"layout": self.layout, "binary": self.binary}
        return {**texts, "trust-model": self.trust_model or None}

    def parsed(self) -> dict[str, Any]:
        """Return the keyword arguments of `radii.load_model`."""
        return {
            "input_range": numbers("input-range", self.input_range) or (0.0, 1.0),
            "mean": numbers("mean", self.mean),
            "std": numbers("std", self.std),
            "layout": self.layout or "nchw",
            "binary": self.binary,
            "class_map": self.class_map,
            "trust": self.trust_model,
        }


@dataclass(frozen=True)
class NoiseOptions(Options):
    """The noise, which a run folder stores, and how it is added."""

    title = "Noise"
    noise: Annotated[str | None, noise_option("that of RUN")] = None
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the noise per feature, images in [0, 1].",
            show_default="that of RUN, or 0.5",
        ),
    ] = None
    exact_arithmetic: Annotated[
        bool, typer.Option("--exact-arithmetic", help="Noise on a lattice, added without rounding errors.")
    ] = False


@dataclass(frozen=True)
class Execution(Options):
    """How the model is run."""

    title = "Running"
    precision: Annotated[
        str, typer.Option(help="Precision of the model: float32, bfloat16, or auto (the faster).")
    ] = "float32"
    batch_size: Annotated[
        int | None,
        typer.Option(help="Noise samples per forward pass.", show_default="the fastest in a short trial"),
    ] = None
    compile: Annotated[
        bool,
        typer.Option("--compile", help="Layer fusion by torch.compile, which takes half a minute first."),
    ] = False


class ModelSource(ABC):
    """Where a model comes from, with the noise and the images that it is sampled on."""

    @property
    @abstractmethod
    def votes_path(self) -> str:
        """Path of the votes file unless another one is given."""

    @abstractmethod
    def load(self, device: "torch.device") -> "BaseClassifier":
        """Load the model, a torch module onto `device`."""

    @abstractmethod
    def noise(self) -> Noise:
        """Return the noise."""

    @abstractmethod
    def data_name(self) -> str:
        """Return the name of the data set, or the path of your own images."""

    @abstractmethod
    def accepted(self, images: "DataSet") -> "DataSet":
        """Return the images with the classes of the model; raise `InputError` for images that it cannot take."""

    @abstractmethod
    def interface(
        self, smoothed: "Smoothed", split: str, data_dir: Path | None
    ) -> tuple["Smoothed", tuple[int, ...], tuple[str, ...]]:
        """Return the smoothed classifier with its final order of classes, the shape of an image, and class names.

        Loads images only if the model does not define these itself.
        """

    @abstractmethod
    def check_scale(self, smoothed: "Smoothed", data: "DataSet") -> None:
        """Raise `InputError` for a model that classifies the clean images in another scale only."""


@dataclass(frozen=True)
class TrainedRun(ModelSource):
    """A run folder, which stores the input format, the noise and the data set; `classifier` is behind a denoiser."""

    folder: Path
    classifier: Path | None
    other_data: str | None
    class_map: Path | None = None

    @property
    def votes_path(self) -> str:
        return str(self.folder / "votes.parquet")

    def load(self, device: "torch.device") -> "BaseClassifier":
        from radii.models.adapters import declare_outputs
        from radii.training.run_folder import load_classifier

        model = load_classifier(self.folder, self.classifier)[0].to(device)
        return declare_outputs(model, class_map=self.class_map)

    # read once: noise, data set and shape all come from it
    @cached_property
    def config(self) -> "Config":
        """The configuration that the folder stores."""
        from radii.training.run_folder import load_config

        return load_config(self.folder)

    def noise(self) -> Noise:
        return self.config.recipe.law()

    def data_name(self) -> str:
        return self.other_data or self.config.recipe.data

    def accepted(self, images: "DataSet") -> "DataSet":
        # a class map assigns the classes itself, so that only the shape must fit
        return (
            self.config.match_classes(images) if self.class_map is None else self.config.match_shape(images)
        )

    def interface(
        self, smoothed: "Smoothed", split: str, data_dir: Path | None
    ) -> tuple["Smoothed", tuple[int, ...], tuple[str, ...]]:
        from radii.models.adapters.outputs import class_names

        if self.other_data is not None:
            raise InputError(
                f"--data defines the input of models not trained by radii train; {self.folder} is a run folder, "
                "which stores it: leave out --data"
            )
        # the names of a class map, if there is one; it may have none
        return smoothed, self.config.shape, class_names(smoothed.model)

    def check_scale(self, smoothed: "Smoothed", data: "DataSet") -> None:
        """Accept the model: radii train made it for images in [0, 1]."""


@dataclass(frozen=True)
class ExternalModel(ModelSource):
    """Any other model, by its name, with the options that a run folder would store."""

    # an address may hold keys
    spec: str = field(repr=False)
    data: str
    distribution: Noise
    input_format: Mapping[str, Any]

    @property
    def votes_path(self) -> str:
        # the path and the query of an address may hold slashes and keys
        url = urlsplit(self.spec)
        name = url.hostname if url.netloc else Path(self.spec.rpartition(":")[2]).stem
        return f"{name}.votes.parquet"

    def load(self, device: "torch.device") -> "BaseClassifier":
        from torch import nn

        from radii.models.adapters import load_model

        model = load_model(self.spec, **self.input_format)
        # endpoints and programs of other libraries choose their device themselves
        return model.to(device) if isinstance(model, nn.Module) else model

    def noise(self) -> Noise:
        return self.distribution

    def data_name(self) -> str:
        return self.data

    def accepted(self, images: "DataSet") -> "DataSet":
        """Return the images: whether the model takes them shows in the first query."""
        return images

    def interface(
        self, smoothed: "Smoothed", split: str, data_dir: Path | None
    ) -> tuple["Smoothed", tuple[int, ...], tuple[str, ...]]:
        from radii.data import load_data
        from radii.models.adapters.outputs import class_names

        data = load_data(self.data, split, data_dir)
        # in the order of the data: an external model may number its classes in another one
        matched = smoothed.matched(data)
        self.check_scale(matched, data)
        # labels without names get those of the model, if it has any
        names = () if data.named else class_names(matched.model)
        return matched, data.shape, names or data.classes

    def check_scale(self, smoothed: "Smoothed", data: "DataSet") -> None:
        from radii.sampling.scale_check import check_scale

        check_scale(smoothed.model, smoothed.noise, data)


def model_source(
    run: str, data: str | None, noise: str | None, sigma: float | None, input_format: InputFormat
) -> ModelSource:
    """Return the model that `run` and the options name; raise `InputError` for options that do not apply to it."""
    from radii.models.adapters import FORMS, is_spec

    stored = {"noise": noise, "sigma": sigma, **input_format.stored_in_runs()}
    if not is_spec(run):
        # with options of other models, the name was probably meant as such a model: the error lists their forms
        if not Path(run).is_dir() and any(value is not None for value in (data, *stored.values())):
            raise InputError(f"there is not a run folder {run}; a model is {FORMS}")
        for name, value in stored.items():
            if value is not None:
                raise InputError(
                    f"--{name} is for models not trained by radii train; {run} is a run folder, which stores it: "
                    f"leave out --{name}"
                )
        return TrainedRun(Path(run), input_format.classifier, data, input_format.class_map)
    # rejected, since it would silently do nothing
    if input_format.classifier is not None:
        raise InputError(
            f"--classifier is for run folders that hold a denoiser; {run} is a model: leave out --classifier"
        )
    # sigma has a default, and some noises have none
    if data is None or noise is None:
        missing = " and ".join(
            f"--{name}" for name, value in (("data", data), ("noise", noise)) if value is None
        )
        raise InputError(f"{run} is a model, not a run folder: add {missing}")
    return ExternalModel(run, data, make_noise(noise, sigma), input_format.parsed())


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Return the numbers in a text such as `0.5,0.4,0.3`."""
    if text is None:
        return None
    try:
        return tuple(parse_number(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--{option} is numbers, for example 0.5,0.4,0.3; got {text!r}") from None
