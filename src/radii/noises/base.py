"""What every noise is: a way to make noisy copies of images, and its rules against each norm."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from radii.errors import InputError, check_name
from radii.noises.norms import Ball
from radii.noises.theory.tradeoffs import TradeOffs

LEAST, MOST = 1e-9, 1e9
"""Of sigma, where images lie in [0, 1]: beyond, arithmetic overflows."""


GREY_LEVELS = 255
"""Steps of the grid of 8-bit images."""

FINE = np.float64(2.0**-24)
"""Random float32 numbers are multiples of it. By its type, arrays of numpy become float64; tensors stay as they are."""


class Source(Protocol):
    """Independent standard random numbers, as arrays of numpy or torch: the noise only scales them."""

    def normal(self, shape: tuple[int, ...]) -> Any: ...

    def exponential(self, shape: tuple[int, ...]) -> Any: ...

    def uniform(self, shape: tuple[int, ...]) -> Any: ...


def fine_uniform(source: Source, shape: tuple[int, ...]) -> Any:
    """Uniform on the multiples of `2**-48` in [0, 1) as arrays of numpy; tensors are as fine as float32."""
    return source.uniform(shape) * np.float64(1) + source.uniform(shape) * FINE


def like(images: Any, values: np.ndarray) -> Any:
    """`values` as float32 array of numpy or as tensor, as `images` are."""
    return (
        images.new_tensor(values) if hasattr(images, "new_tensor") else np.asarray(values, dtype=np.float32)
    )


def check_number(name: str, value: object, least: float, most: float) -> float:
    """A parameter of a noise as a float, if it is a number in its range."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise InputError(f"{name} must be a number from {least:g} to {most:g}; got {value!r}")
    return float(value)


@dataclass(frozen=True)
class Rule:
    """How a noise meets a norm: the trade-off functions of their ball, how tight they are, and who proved it."""

    trade_offs: Callable[[Any, Ball], TradeOffs]
    tightness: str
    source: str


@dataclass(frozen=True)
class Noise(ABC):
    """A way to make noisy copies of images, and its rules; the fields are its parameters, the first its level."""

    name: ClassVar[str]
    rules: ClassVar[Mapping[str, Rule]]
    typical: ClassVar[Mapping[str, float]] = {}
    """Parameters of an example, besides sigma."""
    of_bytes: ClassVar[bool] = False
    """Whether it is defined on 8-bit images alone."""

    @abstractmethod
    def perturb(self, images: Any, source: Source) -> Any:
        """One noisy copy of each image, `(images, *shape)` in [0, 1] to `(images, *seen(shape))`, of numpy or torch."""

    @abstractmethod
    def log_likelihood(self, copies: np.ndarray, image: np.ndarray) -> np.ndarray:
        """How likely copies `(n, *seen)` are to come of an image, `(n,)`, up to one constant; -inf: impossible."""

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a noisy copy of one image, which is what the model sees."""
        return shape

    def pictures(self, copies: np.ndarray) -> np.ndarray:
        """Copies `(n, *seen)` for people to look at, `(n, *shape)` in [0, 1]."""
        return np.clip(copies, 0, 1)

    @property
    def title(self) -> str:
        """The name as a heading: `Independent splitting`."""
        return self.name.replace("-", " ").capitalize()

    @property
    def outcomes(self) -> int | None:
        """The number of its equally likely outcomes, if it is `EnumerableNoise`."""
        return None

    @property
    def level(self) -> float:
        """How strong it is, by its first parameter."""
        return float(getattr(self, fields(self)[0].name))

    def at_level(self, level: float) -> "Noise":
        """The same noise at another level."""
        return replace(self, **{fields(self)[0].name: level})

    @property
    def scale(self) -> float:
        """The parameter by which the density is usually written, where that is not the first one: b or a."""
        return self.level

    @property
    def level_name(self) -> str:
        """What the level is called: σ, or the name of the parameter."""
        name = fields(self)[0].name
        return "σ" if name == "sigma" else name

    @property
    def level_words(self) -> str:
        """The level for a terminal: `sigma 0.5`."""
        return f"{fields(self)[0].name} {self.level:g}"

    @property
    def level_text(self) -> str:
        """The level with its name: `σ = 0.5`."""
        return f"{self.level_name} = {self.level:g}"

    def trade_offs(self, ball: Ball) -> TradeOffs:
        """The trade-off functions between this noise and itself moved within `ball`, one for each radius."""
        return self.rules[check_name(f"norm for {self.name} noise", ball.norm, self.rules)].trade_offs(
            self, ball
        )


@dataclass(frozen=True)
class EnumerableNoise(Noise):
    """A noise with so few equally likely outcomes that all of them can be listed."""

    @property
    @abstractmethod
    def outcomes(self) -> int: ...

    @abstractmethod
    def outcome(self, images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The noisy copy of each image, `(images, *shape)`, under outcome `numbers`, `(images,)`, of all `outcomes`."""


@dataclass(frozen=True)
class Additive(Noise):
    """Noise that is added to images; `sigma` is the standard deviation of one feature, in image units."""

    sigma: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigma", check_number("sigma", self.sigma, LEAST, MOST))

    @abstractmethod
    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        """Noise of `shape`, `(images, *shape of one)`, from standard random numbers."""

    def perturb(self, images: Any, source: Source) -> Any:
        return images + self.draw(source, tuple(images.shape))


@dataclass(frozen=True)
class ProductNoise(Additive):
    """Independent noise of one law on every feature; its density has a single peak, at 0."""

    mean_magnitude: ClassVar[float]
    """Mean absolute value of one feature at scale 1."""

    @abstractmethod
    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Logarithm of the density of one feature at scale 1, up to a constant."""

    def log_likelihood(self, copies: np.ndarray, image: np.ndarray) -> np.ndarray:
        return self.log_density((copies - image) / self.scale).reshape(len(copies), -1).sum(axis=1)

    @abstractmethod
    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        """The absolute value of one feature at scale 1 that is exceeded with probability `tail`, in (0, 1)."""
