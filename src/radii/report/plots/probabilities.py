"""The distribution of the label's probability under noise: how many images are classified well, and how many hardly."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from radii.certificates.certify import Certificates
from radii.errors import InputError
from radii.report.accuracy import label_probabilities, probability_curve
from radii.report.plots.labels import Curve, draw_curves
from radii.report.plots.style import SOFT, Drawing, caption_text, frame, own_style, run_colours

_TICKS = (0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
_FIRST, _LAST = 0.005, 0.99993
_WORDS = "share of all images for whose true label this lower bound is reached"
_AXIS = "lower bound on the true label's probability"


@own_style()
def probability_distribution(certificates: Mapping[str, Certificates]) -> Drawing:
    """Draw the share of images against the lower bound on the probability of their true label, a curve for each name.

    The bound is all that a radius depends on, and unlike the mean radius its distribution shows hard images, too.

    Parameters
    ----------
    certificates : by name, in any norm, with true labels, all for one k

    Returns
    -------
    Drawing
        A figure that notebooks show.

    References
    ----------
    Sun, Mao, Müller & Vechev (2025), Average certified radius is a poor metric for randomized smoothing, ICML.
    """
    ks = {certified.k for certified in certificates.values()}
    if len(ks) != 1:
        raise InputError(f"probabilities are compared for one k at a time; got {sorted(ks)}")
    figure, axes = frame(
        "Distribution of the label's probability", _WORDS, _AXIS, caption_text(certificates.values())
    )
    colours = run_colours(certificates.values())
    curves = [
        Curve(name, colour, *_path(certified))
        for (name, certified), colour in zip(certificates.items(), colours, strict=True)
    ]
    _limit(axes)
    # above one half a label is the most probable one
    axes.axvline(0.5, color=SOFT, linewidth=0.8, linestyle=(0, (1, 2)))
    draw_curves(axes, curves)
    return figure


def _path(certificates: Certificates) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of the distribution as a step function, `(points,)` each, within the axis."""
    bounds, shares = probability_curve(label_probabilities(certificates))
    inside = bounds > _FIRST
    # images below the first bound are in the share on the left edge, or in none
    bounds, shares = bounds[inside], shares[inside]
    x = np.append(_FIRST, np.repeat(np.minimum(bounds, _LAST), 2))
    y = np.concatenate([np.repeat(shares, 2), [0.0]]) if len(shares) else np.zeros(1)
    return x, y


def _limit(axes: Axes) -> None:
    """Set the limits: probabilities in log odds, as in figures of radius by probability, and 0 to 100 %."""
    axes.set_xlim(_FIRST, _LAST)
    axes.set_xscale("logit")
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}".lstrip("0") for tick in _TICKS]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
