"""A run: draw what is missing of the parts of some votes, then put them together."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import randrange

from radii.engine.job import Job, Moved
from radii.engine.parts import Gone, Parts, RunManifest
from radii.engine.units import Unit, usual_block
from radii.errors import InputError, RadiiWarning
from radii.sampling.sampler import Progress
from radii.votes import Votes, merge, plan_of

ROUNDS = 5
"""Times that parts which are missing after all are drawn again."""


class Executor(ABC):
    """Who draws the units of a job."""

    @abstractmethod
    def manifest(self) -> RunManifest:
        """The manifest of the run, with a block that is not chosen yet."""

    @abstractmethod
    def draw(self, units: Iterator[Unit], moved: Moved) -> Iterator[tuple[Unit, bytes]]:
        """Units as they are done, in any order, with the content of their files. Takes a unit when it starts it."""


class Here(Executor):
    """This process, one unit after the other."""

    def __init__(self, job: Job) -> None:
        self.drawing = job.start()

    def manifest(self) -> RunManifest:
        return self.drawing.manifest()

    def draw(self, units: Iterator[Unit], moved: Moved) -> Iterator[tuple[Unit, bytes]]:
        for unit in units:
            yield unit, self.drawing.draw(unit, moved)


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count` of the work, from 1."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(f"a shard is one of 1/N to N/N; got {self.number}/{self.count}")

    def of(self, units: Sequence[Unit]) -> list[Unit]:
        """Its units: neighbours go to different shards, so that all end at about the same time."""
        return list(units[self.number - 1 :: self.count])


def run(
    executor: Executor,
    parts: Parts,
    *,
    shard: Shard | None = None,
    block: int | None = None,
    finished: Callable[[], bool] = lambda: False,
    progress: Progress | None = None,
) -> Votes | None:
    """Draw all units of a run, or those of a shard, that have no part yet; the votes, or None for a shard.

    `block`: noisy copies of a unit, if the run is new. `finished`: whether another process has finished the same run
    meanwhile, and cleared the folder; then None.

    Guarantee: the same votes whoever drew which unit and however often it was interrupted; a part that is damaged is
    drawn again and never used.
    """
    manifest, stored = executor.manifest(), parts.stored()
    if block is None and stored is not None:
        block = stored.block
    if block is None:
        block = usual_block(plan_of(manifest.votes["plan"]), len(manifest.index), shard.count if shard else 1)
    manifest = replace(manifest, block=block)
    units = manifest.units()
    mine = units if shard is None else shard.of(units)
    try:
        parts.begin(manifest)
        for again in range(ROUNDS):
            held = parts.held(mine)
            if held and not again:
                warnings.warn(
                    RadiiWarning(f"{len(held)} of {len(mine)} parts were drawn before"), stacklevel=2
                )
            missing = [unit for unit in mine if unit.number not in held]
            if not missing:
                return merge(list(held.values())) if shard is None else None
            track = Track(missing, progress)
            for unit, content in executor.draw(_to_draw(missing, parts, finished), track.moved):
                parts.save(unit, content)
                track.moved(unit, unit.size)
    except Gone:
        return None
    raise InputError(
        f"parts in {parts.folder.address('')} are lost or damaged again and again: check the disk"
    )


def _to_draw(missing: list[Unit], parts: Parts, finished: Callable[[], bool]) -> Iterator[Unit]:
    """Units that nobody else has drawn meanwhile. Several processes in one folder start at different ones."""
    start = randrange(len(missing))
    for unit in missing[start:] + missing[:start]:
        if finished():
            raise Gone
        if not parts.has(unit):
            yield unit


class Track:
    """How much of some units is done."""

    def __init__(self, units: Sequence[Unit], progress: Progress | None) -> None:
        self._total = sum(unit.size for unit in units)
        self._each: dict[int, int] = {}
        self._done = 0
        self._progress = progress

    def moved(self, unit: Unit, done: int) -> None:
        """So much of the size of a unit is done."""
        more = done - self._each.get(unit.number, 0)
        self._each[unit.number] = done
        self._done += more
        if more and self._progress is not None:
            self._progress(self._done, self._total)
