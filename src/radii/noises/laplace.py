"""Laplace noise."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from radii.noises.base import Noise, Rule, Source


@dataclass(frozen=True)
class Laplace(Noise):
    """Noise with density `exp(-|x| / b) / 2b` on every feature, `b = sigma / sqrt(2)`."""

    name: ClassVar[str] = "laplace"
    rules: ClassVar[dict[str, Rule]] = {}

    @property
    def scale(self) -> float:
        return self.sigma / math.sqrt(2)

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        return (source.exponential(shape) - source.exponential(shape)) * self.scale
