"""The certified radius: within it, no perturbation removes the label from the top k (docs/math/certificates.md)."""

import math
from collections.abc import Callable
from numbers import Real

import numpy as np

from radii.errors import InputError
from radii.noises import Noise
from radii.noises.base import check_noise
from radii.noises.norms import Ball, Norm, Unit, check_shape
from radii.noises.theory.tradeoffs import TradeOffs
from radii.votes.bounds import check_k

ROUNDING = 5e-12
"""More than the relative rounding of any trade-off function or probability bound, see `TradeOffs`. Half of the margin
with which the levels in votes of formats 1 to 3 were found, whose radii every processor therefore finds again."""
FARTHEST = 2.0**40
"""Largest radius searched for, in starts of the search: a margin that is positive there is a mistake in a rule."""
# The largest radius of any rule, at a probability of 1 - 2^-53 and without rivals, is 363 starts (3072 features).
BOXES = 2**24
"""Features of all images whose boxes are handled at once, with less than a gigabyte of intermediate numbers."""
# 5461 CIFAR-10 images against l1 under Gaussian noise took 0.75 GiB.

Margin = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Margins `(m,)` at radii `(m,)` for the images in rows `(m,)`: above zero where the label stays in the top k."""


def certified_radius(
    noise: Noise,
    norm: Norm,
    lower: np.ndarray,
    rivals: np.ndarray | None = None,
    *,
    k: int = 1,
    shape: tuple[int, ...],
    unit: Unit = "pixel",
    images: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the certified top-k radius of every image from bounds on its class probabilities.

    Parameters
    ----------
    noise
        Noise of the smoothed classifier.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the perturbations.
    lower : `(n,)` probabilities below 1
        Lower bounds on the probability of the label.
    rivals : `(n, k)` probabilities
        Column `t - 1` bounds from above the sum of the t smallest of the k largest other probabilities;
        by default `(t / k) (1 - lower)`.
    k
        Number of top classes within which the label must stay.
    shape : channels, height, width
        Shape of one input, for example (3, 32, 32).
    unit : "feature" or "pixel"
        Unit that l0 counts, as in `radii.certify`.
    images : `(n, *shape)` in [0, 1]
        Intersect each ball of l0 or l1 with the box [0, 1] around its own image.

    Returns
    -------
    `(n,)`
        Radii in image units, or in whole changed units for l0; 0.0 where nothing is certified. A radius
        that would hold for every perturbation within the box is the length of the longest one.

    Raises
    ------
    InputError
        If the bounds are not probabilities, `lower` reaches 1, or shapes do not fit.

    Notes
    -----
    Guarantee: if the bounds hold, the label is among the k most probable labels of the smoothed
    classifier after every perturbation of norm at most the radius.

    References
    ----------
    Jia, Cao, Wang & Gong (2020), Theorem 1, ICLR; here for any noise and norm (docs/math/certificates.md).

    Examples
    --------
    >>> import numpy as np, radii
    >>> noise = radii.Gaussian(sigma=0.25)
    >>> radii.certified_radius(noise, "l2", np.array([0.9, 0.99, 0.4]), shape=(3, 32, 32)).round(3)
    array([0.32 , 0.582, 0.   ])
    """
    check_noise(noise)
    lower, rivals = check_bounds(lower, rivals, k)
    if images is not None and len(images) != len(lower):
        raise InputError(f"images and lower must be equally many; got {len(images)} and {len(lower)}")
    if images is None or not len(lower):
        return _radii(noise, Ball(norm, shape, unit), lower, rivals)
    # at least one image, however large
    at_once = max(BOXES // math.prod(check_shape(shape)), 1)
    parts = [slice(row, row + at_once) for row in range(0, len(lower), at_once)]
    balls = (Ball(norm, shape, unit, images[rows]) for rows in parts)
    return np.concatenate(
        [_radii(noise, ball, lower[rows], rivals[rows]) for rows, ball in zip(parts, balls, strict=True)]
    )


def tradeoff(
    noise: Noise, norm: Norm, radius: float, shape: tuple[int, ...], *, unit: Unit = "pixel"
) -> Callable[[np.ndarray], np.ndarray]:
    r"""Return the trade-off function $T$ between `noise` and `noise` shifted by at most `radius`.

    Parameters
    ----------
    noise
        Noise of the smoothed classifier.
    norm : "l0", "l1", "l2" or "linf"
        Norm of the shift.
    radius : image units, or whole changed units for l0
        Largest length of the shift.
    shape : channels, height, width
        Shape of one input.
    unit : "feature" or "pixel"
        Unit that l0 counts, as in `radii.certify`.

    Returns
    -------
    Callable
        $T$, from levels in [0, 1] to type-II errors, both `(...)`. $T(\alpha)$ is the least type-II error
        of any test of level $\alpha$: a region of probability $p$ falls to no less than $T(1 - p)$ and
        rises to no more than $1 - T(p)$.

    Raises
    ------
    InputError
        If `radius` is negative, not finite, or not whole in l0.

    Notes
    -----
    Guarantee: never above the true trade-off function.

    References
    ----------
    Dong, Roth & Su (2022), Gaussian differential privacy, JRSS B.

    Examples
    --------
    >>> import numpy as np, radii
    >>> t = radii.tradeoff(radii.Gaussian(sigma=0.25), "l2", 0.25, (3, 32, 32))
    >>> t(np.array([0.05, 0.5])).round(3)
    array([0.74 , 0.159])
    """
    check_noise(noise)
    if not isinstance(radius, Real) or not (np.isfinite(radius) and radius >= 0):
        raise InputError(f"radius must be a finite number of at least 0; got {radius!r}")
    if norm == "l0" and radius != int(radius):
        raise InputError(f"an l0 radius counts changed units and must be a whole number; got {radius!r}")
    family = noise.trade_offs(Ball(norm, shape, unit))

    def t(alpha: np.ndarray) -> np.ndarray:
        level = np.asarray(alpha, dtype=np.float64)
        if not np.all((level >= 0) & (level <= 1)):
            raise InputError("alpha is a probability: give values in [0, 1]")
        flat = np.atleast_1d(level)
        at = np.full(flat.shape, float(radius))
        # strictly inside of (0, 1), where quantiles are finite, and one float further in the sound direction;
        # both sides of the same bound: one keeps the digits of small levels, the other those of large ones
        inside = np.clip(flat, np.finfo(float).tiny, 1 - np.finfo(float).epsneg)
        fallen = family.lower(np.nextafter(1 - inside, 0), at) * (1 - ROUNDING)
        risen = np.nextafter(1 - family.upper(inside, at) * (1 + ROUNDING), 0)
        return np.where(flat >= 1, 0.0, np.maximum(np.where(flat < 0.5, risen, fallen), 0)).reshape(
            level.shape
        )

    return t


def _radii(noise: Noise, ball: Ball, lower: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """Return `certified_radius` for checked bounds, `(n,)`; a ball with images has as many as there are bounds."""
    family = noise.trade_offs(ball)
    radius = np.zeros(len(lower))
    # bounds that confirm nothing without a perturbation have no radius: searching them would take 60 halvings
    rows = np.flatnonzero(confirmed(lower, rivals))
    test = margins(family, lower, rivals, ball)
    if ball.norm == "l0":
        radius[rows] = largest_whole(lambda radius, at: test(radius, at) > 0, rows, ball.units)
    else:
        radius[rows] = largest(test, rows, family.start)
    return radius


def margins(family: TradeOffs, lower: np.ndarray, rivals: np.ndarray, ball: Ball) -> Margin:
    """Return `margin` as a function of radii and rows, for the search."""

    def test(radius: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if ball.images is None:
            return margin(family, lower[rows], rivals[rows], radius)
        # trade-off functions in a box take one radius for each of its images, in their order
        everywhere = np.zeros(len(lower), dtype=radius.dtype)
        everywhere[rows] = radius
        return margin(family, lower, rivals, everywhere)[rows]

    return test


def margin(family: TradeOffs, lower: np.ndarray, rivals: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the margin of Jia et al. 2020, `(n,)`: above zero where the label stays in the top k within `radius`.

    The label leaves the top k only if k others all reach it. Of any t of these, the least probable has at most a t-th
    of the probability of their union, which is one region.
    """
    # quantiles of 0 and 1 are infinite
    with np.errstate(divide="ignore"):
        least = family.lower(lower, radius)
        most = (family.upper(rivals, radius[:, None]) / np.arange(1, rivals.shape[1] + 1)).min(axis=1)
    # rounding counts against the label
    return least * (1 - ROUNDING) - most * (1 + ROUNDING)


def confirmed(lower: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """Return where bounds prove the label to be in the top k without any perturbation, `(n,)`."""
    return lower > (rivals / np.arange(1, rivals.shape[1] + 1)).min(axis=1)


def check_bounds(lower: object, rivals: object, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds as float64 arrays `(n,)` and `(n, k)`, with rivals of at most `1 - lower`.

    Raises `InputError` for bounds that are not probabilities, or that do not fit each other.
    """
    check_k(k)
    lower = np.asarray(lower, dtype=np.float64)
    if lower.ndim != 1:
        raise InputError(f"lower must hold one probability per image, shape (n,); got {lower.shape}")
    if not np.all((lower >= 0) & (lower < 1)):
        raise InputError(
            "lower must lie in [0, 1): no finite sample proves a probability of 1; use radii.bounds on the counts"
        )
    left = 1 - lower[:, None]
    if rivals is None:
        return lower, np.arange(1, k + 1) / k * left
    rivals = np.asarray(rivals, dtype=np.float64)
    if rivals.shape != (len(lower), k):
        raise InputError(f"rivals must have the shape (n, k) = {(len(lower), k)}; got {rivals.shape}")
    if not np.all((rivals >= 0) & (rivals <= 1)):
        raise InputError("rivals must be probabilities in [0, 1]")
    # against a rival of probability 0 the margin stays positive at every radius, and the search would not end
    return lower, np.maximum(np.minimum(rivals, left), 1e-300)


def largest(margin: Margin, rows: np.ndarray, start: float, rtol: float = 1e-13) -> np.ndarray:
    """Return the largest radius with a margin above zero, for each of `rows`, `(m,)`.

    `start` is a radius of the usual size, from which the search doubles and halves. Radii below `start * 2**-60`
    are returned as 0.

    Guarantee: `margin` was evaluated at every returned radius above 0, and was above zero there. Where the margin
    falls with the radius, the largest radius of all is at most `rtol` larger, relatively.
    """
    # without a least radius, `start * 2^-60`, the halving would not end where rounding makes every margin negative
    low, high, at_low, at_high = bracket(margin, rows, start)
    positive = low > 0
    ends = [end[positive] for end in (low, high, at_low, at_high)]
    low[positive] = narrow(margin, rows[positive], ends, rtol)
    return low


def bracket(margin: Margin, rows: np.ndarray, start: float) -> tuple[np.ndarray, ...]:
    """Return radii `low` where the margin is above zero and `high` where it is not, and the margins at both.

    They are at most a factor 2 apart; `low` is 0 where no radius was found.
    """
    first = np.full(len(rows), float(start))
    value = margin(first, rows)
    up = value > 0
    low, high = np.where(up, first, 0.0), np.where(up, np.inf, first)
    at_low, at_high = value.copy(), value.copy()
    for step in (2.0, 0.5):
        active = np.flatnonzero(up if step > 1 else ~up)
        radius = float(start)
        while len(active) and start * 2.0**-60 < radius < start * FARTHEST:
            radius *= step
            value = margin(np.full(len(active), radius), rows[active])
            holds = value > 0
            low[active[holds]], at_low[active[holds]] = radius, value[holds]
            high[active[~holds]], at_high[active[~holds]] = radius, value[~holds]
            active = active[holds if step > 1 else ~holds]
    assert np.all(np.isfinite(high)), "the margin stays positive at every radius"
    return low, high, at_low, at_high


def narrow(margin: Margin, rows: np.ndarray, ends: list[np.ndarray], rtol: float) -> np.ndarray:
    """Return the low ends of brackets shrunk to a relative width `rtol` by the ITP method (Oliveira & Takahashi 2021).

    ITP needs at most one step more than bisection, and far fewer where the margin is smooth.
    """
    low, high, at_low, at_high = ends
    width = low * rtol
    # steps of plain bisection, and the one that ITP may waste (its n_0 = 1); its k_1 = 0.2 / width and k_2 = 2
    most = np.ceil(np.log2(np.maximum((high - low) / width, 1))) + 1
    scale = 0.2 / (high - low)
    active = np.arange(len(rows))
    # from a factor of 2 to a relative width of 1e-13 bisection takes 44 steps; bracket and ITP took 25 evaluations per
    # image instead of 48 under Gaussian and Laplace noise, 43 instead of 47 under exponential linf noise
    for step in range(80):
        active = active[high[active] - low[active] > width[active]]
        if not len(active):
            break
        a, b, fa, fb = low[active], high[active], at_low[active], at_high[active]
        middle, span = (a + b) / 2, b - a
        # false position, pushed towards the middle and projected to where the bisection bound on steps is kept
        secant = (fb * a - fa * b) / (fb - fa)
        side = np.sign(middle - secant)
        push = np.minimum(scale[active] * span**2, np.abs(middle - secant))
        reach = np.maximum(width[active] * 2.0 ** (most[active] - step - 1) - span / 2, 0)
        point = middle - side * np.minimum(np.abs(middle - (secant + side * push)), reach)
        value = margin(point, rows[active])
        holds = value > 0
        low[active[holds]], at_low[active[holds]] = point[holds], value[holds]
        high[active[~holds]], at_high[active[~holds]] = point[~holds], value[~holds]
    return low


def largest_whole(
    holds: Callable[[np.ndarray, np.ndarray], np.ndarray], rows: np.ndarray, limit: int
) -> np.ndarray:
    """Return the largest whole number up to `limit` at which a monotone test holds, for each of `rows`.

    0 where it fails at 1.

    Guarantee: the test was evaluated at every returned number above 0, and held.
    """
    low = np.zeros(len(rows), dtype=np.int64)
    high = np.full(len(rows), limit + 1, dtype=np.int64)
    stride = 1
    active = np.arange(len(rows))
    while len(active):
        # First doubling, then halving: most radii are small, and large ones cost more to test. An image still doubles
        # while no test of it has failed, that is while `high` is beyond the limit.
        at = np.where(
            high[active] > limit, np.minimum(low[active] + stride, limit), (low[active] + high[active]) // 2
        )
        passed = holds(at, rows[active])
        low[active[passed]], high[active[~passed]] = at[passed], at[~passed]
        active = active[high[active] - low[active] > 1]
        stride *= 2
    return low
