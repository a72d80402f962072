"""Steepest ascent and projections in l1, l2 and linf balls, for batches of perturbations `(batch, *shape)`."""

import torch
from torch import Tensor

from radii.errors import check_name
from radii.noises.norms import ORDERS

KEPT = 0.01
"""Share of the features that a step in l1 changes, one of the two of Tramer & Boneh (2019); a single feature per step
would be slow."""

LEAST = 1e-12
"""Least divisor of a vector by its length, so that a slope of 0 gives a step of 0 and not NaN."""


def steepest(slope: Tensor, norm: str, length: Tensor) -> Tensor:
    """Return the step of the given `length`, `(batch,)`, in `norm` that increases a function of this `slope` most.

    In l1 nearly so: the step is spread over `KEPT` of the features, and those with an equal slope.
    """
    flat = slope.flatten(1)
    if norm == "linf":
        step = flat.sign()
    elif norm == "l2":
        return (length[:, None] * flat / _lengths(flat)).view_as(slope)
    else:
        count = max(1, round(KEPT * flat.shape[1]))
        least = flat.abs().topk(count, dim=1).values[:, -1:]
        chosen = flat.sign() * (flat.abs() >= least)
        # by the number that is chosen: equal slopes add features, and those of slope 0 do not change
        step = chosen / chosen.abs().sum(1, keepdim=True).clamp(min=1)
    return (step * length[:, None]).view_as(slope)


def project(perturbation: Tensor, norm: str, radius: Tensor) -> Tensor:
    """Return the nearest perturbations, in l2 distance, within `radius`, `(batch,)`, in `norm`."""
    check_name("norm", norm, ORDERS)
    flat, most = perturbation.flatten(1), radius[:, None]
    if norm == "linf":
        nearest = torch.minimum(torch.maximum(flat, -most), most)
    elif norm == "l2":
        nearest = flat * (most / _lengths(flat)).clamp(max=1)
    else:
        nearest = _onto_l1(flat, most)
    return nearest.view_as(perturbation)


def _lengths(flat: Tensor) -> Tensor:
    """Compute l2 norms, `(batch, 1)`, of at least `LEAST`."""
    return flat.norm(dim=1, keepdim=True).clamp(min=LEAST)


def _onto_l1(flat: Tensor, radius: Tensor) -> Tensor:
    """Subtract one threshold per row from the size of all features (Duchi, Shalev-Shwartz, Singer & Chandra 2008).

    Figure 1 there: the threshold is that of the largest set of features which are all above it.
    """
    size = flat.abs()
    falling = size.sort(dim=1, descending=True).values
    counts = torch.arange(1, flat.shape[1] + 1, device=flat.device)
    thresholds = (falling.cumsum(1) - radius) / counts
    # at least one: for a radius of 0 no feature is above its threshold
    kept = (falling > thresholds).sum(1, keepdim=True).clamp(min=1)
    # within the ball already, the threshold is negative, and nothing is subtracted
    threshold = thresholds.gather(1, kept - 1).clamp(min=0)
    return flat.sign() * (size - threshold).clamp(min=0)
