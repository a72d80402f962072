"""Uniform noise."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from radii.noises.base import Noise, Rule, Source


@dataclass(frozen=True)
class Uniform(Noise):
    """Noise uniform on `[-a, a]` for every feature, `a = sigma * sqrt(3)`."""

    name: ClassVar[str] = "uniform"
    rules: ClassVar[dict[str, Rule]] = {}

    @property
    def scale(self) -> float:
        return self.sigma * math.sqrt(3)

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        return (source.uniform(shape) * 2 - 1) * self.scale
