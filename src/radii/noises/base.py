"""The interface of a noise distribution, and the three kinds of noise that share code."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from radii.errors import InputError, check_name
from radii.noises.norms import Ball
from radii.noises.theory.tradeoffs import TradeOffs

# Images lie in [0, 1], so that no useful sigma is near these limits. Beyond them arithmetic overflows: Laplace noise in
# l0 from 1e-12 down (sinh of a shift in scales), squares of lengths at 1e170.
SMALLEST_SIGMA, LARGEST_SIGMA = 1e-9, 1e9

GREY_LEVELS = 255
"""Steps between the grey levels 0 to 255 of an 8-bit image."""

# Random float32 numbers are multiples of 2^-24. As a float64 scalar it promotes float32 arrays of numpy to float64;
# tensors keep their type.
FINE = np.float64(2.0**-24)


class Source(Protocol):
    """A source of independent standard random numbers, as arrays of numpy or torch; a noise rescales them."""

    def normal(self, shape: tuple[int, ...]) -> Any: ...

    def exponential(self, shape: tuple[int, ...]) -> Any: ...

    def uniform(self, shape: tuple[int, ...]) -> Any: ...


@dataclass(frozen=True)
class Rule:
    """The certificate of a noise against one norm.

    `trade_offs` maps the noise and a ball to trade-off functions, `tightness` says how close they are to the true
    worst case, and `source` names the paper or the idea of the proof.
    """

    trade_offs: Callable[[Any, Ball], TradeOffs]
    tightness: str
    source: str


@dataclass(frozen=True)
class Noise(ABC):
    """Base class of all noise distributions.

    A noise perturbs images, and its `rules` certify it: a rule for each norm bounds how much the probability of any
    set of outputs can change under a perturbation of the image. The fields of the dataclass are the parameters of the
    distribution; the first is its level, `sigma` for most noises.
    """

    name: ClassVar[str]
    """Name in `make_noise`, in commands and in votes files."""
    rules: ClassVar[Mapping[str, Rule]]
    """Rules by norm."""
    typical: ClassVar[Mapping[str, float]] = {}
    """Parameters of an example, besides sigma."""
    of_bytes: ClassVar[bool] = False
    """Whether the noise is defined for 8-bit images only."""

    @abstractmethod
    def perturb(self, images: Any, source: Source) -> Any:
        """Return each image with one noise sample.

        Parameters
        ----------
        images : array of numpy or torch, shape `(n, *shape)`
            Images in [0, 1].
        source : Source
            Random numbers of the same array library.

        Returns
        -------
        array, shape `(n, *output_shape(shape))`
            The input of the base classifier.
        """

    @abstractmethod
    def log_likelihood(self, noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Return the log-likelihood of noisy images `(n, *output_shape)` given one image, `(n,)`.

        It is known up to one constant for all images; minus infinity marks an impossible outcome.
        """

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a noisy image, the input of the base classifier, for images of `shape`."""
        return shape

    def pictures(self, noisy: np.ndarray) -> np.ndarray:
        """Return noisy images `(n, *output_shape)` as pictures to display, `(n, *shape)` in [0, 1]."""
        return np.clip(noisy, 0, 1)

    @property
    def title(self) -> str:
        """The name as a heading: `Independent splitting`."""
        return self.name.replace("-", " ").capitalize()

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters by name, as files and full names hold them."""
        return asdict(self)

    @property
    def outcomes(self) -> int | None:
        """Number of equally likely outcomes of an `EnumerableNoise`, None for other noises."""
        return None

    @property
    def level(self) -> float:
        """The first parameter, which measures the strength of the noise."""
        return float(getattr(self, self._level_field))

    def at_level(self, level: float) -> "Noise":
        """Return the same noise at another level."""
        # levels are float; a parameter that counts something, such as `kept`, accepts nothing but int
        kind = type(getattr(self, self._level_field))
        return replace(self, **{self._level_field: kind(level)})

    @property
    def scale(self) -> float:
        """The scale parameter of the density as usually written, such as b of Laplace noise, in image units."""
        return self.level

    @property
    def _level_field(self) -> str:
        return fields(self)[0].name

    @property
    def level_name(self) -> str:
        """Symbol of the level: σ, or the name of the parameter."""
        return "σ" if self._level_field == "sigma" else self._level_field

    @property
    def level_words(self) -> str:
        """The level in ASCII: `sigma 0.5`."""
        return f"{self._level_field} {self.level:g}"

    @property
    def level_text(self) -> str:
        """The level as an equation: `σ = 0.5`."""
        return f"{self.level_name} = {self.level:g}"

    def trade_offs(self, ball: Ball) -> TradeOffs:
        """Return the trade-off functions between the noise and its translates within a ball.

        Parameters
        ----------
        ball : Ball
            Norm, input shape, and optionally the images whose box limits the perturbation.

        Returns
        -------
        TradeOffs
            `upper(p, r)` and `lower(p, r)` for every radius r.

        Raises
        ------
        UnknownName
            If the noise has no rule for the norm.

        Examples
        --------
        >>> import radii
        >>> from radii.noises.norms import Ball
        >>> family = radii.Gaussian(0.5).trade_offs(Ball("l2", (3, 32, 32)))
        >>> round(float(family.lower(0.99, 1.0)), 4)
        0.6279
        """
        norm = check_name(f"norm for {self.name} noise", ball.norm, self.rules)
        return self.rules[norm].trade_offs(self, ball)


@dataclass(frozen=True)
class EnumerableNoise(Noise):
    """Noise with few equally likely outcomes: all are enumerated, and probabilities have no sampling error."""

    @property
    @abstractmethod
    def outcomes(self) -> int: ...

    @abstractmethod
    def outcome(self, images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return image i under outcome `numbers[i]`, `(n, *shape)`; numbers, `(n,)`, are below `outcomes`."""


@dataclass(frozen=True)
class Additive(Noise):
    """Noise added to images; `sigma` is the standard deviation of one feature, in image units."""

    sigma: float

    def __post_init__(self) -> None:
        # as float, so that sigma 1 and 1.0 make equal noises with one full name; frozen classes assign like this
        object.__setattr__(self, "sigma", check_number("sigma", self.sigma, SMALLEST_SIGMA, LARGEST_SIGMA))

    @abstractmethod
    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        """Return one noise sample for each image of a batch of `shape`, `(n, ...)`."""

    def perturb(self, images: Any, source: Source) -> Any:
        return images + self.draw(source, tuple(images.shape))


@dataclass(frozen=True)
class ProductNoise(Additive):
    """Additive noise, independent and identically distributed over features, unimodal with mode 0."""

    mean_magnitude: ClassVar[float]
    """Mean absolute value of one feature at scale 1."""

    @abstractmethod
    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Return the log-density of one feature at scale 1, up to a constant."""

    def log_likelihood(self, noisy: np.ndarray, image: np.ndarray) -> np.ndarray:
        return self.log_density((noisy - image) / self.scale).reshape(len(noisy), -1).sum(axis=1)

    @abstractmethod
    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        """Return the absolute value that one feature at scale 1 exceeds with probability `tail`, in (0, 1)."""


def check_noise(noise: object) -> None:
    """Raise `InputError` unless `noise` is a noise."""
    if not isinstance(noise, Noise):
        raise InputError(
            f"noise must be a noise of radii, for example radii.Laplace(sigma=0.5); got {noise!r}"
        )


def check_number(name: str, value: object, least: float, most: float) -> float:
    """Return the parameter `name` of a noise as a float, or raise InputError if it is outside [least, most]."""
    # True is an int for Python; the comparison is written so that NaN fails
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        # a text looks like a number in the message
        kind = ", a text" if isinstance(value, str) else ""
        raise InputError(f"{name} must be a number from {least:g} to {most:g}; got {value!r}{kind}")
    return float(value)


def fine_uniform(source: Source, shape: tuple[int, ...]) -> Any:
    """Return uniform numbers in [0, 1): multiples of `2**-48` as arrays of numpy, as fine as float32 as tensors."""
    # the factor 1 promotes arrays of numpy to float64, which holds both 24-bit numbers
    return source.uniform(shape) * np.float64(1) + source.uniform(shape) * FINE


def like(images: Any, values: np.ndarray) -> Any:
    """Return `values` in the array library of `images`: float32 of numpy, or a tensor of the same device and type."""
    # by attribute, since importing torch here would make it a requirement of every certificate
    if hasattr(images, "new_tensor"):
        return images.new_tensor(values)
    return np.asarray(values, dtype=np.float32)
