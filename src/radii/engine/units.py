"""Work cut into units: some draws of some images each, the same list for everyone who knows the run."""

from dataclasses import dataclass
from itertools import pairwise

from radii.errors import InputError
from radii.votes.plans import Plan

BLOCK = 2**14
"""Noisy copies of a unit, unless that makes more than `MOST` units."""
MOST = 4096
FAR_TOO_MANY = 10**6

USUAL = 256
"""Copies that an image is taken to need, by plans that stop when they know enough."""

REPEATED = 9
"""A unit has at least so many times as many draws as selection draws, which each unit of an image repeats."""


@dataclass(frozen=True)
class Unit:
    """Images in rows `first` to `stop - 1`; `draws` of them, a range, or None for all that a plan takes.

    `size`: how much of the work it is, in noisy copies under a fixed plan, else in images.
    """

    number: int
    first: int
    stop: int
    draws: tuple[int, int] | None
    size: int

    @property
    def rows(self) -> slice:
        """The images."""
        return slice(self.first, self.stop)

    @property
    def name(self) -> str:
        """Of the file that holds its votes."""
        return f"part-{self.number:05d}.parquet"


def usual_block(plan: Plan, images: int, shards: int = 1) -> int:
    """Noisy copies of a unit: small units, but not too many, and several for each shard."""
    total = images * (plan.per_image or USUAL)
    block = max(BLOCK, -(-total // MOST))
    return block if shards == 1 else max(1, min(block, total // (4 * shards)))


def cut(plan: Plan, images: int, block: int) -> list[Unit]:
    """All units of a run, of about `block` noisy copies each; every draw of every image is in one of them."""
    if block < 1:
        raise InputError(f"a block of work must be at least one noisy copy; got {block}")
    each = plan.per_image or USUAL
    step = max(1, block // each)
    if images * each / block > FAR_TOO_MANY:
        raise InputError(
            f"blocks of {block} noisy copies cut this work into too many units: take larger ones"
        )
    units: list[Unit] = []
    for first in range(0, images, step):
        stop = min(first + step, images)
        for draws in ranges(plan, block):
            copies = 1 if draws is None else draws[1] - draws[0] + plan.selection
            units.append(Unit(len(units), first, stop, draws, (stop - first) * copies))
    return units


def ranges(plan: Plan, block: int) -> list[tuple[int, int] | None]:
    """The draws of an image, as ranges of about the same length that a unit has room for."""
    if plan.per_image is None:
        return [None]
    most = max(block - plan.selection, REPEATED * plan.selection, 1)
    count = -(-plan.n_max // most)
    return list(pairwise(plan.n_max * piece // count for piece in range(count + 1)))
