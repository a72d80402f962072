"""Hostile files of every kind that radii reads: each ends in one sentence, or in the right answer.

A file that differs may be another valid file. Then its votes must differ in what they name: model, images or noise.
"""

import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np

from fuzz_factory import SPECIAL, drawn_edits, edited, put_special
from radii.votes import decode_votes
from soak.bait import BAITS, Answer, Bait, answer, write_baits
from soak.forked import Forked
from soak.trials import NotSurvived, Trial, expect

KEPT = Path(__file__).parents[2] / "build" / "soak"
"""Where hostile files stay that were not survived."""

NOTE, ERROR = "radii: note: ", "radii: "


def hostile_files(trial: Trial) -> None:
    """Each kind of file, harmed in each way some times, in a random order."""
    trial.whole = None
    trial.folder.mkdir()
    place = trial.soak.folder / "bait"
    write_baits(place, trial.soak.run)
    cases = [(bait, harm) for bait in BAITS for harm, (_, times) in HARMS.items() for _ in range(times)]
    for number, (bait, harm) in enumerate(trial.rng.sample(cases, len(cases))):
        case = Case(trial, bait, number)
        try:
            with trial.strike(f"hostile file: {bait.name}"), case.kept(HARMS[harm][0]), harm(case):
                case.judge()
        finally:
            shutil.rmtree(case.place, ignore_errors=True)


def in_a_sentence(status: int, said: str) -> None:
    """Raise `NotSurvived` unless a command ended well, or with status 2 and one sentence; both after notes."""
    lines, words = said.splitlines(), f"exit status {status}: {said[-2000:]}"
    expect(status in (0, 2) and all(line.startswith(ERROR) for line in lines), words)
    expect(sum(not line.startswith(NOTE) for line in lines) == (status == 2), words)


class Case:
    """A folder with one hostile file, for the command that reads it."""

    def __init__(self, trial: Trial, bait: Bait, number: int) -> None:
        self.bait, self.rng = bait, random.Random(trial.rng.random())
        self.good = trial.soak.folder / "bait" / bait.name
        self.place, self.log = trial.folder / f"case-{number}", trial.folder / "log"
        self.path = self.place / bait.file
        shutil.copytree(self.good, self.place)

    def judge(self) -> None:
        """Run the command; raise `NotSurvived` unless it ends in a sentence or in the right answer."""
        command = Forked(*self.bait.command, folder=self.place, log=self.log)
        status, said = command.wait(), command.said
        in_a_sentence(status, said)
        expect(self.bait.program or "out of memory" not in said, said)
        if status == 0:
            good, found = right(self.bait, self.good), answer(self.bait, self.place, command.printed)
            another = not self.bait.sealed and names_another(found, good)
            expect(found == good or another, f"a wrong answer: {command.printed[-500:]!r}")

    @contextmanager
    def kept(self, words: str) -> Iterator[None]:
        """Keep a copy of the folder if the harm is not survived, and say where."""
        try:
            yield
        except NotSurvived as error:
            KEPT.mkdir(parents=True, exist_ok=True)
            kept = KEPT / f"{self.bait.name}-{self.rng.randrange(10**9)}"
            # pipes and loops of links are made again by hand
            with suppress(shutil.Error, OSError):
                shutil.copytree(self.place, kept, symlinks=True)
            raise NotSurvived(f"{words}: {error} (kept in {kept})") from None


@cache
def right(bait: Bait, place: Path) -> Answer:
    """The answer to the good file."""
    copy = place.with_name(f"{place.name}-answered")
    shutil.copytree(place, copy)
    command = Forked(*bait.command, folder=copy, log=copy.with_suffix(".log"))
    expect(command.wait() == 0, f"{bait.name}, without harm: {command.said}")
    return answer(bait, copy, command.printed)


def names_another(found: Answer, good: Answer) -> bool:
    """Whether an answer says that it is about something else."""
    if isinstance(found, tuple) or isinstance(good, tuple):
        return found[0] != good[0]
    one, two = decode_votes(found, "found"), decode_votes(good, "good")
    counted = ("counts", "selection")
    return any(
        not np.array_equal(getattr(one, field.name), getattr(two, field.name))
        for field in fields(one)
        if field.name not in counted
    )


# harms --------------------------------------------------------------------------------------------


@contextmanager
def bytes_changed(case: Case) -> Iterator[None]:
    content = case.path.read_bytes()
    cut = case.rng.random() < 0.3
    case.path.write_bytes(
        content[: case.rng.randrange(len(content))] if cut else edited(content, drawn_edits(case.rng))
    )
    yield


@contextmanager
def forged(case: Case) -> Iterator[None]:
    case.path.write_bytes(case.bait.forge(case.rng, case.path))
    yield


@contextmanager
def replaced(case: Case) -> Iterator[None]:
    """Put something else in its place."""
    kind = case.rng.choice((*SPECIAL, "folder", "nothing"))
    case.path.unlink()
    if kind == "folder":
        case.path.mkdir()
    elif kind != "nothing":
        put_special(case.path, kind)
    yield


@contextmanager
def restless(case: Case) -> Iterator[None]:
    """Let it shrink, grow, vanish and come back, again and again, while it is read."""
    content, over = case.path.read_bytes(), threading.Event()
    deeds: list[Callable[[], object]] = [
        lambda: case.path.write_bytes(content),
        lambda: case.path.write_bytes(content[: case.rng.randrange(len(content))]),
        lambda: case.path.write_bytes(content + bytes(case.rng.randrange(2**20))),
        case.path.unlink,
    ]

    def go_on() -> None:
        while not over.wait(case.rng.choice((0.0, 0.001, 0.03))):
            # the command may take the folder away, or write there itself
            with suppress(OSError):
                case.rng.choice(deeds)()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


HARMS = {
    bytes_changed: ("with bytes changed", 3),
    forged: ("forged", 3),
    replaced: ("replaced by a pipe or the like", 1),
    restless: ("that grows and vanishes", 2),
}
"""What each does to a file, and how many times in a trial."""
