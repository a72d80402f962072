"""What votes on a whole data set cost: passes of the model, time, money, and the size of the file."""

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
"""Images of a pilot, so that it says how much they differ."""

# Measured on stored votes and on made-up ones like them; see tests/certificates/test_costs.py before you change them.
HEADER, CLASS_NAME, ROW = 2500, 15, 4
OVERHEAD = 1.3
LEAST = 1e-9
"""Of paces and prices."""


@dataclass(frozen=True)
class Work:
    """Votes of a model of `classes` on `images` images.

    `draws`, `(kinds,)`: the mean number of draws of an image of each kind, all kinds equally frequent; one for a fixed
    plan. `selection`: separate draws of every image.
    """

    images: int
    classes: int
    draws: Sequence[float]
    selection: int = 0

    def __post_init__(self) -> None:
        check_whole("images", self.images, 1)
        check_whole("classes", self.classes, 2)
        check_whole("selection", self.selection, 0)

    @property
    def passes_per_image(self) -> float:
        """How often the model is asked about an image, on average."""
        return float(np.mean(self.draws)) + self.selection

    @property
    def passes(self) -> float:
        """How often the model is asked in all."""
        return self.images * self.passes_per_image

    @property
    def file_bytes(self) -> float:
        """About how large the file will be: see `counts_bytes`."""
        counts = float(np.mean([counts_bytes(self.classes, one) for one in self.draws]))
        row = ROW + counts + counts_bytes(self.classes, self.selection)
        return HEADER + CLASS_NAME * self.classes + self.images * row


@dataclass(frozen=True)
class Devices:
    """So many devices that share the work evenly: each makes `pace` passes a second and costs `price` an hour."""

    pace: float
    number: int = 1
    price: float | None = None

    def __post_init__(self) -> None:
        check_whole("devices", self.number, 1)
        for name, value in (("passes per second", self.pace), ("price", self.price)):
            if value is not None and not LEAST <= value < math.inf:
                raise InputError(f"{name} must be a finite number above 0; got {value!r}")

    def hours(self, passes: float) -> float:
        """Device-hours: the hours that one device would take."""
        return passes / self.pace / 3600

    def seconds(self, passes: float) -> float:
        """Seconds until the work is done."""
        return passes / self.pace / self.number

    def money(self, passes: float) -> float | None:
        """What the device-hours cost, in the currency of the price."""
        return None if self.price is None else self.hours(passes) * self.price


def counts_bytes(classes: int, draws: float) -> float:
    """About how many bytes of a votes file the counts of one image take, within a factor of 2.

    They say which classes were shown, and how often each. Networks trained under noise show few classes, and new ones
    ever more rarely: of a thousand, 12 in 100 draws, 95 in 100,000. Who shows hundreds takes five times as much.
    """
    if not draws:
        return 0.0
    shown = min(classes, 3 * draws**0.3)
    bits = shown * (math.log2(math.e * classes / shown) + math.log2(math.e * draws / shown))
    return OVERHEAD * bits / 8


def mean_samples(plan: Sequential, p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Mean draws of the plan for labels of probabilities `p`, `(labels,)` to `(labels,)`: exact."""
    values, which = np.unique(np.asarray(p, dtype=np.float64), return_inverse=True)
    return np.array([plan.operating_characteristics(float(value)).mean_samples for value in values])[which]


def pilot_shares(votes: Votes, noise: Noise, shape: tuple[int, ...]) -> np.ndarray:
    """Probabilities of the true labels as a pilot run estimates them, `(images,)`: their shares of its votes.

    The pilot must be of the model, noise and shape of images that the plan is for, with as many draws of every image:
    who stopped early did so because of the votes, whose shares then mislead.
    """
    if votes.plan.per_image is None:
        raise InputError("a pilot must have as many draws of every image: vote with --n 1000, without radii")
    if votes.labels is None:
        raise InputError("a pilot must know the true labels, whose votes are counted; this one has none")
    if (votes.noise, votes.shape) != (noise, shape):
        of = f"--noise {full_name(votes.noise)} --shape {','.join(map(str, votes.shape))}"
        raise InputError(
            f"the pilot was run under other noise, or on images of another shape: plan with {of}"
        )
    if len(votes) < FEWEST_PILOTS:
        raise InputError(f"a pilot needs at least {FEWEST_PILOTS} images; this one has {len(votes)}")
    return votes.counts[np.arange(len(votes)), votes.labels] / votes.n


def standard_error(draws: Sequence[float] | np.ndarray) -> float:
    """By how much the mean over all images may differ from that over a pilot's, as a share of it."""
    return float(np.std(draws, ddof=1) / math.sqrt(len(draws)) / np.mean(draws))
