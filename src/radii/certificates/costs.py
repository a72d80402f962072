"""Costs of voting on a whole data set: forward passes of the model, time, money, and the size of the votes file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radii.errors import InputError
from radii.noises import Noise, full_name
from radii.votes import Votes
from radii.votes.plans import Sequential
from radii.votes.plans.fixed import check_whole

FEWEST_PILOTS = 2
"""Images of a pilot: a standard error needs two."""

# Measured on stored votes and on made-up ones like them. tests/certificates/test_costs.py holds predictions within a
# factor of 2 of files as written, for 10 and 1000 classes and 1000 to 100,000 samples per image.
HEADER, CLASS_NAME, ROW = 2500, 15, 4
"""Bytes of the header, of the name of a class, and of the columns other than counts per image."""
OVERHEAD = 1.3
"""Bytes of stored counts over those of an ideal code."""
LEAST = 1e-9
"""Least passes per second and least price, so that their quotients stay finite."""


@dataclass(frozen=True)
class Work:
    """Votes of a model of `classes` classes on `images` images.

    `samples`, `(kinds,)`: mean noise samples per image of each kind of image, all kinds equally frequent; one number
    for a fixed plan. `selection`: separate samples of every image.
    """

    images: int
    classes: int
    samples: Sequence[float]
    selection: int = 0

    def __post_init__(self) -> None:
        check_whole("images", self.images, 1)
        check_whole("classes", self.classes, 2)
        check_whole("selection", self.selection, 0)

    @property
    def passes_per_image(self) -> float:
        """Mean forward passes per image, one for each noise sample."""
        return float(np.mean(self.samples)) + self.selection

    @property
    def passes(self) -> float:
        """Forward passes in all."""
        return self.images * self.passes_per_image

    @property
    def file_bytes(self) -> float:
        """Approximate size of the votes file; see `counts_bytes`."""
        counts = float(np.mean([counts_bytes(self.classes, samples) for samples in self.samples]))
        row = ROW + counts + counts_bytes(self.classes, self.selection)
        return HEADER + CLASS_NAME * self.classes + self.images * row


@dataclass(frozen=True)
class Devices:
    """Devices that share the work evenly, each with `pace` forward passes per second, at `price` per hour."""

    pace: float
    number: int = 1
    price: float | None = None

    def __post_init__(self) -> None:
        check_whole("devices", self.number, 1)
        # written so that NaN fails, too
        for name, value in (("passes per second", self.pace), ("price", self.price)):
            if value is not None and not LEAST <= value < math.inf:
                raise InputError(f"{name} must be a finite number above 0; got {value!r}")

    def hours(self, passes: float) -> float:
        """Return the device-hours: the hours that one device would take."""
        return passes / self.pace / 3600

    def seconds(self, passes: float) -> float:
        """Return the seconds until the work is done."""
        return passes / self.pace / self.number

    def money(self, passes: float) -> float | None:
        """Return the price of the device-hours, in the currency of `price`; None without a price."""
        return None if self.price is None else self.hours(passes) * self.price


def counts_bytes(classes: int, samples: float) -> float:
    """Return about how many bytes the counts of one image take in a votes file, within a factor of 2.

    They tell which classes had votes, and how many each. Networks trained under noise vote for few classes, of a
    thousand for 12 in 100 samples and 95 in 100,000. For a network that votes for hundreds, counts take five times
    as much.
    """
    if not samples:
        return 0.0
    # 3 n^0.3 is a fit to those two numbers, 12 and 95. An ideal code takes the entropy of a subset of this size and a
    # composition of the samples into as many parts: at most m log2(e N / m) each.
    shown = min(classes, 3 * samples**0.3)
    bits = shown * (math.log2(math.e * classes / shown) + math.log2(math.e * samples / shown))
    return OVERHEAD * bits / 8


def mean_samples(plan: Sequential, p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the mean number of samples for labels of probabilities `p`, `(labels,)` to `(labels,)`, not simulated."""
    # labels share probabilities, such as those of a grid or of a pilot, and characteristics cost a recursion over looks
    values, which = np.unique(np.asarray(p, dtype=np.float64), return_inverse=True)
    return np.array([plan.operating_characteristics(float(value)).mean_samples for value in values])[which]


def pilot_shares(votes: Votes, noise: Noise, shape: tuple[int, ...]) -> np.ndarray:
    """Return the shares of the true labels in the votes of a pilot run, `(images,)`: estimates of probabilities.

    Raises `InputError` unless the pilot has the noise and shape of the plan, true labels, and the same number of
    samples of every image: images that stopped early did so because of their votes, whose shares are then biased.
    """
    if votes.plan.per_image is None:
        raise InputError(
            "a pilot must have as many samples of every image: vote with --n 1000, without radii"
        )
    if votes.labels is None:
        raise InputError(
            "a pilot must have true labels, whose votes are counted; this one has none: vote on images with labels"
        )
    if (votes.noise, votes.shape) != (noise, shape):
        options = f"--noise {full_name(votes.noise)} --shape {','.join(map(str, votes.shape))}"
        raise InputError(
            f"the pilot was run under other noise, or on images of another shape: plan with {options}"
        )
    if len(votes) < FEWEST_PILOTS:
        raise InputError(f"a pilot needs at least {FEWEST_PILOTS} images; this one has {len(votes)}")
    return votes.counts[np.arange(len(votes)), votes.labels] / votes.n


def standard_error(samples: Sequence[float] | np.ndarray) -> float:
    """Return the standard error of the mean of a pilot's samples per image, as a share of that mean."""
    # ddof=1, since the mean is that of the same images
    return float(np.std(samples, ddof=1) / math.sqrt(len(samples)) / np.mean(samples))
