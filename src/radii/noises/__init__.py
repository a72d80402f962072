"""The noises, one a file: parameters, how to draw it, and its rules (noise, norm) -> trade-off functions."""

from radii.errors import check_name
from radii.noises.base import Noise, Rule, Source
from radii.noises.gaussian import Gaussian
from radii.noises.laplace import Laplace
from radii.noises.uniform import Uniform

NOISES: dict[str, type[Noise]] = {noise.name: noise for noise in (Laplace, Gaussian, Uniform)}


def make_noise(name: str, sigma: float) -> Noise:
    """The noise called `name` with standard deviation `sigma`, for example `make_noise("laplace", 0.5)`."""
    return NOISES[check_name("noise", name, NOISES)](sigma)


__all__ = ["NOISES", "Gaussian", "Laplace", "Noise", "Rule", "Source", "Uniform", "make_noise"]
