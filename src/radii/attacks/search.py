"""The hunt for the shortest move that pushes a label out of the top k: tried, judged, shortened, for some images."""

import itertools
from functools import partial

import numpy as np
import torch
from scipy.special import bdtrc
from torch import nn

from radii.attacks.descent import Effort, Target, descend, greedy
from radii.certificates.certify import Certificates
from radii.certificates.planning import exhaustive
from radii.data.dataset import DataSet
from radii.errors import InputError
from radii.models.devices import TensorSource
from radii.noises import GREY_LEVELS
from radii.noises.norms import ORDERS
from radii.noises.theory.bisection import bisect, bisect_whole
from radii.sampling.model_call import logits_of
from radii.sampling.smoothed import N0, Smoothed
from radii.training.losses import NoiseSampler
from radii.votes import Votes
from radii.votes.bounds import sign_test
from radii.votes.plans import fixed

LEVEL = 1e-6
"""At which one verdict may be wrong: each image has some ten of them."""
CHANCE = 1e-3
"""At which so many certificates that do not hold are more than their alpha allows."""


def pushed_out(votes: Votes, labels: np.ndarray, k: int) -> np.ndarray:
    """Where at least `k` other classes are more probable than the label, `(images,)`.

    The k rivals are those of the selection draws; each must win the one-sided binomial test against the label. That all
    are more probable is said only where each single test says so, so that the level is that of one of them. Votes on
    all outcomes need no test.

    Guarantee: said wrongly of an image with probability at most 1e-6 over its draws.
    """
    rows = np.arange(len(labels))
    own = votes.counts[rows, labels]
    if votes.plan.outcomes:
        return np.asarray((votes.counts > own[:, None]).sum(axis=1) >= k)
    others = votes.selection.astype(np.float64)
    others[rows, labels] = -1
    rivals = np.argsort(-others, axis=1, kind="stable")[:, :k]
    theirs = np.take_along_axis(votes.counts, rivals, axis=1)
    return np.asarray((sign_test(theirs, own[:, None]) <= LEVEL).all(axis=1))


def too_many(wrong: int, certified: int, alpha: float) -> bool:
    """Whether so many wrong certificates of `certified` ones are more than each having probability `alpha` explains."""
    return wrong > 0 and bool(bdtrc(wrong - 1, certified, alpha) < CHANCE)


GROWTH = 1.5
"""From one radius that is tried to the next."""
HALVINGS = 5
"""Of the straight line on which a move is shortened."""
FRESH = 2**40
"""Seeds from here on, which votes are not drawn under: what chose the image to attack must not judge the attack."""
INSIDE = 1 - 1e-4
"""Of a radius: float32 loses less when a move of 1/255 or more is added."""


class Hunt:
    """One model, one norm, one k."""

    def __init__(
        self, smoothed: Smoothed, certificates: Certificates, effort: Effort, n: int, reach: float, seed: int
    ) -> None:
        if not isinstance(smoothed.model, nn.Module):
            raise InputError(
                "an attack follows gradients, which only a torch module has; this model is a function, an estimator, "
                "an ONNX file or an endpoint"
            )
        self.model, self.noise = smoothed.model, smoothed.noise
        self.certificates, self.effort, self.reach = certificates, effort, reach
        self.plan = fixed(n, N0) if self.noise.outcomes is None else exhaustive(self.noise)
        self.sampler = smoothed.ready(certificates.shape)
        self.on_grid = smoothed.exact_arithmetic or self.noise.of_bytes
        self.device = next((weight.device for weight in self.model.parameters()), torch.device("cpu"))
        self.draw = NoiseSampler(self.noise, TensorSource(seed, self.device))
        self.seeds = itertools.count(FRESH + seed)

    def __call__(self, images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lengths found, infinite where nothing was, and the moved images, else as they were.

        `images`: float32 `(batch, *shape)` in [0, 1], those of the certificates `rows`.
        """
        hunt = self.by_changes if self.certificates.norm == "l0" else self.by_descent
        moved, hit = hunt(images, rows)
        moved = np.where(spread(hit, images), moved, images)
        return np.where(hit, self.lengths(images, moved), np.inf), moved

    # l1, l2, linf ------------------------------------------------------------------------------------

    def by_descent(self, images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Descent within larger and larger radii, until it succeeds; then back, as far as that goes."""
        certified, moved = self.certificates.radius[rows], images.copy()
        hit, factor = np.zeros(len(rows), dtype=bool), 1.0
        while factor <= self.reach and not hit.all():
            some = np.flatnonzero(~hit)
            moved[some] = self.descended(images[some], rows[some], factor * certified[some])
            hit[some] = self.out(moved[some], rows[some])
            factor *= GROWTH
        return self.shortened(images, moved, rows, hit), hit

    def descended(self, images: np.ndarray, rows: np.ndarray, radius: np.ndarray) -> np.ndarray:
        start, most = self.tensor(images), self.tensor((radius * INSIDE).astype(np.float32))
        move = descend(self.target(rows), start, self.certificates.norm, most)
        return self.rounded(images, (start + move).cpu().numpy())

    def shortened(
        self, images: np.ndarray, moved: np.ndarray, rows: np.ndarray, hit: np.ndarray
    ) -> np.ndarray:
        """The moves that hit, halved again and again; none that is longer than certified to one that is not."""
        if not hit.any():
            return moved
        length, certified = self.lengths(images, moved), self.certificates.radius[rows]
        low = np.where(length > certified, certified / np.maximum(length, 1e-30), 0.0)
        best = moved

        def stays(share: np.ndarray) -> np.ndarray:
            nonlocal best
            tried = self.rounded(
                images, (images + spread(share, images) * (moved - images)).astype(np.float32)
            )
            out = hit.copy()
            out[hit] = self.out(tried[hit], rows[hit])
            best = np.where(spread(out, images), tried, best)
            return ~out

        bisect(stays, low, np.ones(len(rows)), HALVINGS)
        return best

    # l0 ----------------------------------------------------------------------------------------------

    def by_changes(self, images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Changes in greedy order: as many as are certified first, then the least number that succeeds."""
        one = self.certificates
        channels = one.shape[0] if one.unit == "pixel" else 1
        certified = one.radius[rows].astype(int)
        most = min(int(self.reach * certified.max()), images[0].size // channels)
        order, ends = (
            part.cpu().numpy() for part in greedy(self.target(rows), self.tensor(images), channels, most)
        )
        place = np.full((len(rows), images[0].size // channels), most)
        np.put_along_axis(place, order, np.arange(most)[None], axis=1)

        def changed(count: np.ndarray) -> np.ndarray:
            which = np.repeat((place < count[:, None])[:, None], channels, axis=1).reshape(images.shape)
            return np.where(which, ends, images)

        high = np.minimum(certified, most)
        inside = self.out(changed(high), rows)
        low, high = np.where(inside, 0, high), np.where(inside, high, most)
        hit = self.out(changed(high), rows)
        low = np.where(hit, low, high - 1)
        return changed(bisect_whole(lambda count: ~self.out(changed(count), rows), low, high)[1]), hit

    # shared ------------------------------------------------------------------------------------------

    def out(self, moved: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Where fresh draws say that the label has left the top k, `(batch,)`."""
        data = DataSet(moved, None, self.certificates.index[rows])
        votes = self.sampler.vote(data, self.plan, next(self.seeds), (0, self.plan.n))
        return pushed_out(votes, self.certificates.label[rows], self.certificates.k)

    def target(self, rows: np.ndarray) -> Target:
        labels = torch.from_numpy(self.certificates.label[rows].astype(np.int64)).to(self.device)
        return Target(partial(logits_of, self.model), self.draw, labels, self.certificates.k, self.effort)

    def tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device)

    def rounded(self, images: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Moves rounded towards none, to whole grey levels, where certificates are about these alone."""
        if not self.on_grid:
            return moved
        levels = np.rint(images * GREY_LEVELS) + np.trunc((moved - images) * GREY_LEVELS)
        return (levels / GREY_LEVELS).astype(np.float32)

    def lengths(self, images: np.ndarray, moved: np.ndarray) -> np.ndarray:
        """Of moves, `(batch,)`, in the norm and the unit of the certificates."""
        size = np.abs(moved.astype(np.float64) - images)
        if self.on_grid:
            # whole grey levels: a move of two is 2/255 to the last digit, not what float32 leaves of it
            size = np.rint(size * GREY_LEVELS) / GREY_LEVELS
        if self.certificates.norm == "l0":
            channels = images.shape[1] if self.certificates.unit == "pixel" else 1
            return (size.reshape(len(size), channels, -1) > 0).any(axis=1).sum(axis=1).astype(float)
        return np.linalg.norm(size.reshape(len(size), -1), ORDERS[self.certificates.norm], axis=1)


def spread(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """One value an image, `(batch,)`, in the shape in which it meets images."""
    return values.reshape(-1, *[1] * (images.ndim - 1))
