"""What all trials of the soak share: a trained run, its votes without any fault, and a votes file to attack."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from driven import Command, Ended
from patience import wait_until

IMAGES, DRAWS, SELECTION, BLOCK = 16, 4000, 20, 200
LINE = ("--limit", IMAGES, "--n", DRAWS, "--n0", SELECTION)
RESUMED = "parts were sampled before"


class NotSurvived(Exception):
    """What a fault did that it must not do."""


def expect(fine: object, words: str) -> None:
    if not fine:
        raise NotSurvived(words)


@dataclass
class Soak:
    """What all trials share: a trained run, the votes that nothing interrupted, and the parts they are made of."""

    folder: Path
    rng: random.Random
    deadline: float
    start: float = 0.0
    whole: bytes = b""
    commands: list[Command] = field(default_factory=list)

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def over(self) -> bool:
        return time.monotonic() > self.deadline

    def call(self, *arguments: object, **how) -> Command:
        """Start a command of radii."""
        return self.python("-m", "radii", *arguments, **how)

    def python(self, *arguments: object, **how) -> Command:
        self.commands.append(Command(*arguments, log=self.folder / f"log-{len(self.commands)}", **how))
        return self.commands[-1]

    def prepare(self) -> None:
        """Train, vote without any fault, keep all parts, and learn how long a command takes until it draws."""
        fine(self.call("train", "--data", "digits", "--epochs", 2, "--out", self.run))
        fine(self.call("vote", self.run, *LINE, "--out", self.folder / "whole.parquet"))
        self.whole = (self.folder / "whole.parquet").read_bytes()
        begun = time.monotonic()
        out = self.folder / "stock.parquet"
        stock = self.call("vote", self.run, *LINE, "--part-size", BLOCK, "--shard", "1/1", "--out", out)
        wait_until(lambda: list(self.folder.glob("stock.parts/part-*")) or not stock.alive)
        self.start = time.monotonic() - begun
        fine(stock)
        fine(self.call("merge", self.folder / "stock.parts"))
        expect(out.read_bytes() == self.whole, "merged parts differ from votes drawn at once")


def fine(command: Command, *, damaged: bool = False) -> Ended:
    """The end of a command that nothing kept from its work: a success, and at most notes."""
    ended = command.wait()
    expect(ended.status == 0, f"exit status {ended.status}: {ended.err}")
    expect(all(line.startswith("radii: note: ") for line in ended.err.splitlines()), ended.err)
    expect(damaged or "damaged" not in ended.err, ended.err)
    return ended


class Trial:
    """One votes file that faults come over.

    `faults`: how many of each kind; `fatal`: those that were not survived; `whole`: the votes without any fault, None
    if the trial draws no votes.
    """

    def __init__(self, soak: Soak, number: int) -> None:
        self.soak, self.rng = soak, soak.rng
        self.folder = soak.folder / f"trial-{number}"
        self.out, self.parts = self.folder / "votes.parquet", self.folder / "votes.parts"
        self.faults: Counter[str] = Counter()
        self.fatal: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.whole: bytes | None = soak.whole

    @contextmanager
    def strike(self, words: str) -> Iterator[None]:
        """Count a fault; note what it must not do, and go on with the next one."""
        self.faults[words] += 1
        try:
            yield
        except NotSurvived as error:
            self.fatal[words] += 1
            self.complaints.append(f"{words}: {error}")

    def stocked(self, share: float) -> "Trial":
        """The same with a share of its parts drawn already."""
        stock = self.soak.folder / "stock.parts"
        names = sorted(path.name for path in stock.glob("part-*"))
        self.parts.mkdir(parents=True)
        for name in ["law.json", *self.rng.sample(names, round(share * len(names)))]:
            shutil.copy(stock / name, self.parts)
        return self

    def vote(self, *more: object, **how) -> Command:
        """Start the command that draws these votes."""
        return self.soak.call(
            "vote", self.soak.run, *LINE, "--part-size", BLOCK, "--out", self.out, *more, **how
        )

    def drawn(self) -> list[Path]:
        return sorted(self.parts.glob("part-*"))

    def missing(self) -> int:
        return len(list(self.soak.folder.glob("stock.parts/part-*"))) - len(self.drawn())

    def goes_on(self, command: Command, parts: int) -> bool:
        """Whether a command has at least so many parts left to draw."""
        return command.alive and not self.out.exists() and self.missing() >= parts

    def pause(self, most: float) -> None:
        time.sleep(self.rng.uniform(0, most))

    def moment(self, command: Command, left: int) -> None:
        """Wait for a random moment in the life of a command, so that `left` more of them may follow."""
        if self.rng.random() < 0.3:
            self.pause(self.soak.start)
            return
        before = set(self.drawn())
        more = self.rng.randint(1, 1 + 2 * self.missing() // (left + 10))
        wait_until(lambda: len(set(self.drawn()) - before) >= more or not command.alive)
        self.pause(0.1)

    def finish(self, *more: object, damaged: bool = False, **how) -> str:
        """Let the command go on to its end; what it said."""
        said = ""
        if not self.out.exists():
            said = fine(self.vote(*more, **how), damaged=damaged).err
            expect(not self.parts.exists(), "parts are left although the votes are there")
        expect(self.out.exists(), "no votes file")
        expect(self.out.read_bytes() == self.whole, "another votes file")
        return said
