"""Certificates -> figures: accuracy by radius and by k, radius by probability, distributions of it, example images."""

from radii.errors import InputError, missing_extra

try:
    import matplotlib  # noqa: F401  (checked here, once for all modules below)
except ImportError as cause:
    raise missing_extra("drawing figures", "report", cause) from cause
except ValueError as cause:
    raise InputError(
        f"matplotlib cannot be loaded with its settings here ({cause}): correct its file matplotlibrc, or MPLBACKEND"
    ) from cause

from radii.report.plots.curves import accuracy_by_k, accuracy_by_noise
from radii.report.plots.files import pdf_bytes, png_bytes, svg_text
from radii.report.plots.pgf import pgf_text
from radii.report.plots.probabilities import probability_distribution
from radii.report.plots.strip import image_strip
from radii.report.plots.style import Drawing, noise_colour, paper_style, shades
from radii.report.plots.theory import radius_by_probability

__all__ = [
    "Drawing",
    "accuracy_by_k",
    "accuracy_by_noise",
    "image_strip",
    "noise_colour",
    "paper_style",
    "pdf_bytes",
    "pgf_text",
    "png_bytes",
    "probability_distribution",
    "radius_by_probability",
    "shades",
    "svg_text",
]
