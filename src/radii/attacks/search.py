"""Search for the shortest perturbation that removes a label from the top k: perturb, test, shorten."""

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

# Of 1,000 votes for two classes, 576 must be for the rival; of 100, 74; ten votes cannot reach it.
LEVEL = 1e-6
"""Error probability of one test whether a label left the top k; each image takes about ten tests."""

CHANCE = 1e-3
"""Significance level at which wrong certificates are more than their alpha explains."""

# Six radii up to the usual reach of 8: 1, 1.5, ... 7.6; bisection then shortens what a coarse step overshoots.
GROWTH = 1.5
"""Ratio of one search radius to the one before."""

# Each one is a test of the whole batch with fresh samples, at an error of `LEVEL`.
HALVINGS = 5
"""Bisection steps that shorten a perturbation: to 1/32 of the interval that is searched."""

FIRST_SEED = 2**40
"""First seed of the tests, above those that votes usually have.

Votes under the same seed chose the images to attack; their noise samples must not test the attack as well.
"""

INSIDE = 1 - 1e-4
"""Factor on search radii: rounding a perturbation of 1/255 or more to float32 adds less to its length."""


class PerturbationSearch:
    """Search in the norm and for the k of some certificates."""

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
        # fresh noise samples for each test: those of earlier tests have chosen the perturbation
        self.seeds = itertools.count(FIRST_SEED + seed)

    def __call__(self, images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the lengths of the perturbations found, infinite without one, and the images, perturbed or not.

        `images`: float32 `(batch, *shape)` in [0, 1], those of the certificates in `rows`.
        """
        search = self.by_greedy_changes if self.certificates.norm == "l0" else self.by_descent
        perturbed, success = search(images, rows)
        perturbed = np.where(per_image(success, images), perturbed, images)
        return np.where(success, self.lengths(images, perturbed), np.inf), perturbed

    # l1, l2, linf ------------------------------------------------------------------------------------

    def by_descent(self, images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Descend within increasing radii until the label is lost; then shorten the perturbation.

        Returns the perturbed images and where that succeeded, `(batch,)`.
        """
        certified, perturbed = self.certificates.radius[rows], images.copy()
        success, factor = np.zeros(len(rows), dtype=bool), 1.0
        while factor <= self.reach and not success.all():
            # from the smallest radius up: steps grow with the ball, so that a large one overshoots the nearest
            # perturbation
            left = np.flatnonzero(~success)
            perturbed[left] = self.descend_within(images[left], rows[left], factor * certified[left])
            success[left] = self.label_lost(perturbed[left], rows[left])
            factor *= GROWTH
        return self.shorten(images, perturbed, rows, success), success

    def descend_within(self, images: np.ndarray, rows: np.ndarray, radius: np.ndarray) -> np.ndarray:
        """Return images perturbed within `radius`, `(batch,)`."""
        clean, limit = self.tensor(images), self.tensor((radius * INSIDE).astype(np.float32))
        delta = descend(self.target(rows), clean, self.certificates.norm, limit)
        return self.round_to_grid(images, (clean + delta).cpu().numpy())

    def shorten(
        self, images: np.ndarray, perturbed: np.ndarray, rows: np.ndarray, success: np.ndarray
    ) -> np.ndarray:
        """Return the perturbed images, with perturbations shortened by bisection where `success`."""
        if not success.any():
            return perturbed
        length, certified = self.lengths(images, perturbed), self.certificates.radius[rows]
        # where descent within the certified radius failed, only lengths above it are tried; 1e-30: no division by 0
        low = np.where(length > certified, certified / np.maximum(length, 1e-30), 0.0)
        best = perturbed

        def label_stays(share: np.ndarray) -> np.ndarray:
            # each image keeps the last perturbation that passed a test: `bisect` returns shares, and a test of the
            # final one would need fresh samples once more
            nonlocal best
            shorter = images + per_image(share, images) * (perturbed - images)
            shorter = self.round_to_grid(images, shorter.astype(np.float32))
            lost = success.copy()
            lost[success] = self.label_lost(shorter[success], rows[success])
            best = np.where(per_image(lost, images), shorter, best)
            return ~lost

        bisect(label_stays, low, np.ones(len(rows)), HALVINGS)
        return best

    # l0 ----------------------------------------------------------------------------------------------

    def by_greedy_changes(self, images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Change units in greedy order: first as many as are certified, then the least number that succeeds.

        Returns the perturbed images and where that succeeded, `(batch,)`.
        """
        channels = self.certificates.shape[0] if self.certificates.unit == "pixel" else 1
        units = images[0].size // channels
        # one greedy order serves all counts: its first changes are the perturbation of any smaller count
        certified = self.certificates.radius[rows].astype(int)
        most = min(int(self.reach * certified.max()), units)
        order, ends = (
            part.cpu().numpy() for part in greedy(self.target(rows), self.tensor(images), channels, most)
        )
        # units that were never chosen have a rank beyond all counts
        rank = np.full((len(rows), units), most)
        np.put_along_axis(rank, order, np.arange(most)[None], axis=1)

        def change(count: np.ndarray) -> np.ndarray:
            changed = np.repeat((rank < count[:, None])[:, None], channels, axis=1).reshape(images.shape)
            return np.where(changed, ends, images)

        def label_stays(count: np.ndarray) -> np.ndarray:
            return ~self.label_lost(change(count), rows)

        # first within the certified radius, where success would refute the certificate
        high = np.minimum(certified, most)
        within = ~label_stays(high)
        low, high = np.where(within, 0, high), np.where(within, high, most)
        success = ~label_stays(high)
        # without success the bracket is closed, and bisection has nothing to test
        low = np.where(success, low, high - 1)
        return change(bisect_whole(label_stays, low, high)[1]), success

    # shared ------------------------------------------------------------------------------------------

    def label_lost(self, perturbed: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return where fresh noise samples show that the label left the top k, `(batch,)`."""
        # the images' own positions choose their random streams, so that seeds alone tell tests apart
        data = DataSet(perturbed, None, self.certificates.index[rows])
        votes = self.sampler.vote(data, self.plan, next(self.seeds), (0, self.plan.n))
        return left_top_k(votes, self.certificates.label[rows], self.certificates.k)

    def target(self, rows: np.ndarray) -> Target:
        labels = torch.from_numpy(self.certificates.label[rows].astype(np.int64)).to(self.device)
        return Target(partial(logits_of, self.model), self.draw, labels, self.certificates.k, self.effort)

    def tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device)

    def round_to_grid(self, images: np.ndarray, perturbed: np.ndarray) -> np.ndarray:
        """Round perturbations towards 0 to whole grey levels, where certificates are about 8-bit images alone."""
        if not self.on_grid:
            return perturbed
        # towards 0, since rounding to the nearest could leave the search radius
        levels = np.rint(images * GREY_LEVELS) + np.trunc((perturbed - images) * GREY_LEVELS)
        return (levels / GREY_LEVELS).astype(np.float32)

    def lengths(self, images: np.ndarray, perturbed: np.ndarray) -> np.ndarray:
        """Return the lengths of perturbations, `(batch,)`, in the norm and the unit of the certificates."""
        size = np.abs(perturbed.astype(np.float64) - images)
        if self.on_grid:
            # whole grey levels: two of them are 2/255 to the last digit, not what float32 leaves of that
            size = np.rint(size * GREY_LEVELS) / GREY_LEVELS
        if self.certificates.norm == "l0":
            channels = images.shape[1] if self.certificates.unit == "pixel" else 1
            return (size.reshape(len(size), channels, -1) > 0).any(axis=1).sum(axis=1).astype(float)
        return np.linalg.norm(size.reshape(len(size), -1), ORDERS[self.certificates.norm], axis=1)


def per_image(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Return values `(batch,)` in a shape that broadcasts against `images`."""
    return values.reshape(-1, *[1] * (images.ndim - 1))


def left_top_k(votes: Votes, labels: np.ndarray, k: int) -> np.ndarray:
    """Return where at least `k` other classes are more probable than the label, `(images,)`.

    The k rivals are those of the selection samples. Each must win the one-sided binomial test against the label. All
    must win at `LEVEL`, so the test of their intersection has that level without a correction. Votes on all outcomes
    need no test.

    Guarantee: True with probability at most 1e-6 for an image with fewer classes that are more probable.
    """
    rows = np.arange(len(labels))
    own = votes.counts[rows, labels]
    if votes.plan.outcomes:
        return np.asarray((votes.counts > own[:, None]).sum(axis=1) >= k)
    # rivals from separate samples: chosen by the votes that test them, they would win more often than by chance
    others = votes.selection.astype(np.float64)
    others[rows, labels] = -1
    rivals = np.argsort(-others, axis=1, kind="stable")[:, :k]
    theirs = np.take_along_axis(votes.counts, rivals, axis=1)
    return np.asarray((sign_test(theirs, own[:, None]) <= LEVEL).all(axis=1))


def exceeds_chance(wrong: int, certified: int, alpha: float) -> bool:
    """Return whether `wrong` of `certified` certificates are too many for an error probability of `alpha` each."""
    return wrong > 0 and bool(bdtrc(wrong - 1, certified, alpha) < CHANCE)
