"""The model that a command samples: a run folder of radii train, or any other model with its input format."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from radii.cli.groups import Options
from radii.cli.options import ClassifierRun, noise_option
from radii.errors import InputError
from radii.noises import Noise, full_name, make_noise
from radii.storage.documents import parse_number

if TYPE_CHECKING:
    import torch

    from radii.data import DataSet
    from radii.sampling import Smoothed
    from radii.sampling.model_call import BaseClassifier
    from radii.training.run_folder import Config


ModelsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN|MODEL",
        help="Run folders of radii train, or MODULE:ATTRIBUTE, FILE.pt2, FILE.onnx, http://...",
    ),
]


@dataclass(frozen=True)
class InputFormat(Options):
    """Input and output format of a model; None for options that were not given."""

    title = "Model"
    classifier: ClassifierRun = None
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Average over each noisy image and its mirror image.")
    ] = False
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
        # not the classifier, the class map and the mirror, which are for run folders, too
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

    @property
    def name_of_mirror(self) -> str:
        """What marks the name of a votes file."""
        return "mirrored." if self.mirror else ""


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

    @property
    def words(self) -> str:
        """What is averaged, for output; empty for one model as it is."""
        return ""

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
class TrainedRuns(ModelSource):
    """Run folders, several of which are an ensemble; they store the input format, the noise and the data set."""

    folders: tuple[Path, ...]
    other_data: str | None
    input_format: InputFormat

    @property
    def votes_path(self) -> str:
        mark = self.input_format.name_of_mirror
        if len(self.folders) == 1:
            return str(self.folders[0] / f"{mark}votes.parquet")
        # in the current folder: an ensemble belongs to none of its runs
        return f"{'+'.join(folder.resolve().name for folder in self.folders)}.{mark}votes.parquet"

    @property
    def words(self) -> str:
        several = f"Ensemble of {', '.join(map(str, self.folders))}" if len(self.folders) > 1 else ""
        if not self.input_format.mirror:
            return several
        return f"{several or self.folders[0]}, averaged with mirror images"

    def load(self, device: "torch.device") -> "BaseClassifier":
        from radii.models import Ensemble, Mirrored
        from radii.models.adapters import declare_outputs
        from radii.training.run_folder import load_classifier

        # several must agree before the first is loaded
        _ = self.config
        options = self.input_format
        models: list[BaseClassifier] = []
        for folder in self.folders:
            member = load_classifier(folder, options.classifier)[0].to(device)
            models.append(declare_outputs(member, class_map=options.class_map))
        model = models[0] if len(models) == 1 else Ensemble(models)
        return Mirrored(model) if options.mirror else model

    # read once: noise, data set and shape all come from it
    @cached_property
    def config(self) -> "Config":
        """The configuration that the first folder stores; raises `InputError` for runs that make no ensemble."""
        from radii.training.run_folder import load_config

        if len({folder.resolve() for folder in self.folders}) < len(self.folders):
            raise InputError("a run is given twice: give each member of an ensemble once")
        first, *others = map(load_config, self.folders)
        for folder, other in zip(self.folders[1:], others, strict=True):
            for name, one, expected in (
                ("images of the shape", other.shape, first.shape),
                ("the classes", other.classes, first.classes),
                ("the noise", full_name(other.recipe.law()), full_name(first.recipe.law())),
            ):
                if one != expected:
                    raise InputError(
                        f"the runs of an ensemble must be alike: {folder} was trained with {name} {one}, "
                        f"{self.folders[0]} with {expected}"
                    )
        return first

    def noise(self) -> Noise:
        return self.config.recipe.law()

    def data_name(self) -> str:
        return self.other_data or self.config.recipe.data

    def accepted(self, images: "DataSet") -> "DataSet":
        # a class map assigns the classes itself, so that only the shape must fit
        return (
            self.config.match_classes(images)
            if self.input_format.class_map is None
            else self.config.match_shape(images)
        )

    def interface(
        self, smoothed: "Smoothed", split: str, data_dir: Path | None
    ) -> tuple["Smoothed", tuple[int, ...], tuple[str, ...]]:
        from radii.models.adapters.outputs import class_names

        if self.other_data is not None:
            raise InputError(
                f"--data defines the input of models not trained by radii train; {self.folders[0]} is a run folder, "
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
    input_format: InputFormat

    @property
    def votes_path(self) -> str:
        # the path and the query of an address may hold slashes and keys
        url = urlsplit(self.spec)
        name = url.hostname if url.netloc else Path(self.spec.rpartition(":")[2]).stem
        return f"{name}.{self.input_format.name_of_mirror}votes.parquet"

    @property
    def words(self) -> str:
        return "Averaged with mirror images" if self.input_format.mirror else ""

    def load(self, device: "torch.device") -> "BaseClassifier":
        from torch import nn

        from radii.models import Mirrored
        from radii.models.adapters import load_model

        model = load_model(self.spec, **self.input_format.parsed())
        if self.input_format.mirror:
            model = Mirrored(model)
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
    runs: Sequence[str], data: str | None, noise: str | None, sigma: float | None, input_format: InputFormat
) -> ModelSource:
    """Return the model that `runs` and the options name; raise `InputError` for options that do not apply to it."""
    from radii.models.adapters import is_spec

    stored = {"noise": noise, "sigma": sigma, **input_format.stored_in_runs()}
    specs = [run for run in runs if is_spec(run)]
    if specs and len(runs) > 1:
        raise InputError(
            f"an ensemble consists of run folders, and {specs[0]} is none: average other models in Python, "
            "radii.models.Ensemble"
        )
    if not specs:
        for run in runs:
            _check_run(run, data, stored)
        return TrainedRuns(tuple(map(Path, runs)), data, input_format)
    (run,) = runs
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
    model = ExternalModel(run, data, make_noise(noise, sigma), input_format)
    # what cannot be parsed must show before the model is loaded
    input_format.parsed()
    return model


def _check_run(run: str, data: str | None, stored: Mapping[str, object]) -> None:
    """Raise `InputError` for options that a run folder stores, or where the name means another model."""
    from radii.models.adapters import FORMS

    # with options of other models, the name was probably meant as such a model: the error lists their forms
    if not Path(run).is_dir() and any(value is not None for value in (data, *stored.values())):
        raise InputError(f"there is not a run folder {run}; a model is {FORMS}")
    for name, value in stored.items():
        if value is not None:
            raise InputError(
                f"--{name} is for models not trained by radii train; {run} is a run folder, which stores it: "
                f"leave out --{name}"
            )


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Return the numbers in a text such as `0.5,0.4,0.3`."""
    if text is None:
        return None
    try:
        return tuple(parse_number(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--{option} is numbers, for example 0.5,0.4,0.3; got {text!r}") from None
