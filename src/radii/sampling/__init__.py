"""The smoothed classifier: noise samples, queries of the model, votes."""

from radii.sampling.smoothed import Smoothed

__all__ = ["Smoothed"]
