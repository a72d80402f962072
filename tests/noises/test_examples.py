"""The examples in the docstrings of noises run, and print what they show."""

import doctest
import importlib
import pkgutil

import pytest

import radii.noises

MODULES = [module.name for module in pkgutil.walk_packages(radii.noises.__path__, "radii.noises.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_show(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_class_of_noise_has_an_example() -> None:
    assert all(">>> " in (kind.__doc__ or "") for kind in radii.NOISES.values())
