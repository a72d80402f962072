"""What every noise is: a standard deviation, a way to draw it, and its rules against each norm."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from radii.errors import InputError, check_name
from radii.norms import Ball
from radii.tradeoffs import TradeOffs

LEAST, MOST = 1e-9, 1e9
"""Of sigma, where images lie in [0, 1]: beyond, arithmetic overflows."""


class Source(Protocol):
    """Independent standard random numbers, as arrays of numpy or torch: the noise only scales them."""

    def normal(self, shape: tuple[int, ...]) -> Any: ...

    def exponential(self, shape: tuple[int, ...]) -> Any: ...

    def uniform(self, shape: tuple[int, ...]) -> Any: ...


@dataclass(frozen=True)
class Rule:
    """How a noise meets a norm: the trade-off functions of their ball, how tight they are, and who proved it."""

    trade_offs: Callable[[Any, Ball], TradeOffs]
    tightness: str
    source: str


@dataclass(frozen=True)
class Noise(ABC):
    """Independent noise on every feature; `sigma` is the standard deviation of one, in image units."""

    sigma: float
    name: ClassVar[str]
    rules: ClassVar[Mapping[str, Rule]]
    mean_magnitude: ClassVar[float]
    """Mean absolute value of one feature at scale 1; its density has a single peak, at 0."""

    def __post_init__(self) -> None:
        sigma = self.sigma
        if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not LEAST <= sigma <= MOST:
            raise InputError(
                f"sigma must be a finite number above 0, in image units, {LEAST:g} to {MOST:g}; got {sigma!r}"
            )
        object.__setattr__(self, "sigma", float(sigma))

    @property
    @abstractmethod
    def scale(self) -> float:
        """The parameter by which the density is usually written: sigma, b or a."""

    @abstractmethod
    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        """Noise of `shape` from standard random numbers."""

    @abstractmethod
    def tail_quantile(self, tail: np.ndarray) -> np.ndarray:
        """The absolute value of one feature at scale 1 that is exceeded with probability `tail`, in (0, 1)."""

    def trade_offs(self, ball: Ball) -> TradeOffs:
        """The trade-off functions between this noise and itself moved within `ball`, one for each radius."""
        return self.rules[check_name(f"norm for {self.name} noise", ball.norm, self.rules)].trade_offs(
            self, ball
        )
