"""Work split into units: some draws of some images each. Every process that has the manifest gets the same list."""

from dataclasses import dataclass
from itertools import pairwise

from radii.errors import InputError
from radii.votes.plans import Plan

BLOCK = 2**14
"""Noise samples per unit by default, unless that makes more than `MOST_UNITS`."""

MOST_UNITS = 4096
"""Units by default, at most: each is a file, and folders are listed often."""

UNIT_LIMIT = 10**6
"""Units of any run, at most: a block, or a manifest, that makes more is rejected before they fill the memory."""

TYPICAL_SAMPLES = 256
"""Noise samples per image that plans which stop early are assumed to take."""

REPEATED = 9
"""Draws of a unit per selection sample, at least.

Each unit of an image repeats the selection samples, which are then at most a tenth of its work.
"""


@dataclass(frozen=True)
class Unit:
    """A unit of work: images in rows `first` to `stop - 1`, and their `draws`, a range, or None for all of a plan.

    `size`: its amount of work, in noise samples under a fixed plan, else in images.
    """

    number: int
    first: int
    stop: int
    draws: tuple[int, int] | None
    size: int

    @property
    def rows(self) -> slice:
        """The rows of its images."""
        return slice(self.first, self.stop)

    @property
    def name(self) -> str:
        """The name of the file for its votes."""
        return f"part-{self.number:05d}.parquet"


def default_block(plan: Plan, images: int, shards: int = 1) -> int:
    """Return the noise samples per unit: small units, but not too many, and several for each shard."""
    total = images * (plan.per_image or TYPICAL_SAMPLES)
    block = max(BLOCK, -(-total // MOST_UNITS))
    # four units per shard, so that shards differ little in size
    return block if shards == 1 else max(1, min(block, total // (4 * shards)))


def split_work(plan: Plan, images: int, block: int) -> list[Unit]:
    """Return all units of a run, of about `block` noise samples each; every draw of every image is in one of them."""
    if block < 1:
        raise InputError(f"a block of work must be at least one noise sample; got {block}")
    # whole images as far as they fit, since every unit of an image repeats its selection samples
    each = plan.per_image or TYPICAL_SAMPLES
    step = max(1, block // each)
    # before the list is built
    if images * each / block > UNIT_LIMIT:
        raise InputError(
            f"blocks of {block} noise samples cut this work into too many units: take larger ones"
        )
    units: list[Unit] = []
    for first in range(0, images, step):
        stop = min(first + step, images)
        for draws in split_draws(plan, block):
            size = 1 if draws is None else draws[1] - draws[0] + plan.selection
            units.append(Unit(len(units), first, stop, draws, (stop - first) * size))
    return units


def split_draws(plan: Plan, block: int) -> list[tuple[int, int] | None]:
    """Return the draws of an image as ranges of about the same length that fit into units of `block` noise samples."""
    # a plan that stops early decides from all draws of an image, in one process
    if plan.per_image is None:
        return [None]
    most = max(block - plan.selection, REPEATED * plan.selection, 1)
    # rounded up, and equal to within one draw: a short last piece would repeat the selection samples for little
    count = -(-plan.n_max // most)
    return list(pairwise(plan.n_max * piece // count for piece in range(count + 1)))
