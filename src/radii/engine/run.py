"""A run: sample the missing parts of some votes, then merge all parts."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import randrange

from radii.engine.job import Job, ReportUnit
from radii.engine.parts import Parts, RunFinished, RunManifest
from radii.engine.units import Unit, default_block
from radii.errors import InputError, RadiiWarning
from radii.sampling.sampler import Progress
from radii.votes import Votes, merge, plan_of

ROUNDS = 5
"""Times that missing parts are sampled: a part can be damaged or lost after it was written."""


class Executor(ABC):
    """Where the units of a job are sampled: in this process, in worker processes or on a cluster."""

    @abstractmethod
    def manifest(self) -> RunManifest:
        """Return the manifest of the run, with its block still to be chosen."""

    @abstractmethod
    def sample(self, units: Iterator[Unit], report: ReportUnit) -> Iterator[tuple[Unit, bytes]]:
        """Yield finished units, in any order, with the content of their files.

        A unit is taken from `units` only when it starts: by then another process may have stored it.
        """


class LocalExecutor(Executor):
    """This process, one unit after the other."""

    def __init__(self, job: Job) -> None:
        self.loaded = job.start()

    def manifest(self) -> RunManifest:
        return self.loaded.manifest()

    def sample(self, units: Iterator[Unit], report: ReportUnit) -> Iterator[tuple[Unit, bytes]]:
        for unit in units:
            yield unit, self.loaded.sample(unit, report)


@dataclass(frozen=True)
class Shard:
    """Share `number` of `count` of the work, counted from 1."""

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(f"a shard is one of 1/N to N/N; got {self.number}/{self.count}")

    def of(self, units: Sequence[Unit]) -> list[Unit]:
        """Return the units of this shard: every `count`-th, so that all shards end at about the same time."""
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
    """Sample all units of a run, or those of a shard, that have no part yet.

    Parameters
    ----------
    executor : where units are sampled
    parts : where their votes are stored
    shard : the share of the work, None for all
    block : noise samples per unit, if the run is new
    finished : whether another process has finished the same run meanwhile, and cleared the folder
    progress : called as `progress(done, total)`

    Returns
    -------
    Votes, or None
        None for a shard, and if another process finished the run.

    Raises
    ------
    InputError
        If the folder holds parts of another run, or parts are damaged again and again.

    Notes
    -----
    Guarantee: the same votes whichever process sampled which unit and however often the run was interrupted. A damaged
    part is sampled again and never used.
    """
    manifest, stored = executor.manifest(), parts.stored()
    # a run goes on with the block that it was started with, or its parts would not fit
    if block is None and stored is not None:
        block = stored.block
    if block is None:
        shards = shard.count if shard else 1
        block = default_block(plan_of(manifest.votes["plan"]), len(manifest.index), shards)
    manifest = replace(manifest, block=block)
    units = manifest.units() if shard is None else shard.of(manifest.units())
    try:
        parts.begin(manifest)
        for attempt in range(ROUNDS):
            # read again in each round: only parts that were read back intact count
            votes = parts.load(units)
            if votes and not attempt:
                warnings.warn(
                    RadiiWarning(f"{len(votes)} of {len(units)} parts were sampled before"), stacklevel=2
                )
            missing = [unit for unit in units if unit.number not in votes]
            if not missing:
                return merge(list(votes.values())) if shard is None else None
            # of the missing units only: the pace of parts that were there would predict the time left wrongly
            tracker = ProgressTracker(missing, progress)
            for unit, content in executor.sample(_not_stored(missing, parts, finished), tracker.update):
                # before it is stored: parts of another model would have to be removed by hand
                parts.check(unit, content)
                parts.save(unit, content)
                # executors need not report progress within a unit
                tracker.update(unit, unit.size)
    except RunFinished:
        return None
    raise InputError(
        f"parts in {parts.folder.address('')} are lost or damaged again and again: check the disk"
    )


def _not_stored(missing: list[Unit], parts: Parts, finished: Callable[[], bool]) -> Iterator[Unit]:
    """Yield the units that no other process has stored meanwhile."""
    # processes that share a folder start at different units, and so seldom sample the same one
    start = randrange(len(missing))
    for unit in missing[start:] + missing[:start]:
        if finished():
            raise RunFinished
        if not parts.has(unit):
            yield unit


class ProgressTracker:
    """Sums the progress of units, which come in any order, and reports it."""

    def __init__(self, units: Sequence[Unit], progress: Progress | None) -> None:
        self._total = sum(unit.size for unit in units)
        self._done_of: dict[int, int] = {}
        self._done = 0
        self._progress = progress

    def update(self, unit: Unit, done: int) -> None:
        """Record how much of the size of a unit is done."""
        # negative where a lost worker's unit starts again
        more = done - self._done_of.get(unit.number, 0)
        self._done_of[unit.number] = done
        self._done += more
        if more and self._progress is not None:
            self._progress(self._done, self._total)
