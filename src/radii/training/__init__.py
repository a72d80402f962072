"""Training under noise: losses, the loop, recipes and run folders."""

from radii.training.loop import train
from radii.training.recipe import Recipe, make_recipe

__all__ = ["Recipe", "make_recipe", "train"]
