"""Steps of steepest descent, and projections, in balls of l1, l2 and linf: batches of moves `(batch, *shape)`."""

import torch
from torch import Tensor

from radii.errors import check_name
from radii.noises.norms import ORDERS

KEPT = 0.01
"""The share of features that a step in l1 changes (Tramer and Boneh 2019 try .01 and .02): one alone would be slow."""
LEAST = 1e-12
"""By which lengths are divided at least: a slope of 0 gives no step."""


def steepest(slope: Tensor, norm: str, length: Tensor) -> Tensor:
    """The move of `norm` `length`, `(batch,)`, along which a function of this `slope` rises fastest; in l1 nearly."""
    flat = slope.flatten(1)
    if norm == "linf":
        step = flat.sign()
    elif norm == "l2":
        return (length[:, None] * flat / _lengths(flat)).view_as(slope)
    else:
        count = max(1, round(KEPT * flat.shape[1]))
        least = flat.abs().topk(count, dim=1).values[:, -1:]
        step = flat.sign() * (flat.abs() >= least) / count
    return (step * length[:, None]).view_as(slope)


def project(move: Tensor, norm: str, radius: Tensor) -> Tensor:
    """The nearest moves within `radius`, `(batch,)`, in the sense of l2."""
    check_name("norm", norm, ORDERS)
    flat, most = move.flatten(1), radius[:, None]
    if norm == "linf":
        near = torch.minimum(torch.maximum(flat, -most), most)
    elif norm == "l2":
        near = flat * (most / _lengths(flat)).clamp(max=1)
    else:
        near = _onto_l1(flat, most)
    return near.view_as(move)


def _lengths(flat: Tensor) -> Tensor:
    """l2 norms, `(batch, 1)`."""
    return flat.norm(dim=1, keepdim=True).clamp(min=LEAST)


def _onto_l1(flat: Tensor, radius: Tensor) -> Tensor:
    """All features come nearer to 0 by as much as it takes (Duchi, Shalev-Shwartz, Singer & Chandra 2008, figure 1)."""
    size = flat.abs()
    falling = size.sort(dim=1, descending=True).values
    counts = torch.arange(1, flat.shape[1] + 1, device=flat.device)
    shrunk = (falling.cumsum(1) - radius) / counts
    kept = (falling > shrunk).sum(1, keepdim=True).clamp(min=1)
    by = shrunk.gather(1, kept - 1).clamp(min=0)
    return flat.sign() * (size - by).clamp(min=0)
