"""Gaussian noise."""

from dataclasses import dataclass
from typing import Any, ClassVar

from radii.noises.base import Noise, Rule, Source


@dataclass(frozen=True)
class Gaussian(Noise):
    """Normal noise on every feature."""

    name: ClassVar[str] = "gaussian"
    rules: ClassVar[dict[str, Rule]] = {}

    @property
    def scale(self) -> float:
        return self.sigma

    def draw(self, source: Source, shape: tuple[int, ...]) -> Any:
        return source.normal(shape) * self.scale
