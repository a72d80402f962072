"""Certified radius against the probability of the label: what each noise can prove, before any model."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from radii.certificates.radius import certified_radius
from radii.errors import InputError
from radii.noises import Noise
from radii.noises.norms import Ball, check_shape
from radii.report.formatting import NORM_NAMES
from radii.report.plots.curves import axis_scale, radius_label, ticks_in_grey_levels
from radii.report.plots.labels import Curve, draw_curves
from radii.report.plots.style import PAPER, SMALL, SOFT, frame, noise_colour, own_style

_PROBABILITY = "lower bound on the label's probability under noise"
_TICKS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999)


@own_style()
def radius_by_probability(
    noises: Sequence[Noise],
    norm: str,
    shape: tuple[int, ...],
    *,
    unit: str = "pixel",
    n: int | None = None,
    alpha: float | None = None,
    points: int = 121,
) -> Figure:
    """Draw the certified top-1 radius of noises of one level against the lower bound on the label's probability.

    The axis is stretched towards 1 (log odds). With `n` and `alpha`, a line marks the largest bound that n
    noise samples can give, `alpha ** (1 / n)`: what lies beyond it needs more samples.
    """
    levels = {noise.level_text for noise in noises}
    if len(levels) != 1:
        raise InputError(f"noises are compared at one sigma; got {', '.join(sorted(levels))}")
    level, unit = levels.pop(), Ball(norm, shape, unit).unit
    title = f"Certified {NORM_NAMES[norm]} radius by noise, {level}"
    caption = _caption(level, norm, check_shape(shape), n, alpha)
    figure, axes = frame(title, radius_label(norm, unit), _PROBABILITY, caption)
    # even steps in log odds up to 0.9999, as far as the ticks; the axis has this scale
    lower = 1 / (1 + np.exp(-np.linspace(0, math.log(9999), points)))
    curves = [_curve(noise, norm, lower, check_shape(shape), unit) for noise in noises]
    _limit(axes, curves, norm)
    draw_curves(axes, curves)
    if n and alpha:
        _mark_reach(axes, n, alpha)
    return figure


def _curve(noise: Noise, norm: str, lower: np.ndarray, shape: tuple[int, ...], unit: str) -> Curve:
    """Return the radii of one noise; l0 radii are whole numbers, so their steps are drawn as steps."""
    radii = certified_radius(noise, norm, lower, shape=shape, unit=unit) * axis_scale(norm)
    name, colour = noise.title, noise_colour(noise.name)
    if norm == "l0":
        return Curve(name, colour, np.repeat(lower, 2)[1:], np.repeat(radii, 2)[:-1])
    return Curve(name, colour, lower, radii)


def _limit(axes: Axes, curves: Sequence[Curve], norm: str) -> None:
    """Set the limits: probabilities from 1/2 to 0.9999 in log odds, radii from 0 to the largest."""
    axes.set_xlim(0.5, 0.99993)
    axes.set_xscale("logit")
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}".lstrip("0") for tick in _TICKS]))
    # the ticks of the logit scale itself would stand among those above
    axes.xaxis.set_minor_locator(NullLocator())
    top = max(float(curve.y.max()) for curve in curves)
    # equal limits, where nothing is certified, would make matplotlib warn
    axes.set_ylim(0, 1.05 * top or 1.0)
    axes.yaxis.set_major_locator(
        MaxNLocator(5, steps=[1, 2, 5, 10] if norm == "l0" else [1, 2, 2.5, 5, 10], integer=norm == "l0")
    )
    if norm == "linf":
        ticks_in_grey_levels(axes, "y")


def _mark_reach(axes: Axes, n: int, alpha: float) -> None:
    """Draw a line at the largest lower bound that n samples can give, if it lies within the axis."""
    reach = alpha ** (1 / n)
    if reach >= _TICKS[-1]:
        return
    axes.axvline(reach, color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    text = f"the most that {n:,} samples can show"
    axes.annotate(
        text,
        (reach, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-3, -9),
        textcoords="offset points",
        ha="right",
        fontsize=SMALL,
        color=SOFT,
        # no grid line runs through the text
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.0},
    )


def _caption(level: str, norm: str, shape: tuple[int, ...], n: int | None, alpha: float | None) -> str:
    """Return the setting: noise level, input, and the noise samples where they are named."""
    draws = [f"n = {n:,} noise samples per image", f"α = {alpha:g}"] if n and alpha else []
    size = " × ".join(map(str, shape))
    setting = [level, f"inputs {size} in [0, 1]", "k = 1, from the label's bound alone"]
    return " · ".join([*draws, *setting, "theory, no test images"])
