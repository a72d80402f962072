"""Proof by fault: votes drawn by commands that are killed, starved, crowded and lied to must not change by a bit.

Run: make soak, or python tests/soak.py --minutes 10 --seed N. Needs Linux. Moments are random: the same seed gives
the same faults, but not to the millisecond.
"""

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from driven import Command, Ended, kill, python_path, written
from patience import Hangs, wait_until
from radii.errors import InputError
from radii.votes import Votes, load_votes

IMAGES, DRAWS, SELECTION, BLOCK = 16, 4000, 20, 200
LINE = ("--limit", IMAGES, "--n", DRAWS, "--n0", SELECTION)
KILLS = 50
TIMEOUT = 30.0
"""Seconds of silence of a worker that hangs; one that works needs far less for a micro-batch, on a busy machine too."""
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
GOES_ON = "the same command"
RESUMED = "parts were sampled before"
CLOCK = """
import random, time
now, now_ns = time.time, time.time_ns
time.time = lambda: now() + random.uniform(-1e9, 1e9)
time.time_ns = lambda: now_ns() + random.randrange(-10**18, 10**18)
"""


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
    """One votes file that faults come over; `stock`: the share of its parts that is there from the start."""

    def __init__(self, soak: Soak, number: int) -> None:
        self.soak, self.rng = soak, soak.rng
        self.folder = soak.folder / f"trial-{number}"
        self.out, self.parts = self.folder / "votes.parquet", self.folder / "votes.parts"
        self.faults: Counter[str] = Counter()

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
        expect(self.out.read_bytes() == self.soak.whole, "another votes file")
        return said


# faults -------------------------------------------------------------------------------------------


def killed(trial: Trial) -> None:
    """SIGKILL at random moments, all processes of a command at once, again and again in one run."""
    for left in reversed(range(KILLS)):
        workers = ("--workers", 2) if trial.rng.random() < 0.2 else ()
        command = trial.vote(*workers)
        trial.moment(command, left)
        if trial.soak.over or not command.alive or trial.out.exists():
            break
        command.end()
        trial.faults["SIGKILL"] += 1
    trial.finish()


def resumes(command: Command) -> bool:
    return RESUMED in command.said() or not command.alive


def begins(command: Command) -> bool:
    return command.listens() or not command.alive


def is_gone(command: Command) -> bool:
    return not command.members()


def killed_at_the_end(trial: Trial) -> None:
    """SIGKILL while parts are put together, the votes are written, and the parts are taken away."""
    for _ in range(4):
        shutil.rmtree(trial.folder, ignore_errors=True)
        command = trial.stocked(1.0).vote()
        wait_until(partial(resumes, command))
        expect(RESUMED in command.said(), f"it did not say that it resumes: {command.said()}")
        trial.pause(0.2)
        if command.alive:
            command.end()
            trial.faults["SIGKILL at the end"] += 1
        expect(trial.out.exists() or not trial.missing(), "parts were taken away before the votes were there")
        trial.finish()


def workers_killed(trial: Trial) -> None:
    """SIGKILL for single workers, while the others and the command go on."""
    command = trial.stocked(0.3).vote("--workers", 2)
    wait_until(lambda: command.workers() or not command.alive)
    for _ in range(3):
        trial.pause(trial.soak.start)
        if workers := command.workers():
            kill(trial.rng.choice(workers))
            trial.faults["SIGKILL of a worker"] += 1
    ended = command.wait()
    expect(ended.status == 0 or "workers were lost over the same part" in ended.err, ended.err)
    trial.finish()


def orphaned(trial: Trial) -> None:
    """SIGKILL for the command alone: its workers must notice, and not disturb the next command."""
    command = trial.stocked(0.5).vote("--workers", 2)
    wait_until(lambda: command.workers() or not command.alive)
    trial.pause(2 * trial.soak.start)
    if command.alive:
        kill(command.process.pid)
        trial.faults["SIGKILL, workers left"] += 1
    command.process.wait()
    trial.finish()
    wait_until(lambda: not command.members())


def asked_to_end(trial: Trial) -> None:
    """SIGTERM or Ctrl-C, to the command or to all of its processes, as from a terminal."""
    trial.stocked(0.2)
    for sign in trial.rng.sample([signal.SIGINT, signal.SIGTERM] * 2, 4):
        everyone = trial.rng.random() < 0.5
        command = trial.vote(*(("--workers", 2) if everyone else ()))
        # before that the command has not begun, and Python itself answers
        wait_until(partial(begins, command))
        trial.moment(command, 8)
        with command.frozen():
            hit = trial.goes_on(command, 1)
            for pid in command.members() if everyone else [command.process.pid]:
                if hit:
                    kill(pid, sign)
        if not hit:
            fine(command)
            break
        trial.faults[sign.name] += 1
        ended = command.wait()
        lines = ended.err.splitlines()
        expect(ended.status == STATUS[sign], f"{sign.name}: exit status {ended.status}: {ended.err}")
        expect(lines and lines[-1].startswith("radii: interrupted; ") and GOES_ON in lines[-1], ended.err)
        expect(all(line.startswith("radii: note: ") for line in lines[:-1]), ended.err)
        wait_until(partial(is_gone, command))
    trial.finish()


def crowded(trial: Trial) -> None:
    """Three commands in one folder at once, some of them killed and given again."""
    trial.stocked(trial.rng.uniform(0.3, 0.9))
    team = [trial.vote() for _ in range(3)]
    trial.faults["commands at once"] += len(team)
    for _ in range(2):
        trial.moment(team[0], 4)
        victim = trial.rng.choice(team)
        if victim.alive and not trial.out.exists():
            victim.end()
            trial.faults["SIGKILL among several"] += 1
            team[team.index(victim)] = trial.vote()
    for command in team:
        ended = command.wait()
        late = ended.status == 2 and "votes.parquet exists" in ended.err
        expect(ended.status == 0 or late, f"exit status {ended.status}: {ended.err}")
        expect("damaged" not in ended.err, ended.err)
    trial.finish()


def sharded(trial: Trial) -> None:
    """Three shards at once in one folder, some of them killed and given again; then radii merge."""
    trial.stocked(trial.rng.uniform(0.3, 0.9))
    team = {share: trial.vote("--shard", share) for share in ("1/3", "2/3", "3/3")}
    trial.faults["shards at once"] += len(team)
    trial.moment(team["1/3"], 4)
    share = trial.rng.choice(sorted(team))
    if team[share].alive:
        team[share].end()
        trial.faults["SIGKILL among several"] += 1
        team[share] = trial.vote("--shard", share)
    for command in team.values():
        fine(command)
    fine(trial.soak.call("merge", trial.parts, "--out", trial.out))
    trial.finish()


def harmed(trial: Trial) -> None:
    """What a bad disk or a careless hand does to parts between two commands."""
    trial.stocked(trial.rng.uniform(0.5, 1.0))
    victims = trial.rng.sample(trial.drawn(), 12)
    named = []
    for path, (words, harm) in zip(victims, list(HARMS.items()) * 2, strict=True):
        content = path.read_bytes()
        harm(trial.rng, path, content)
        trial.faults[words] += 1
        if words.startswith(("part cut", "part emptied")):
            named.append(path)
    said = trial.finish(damaged=True)
    for path in named:
        line = next((line for line in said.splitlines() if str(path) in line), "")
        expect(
            ("is damaged" in line or "not votes" in line) and "sampled again" in line,
            f"{path} was not named: {said}",
        )


def flip(rng: random.Random, path: Path, content: bytes) -> None:
    at = rng.randrange(len(content))
    path.write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :])


def leave_litter(rng: random.Random, path: Path, content: bytes) -> None:
    """What kills leave behind: a temporary file beside the part and beside the votes."""
    for name in (path, path.parents[1] / "votes.parquet"):
        litter = name.with_name(f".{name.name}.{rng.randrange(10**5)}.part")
        litter.write_bytes(content[: rng.randrange(len(content))])


def change_times(rng: random.Random, path: Path, _: bytes) -> None:
    for other in path.parent.iterdir():
        moment = rng.choice([0, rng.randrange(2**31), time.time() + rng.randrange(10**9)])
        os.utime(other, (moment, moment))


HARMS: dict[str, Callable[[random.Random, Path, bytes], object]] = {
    "part cut short": lambda rng, path, content: path.write_bytes(content[: rng.randrange(len(content))]),
    "part with a bit flipped": flip,
    "part emptied": lambda rng, path, content: path.write_bytes(b""),
    "part removed": lambda rng, path, content: path.unlink(),
    "temporary files left": leave_litter,
    "file times changed": change_times,
}


def filled_up(trial: Trial) -> None:
    """A disk with room for some of the parts, or for all of them but not for the votes."""
    trial.folder.mkdir()
    with small_disk(trial.folder) as (words, how, fill):
        room = trial.rng.choice([0, trial.rng.randrange(4, 1000)])
        if room == 0:
            trial.stocked(1.0)
        make_room = fill(room)
        ended = trial.vote(**how).wait()
        trial.faults[words] += 1
        full = ("radii: No space left on device: ", "radii: File too large: ")
        last = (ended.err.splitlines() or [""])[-1]
        expect(ended.status == 2 and last.startswith(full), f"exit status {ended.status}: {ended.err}")
        expect(ended.err.count("\n") == 1 + (RESUMED in ended.err), ended.err)
        expect(not list(trial.folder.rglob(".*.part")), "temporary files take the room that is left")
        make_room()
        trial.finish()
        shutil.copy(trial.out, trial.soak.folder / "from-small-disk")
    shutil.copy(trial.soak.folder / "from-small-disk", trial.out)


Fill = Callable[[int], Callable[[], object]]
"""Leaves so many KB of a disk, and gives what makes room again."""


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[str, dict, Fill]]:
    """A file system of its own in a folder; where none may be mounted, commands that may not write large files."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "radii-soak", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        # law.json is the smallest file of a run
        shorten = {"prepare": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))}
        yield "file size limit (no mount allowed)", shorten, lambda room: lambda: None
        return
    ballast = folder / "ballast"

    def fill(room: int) -> Callable[[], object]:
        ballast.write_bytes(bytes(shutil.disk_usage(folder).free - 1024 * room))
        return ballast.unlink

    try:
        yield "full disk (tmpfs)", {}, fill
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def starved(trial: Trial) -> None:
    """A micro-batch that does not fit into the memory which the system gives."""
    trial.folder.mkdir()
    batch, room = trial.rng.choice([2048, 4096, 8192]), trial.rng.randrange(30, 60)
    code = f"import soak; soak.vote_within({str(trial.soak.run)!r}, {str(trial.out)!r}, {batch}, {room})"
    ended = trial.soak.python("-c", code, PYTHONPATH=python_path(Path(__file__).parent)).wait()
    trial.faults["out of memory"] += ended.err.count("out of memory: continuing with")
    expect(ended.status == 0, ended.err)
    trial.finish()


def vote_within(run: str, out: str, batch: int, room: int) -> None:
    """The same votes by the library, by a network that takes 40 KB an image, with so many MB left for it."""
    import pyarrow.parquet  # noqa: F401 (the limit is for what is asked of the model)
    import torch

    import radii
    from radii.data import load_data
    from radii.training.run_folder import load_run

    def greed(_: object, images: tuple[torch.Tensor]) -> None:
        torch.ones(len(images[0]), 10_000)

    torch.set_num_threads(1)
    model, config = load_run(Path(run))
    model.register_forward_pre_hook(greed)
    noise, examples = config.recipe.law(), load_data("digits", "test").first(IMAGES)
    plan = radii.fixed(DRAWS, SELECTION)
    radii.Smoothed(model, noise, batch=64).vote(examples.images([0, 1]), plan=radii.fixed(100), seed=0)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room * 2**20, resource.RLIM_INFINITY))
    sampler = radii.Smoothed(model, noise, batch=batch).ready(examples.shape)
    votes = sampler.vote(examples, plan, 0, (0, DRAWS))
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    votes.save(out)


def out_of_time(trial: Trial) -> None:
    """A clock that jumps by decades each time that somebody looks."""
    trial.stocked(0.5)
    place = trial.folder / "clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(CLOCK)
    trial.faults["clock that jumps"] += 1
    said = trial.finish("--workers", 2, PYTHONPATH=python_path(place))
    expect("silent" not in said, said)


def hanging(trial: Trial) -> None:
    """A worker that stops in the middle of its work."""
    command = trial.stocked(0.2).vote("--workers", 2, "--worker-timeout", TIMEOUT)
    busy: list[int] = []

    def begun() -> bool:
        busy.extend(pid for pid in command.workers() if written(pid) > 1000)
        return bool(busy) or not command.alive

    wait_until(begun)
    trial.pause(0.3)
    with command.frozen():
        # two may be on their way from the workers: then another one comes for the worker that stops
        if hit := trial.goes_on(command, 3):
            kill(busy[0], signal.SIGSTOP)
            trial.faults["worker that hangs"] += 1
    said = fine(command).err
    late = f"was silent for {TIMEOUT:g} s; another one samples its part again"
    expect(not hit or late in said, said)
    trial.finish()


# the soak -----------------------------------------------------------------------------------------

ATTACKS = [
    killed,
    killed_at_the_end,
    workers_killed,
    orphaned,
    asked_to_end,
    crowded,
    sharded,
    harmed,
    filled_up,
    starved,
    out_of_time,
    hanging,
]


class Ledger:
    """Of each kind of fault: how many were injected and survived, and how many votes they cost or doubled."""

    def __init__(self) -> None:
        self.injected: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.doubled: Counter[str] = Counter()
        self.complaints = 0

    def enter(self, trial: Trial, complaint: str) -> None:
        lost, doubled = votes_lost_and_doubled(trial)
        self.complaints += bool(complaint)
        for words, count in trial.faults.items():
            self.injected[words] += count
            self.survived[words] += 0 if complaint else count
            self.lost[words] += lost
            self.doubled[words] += doubled

    def table(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("kind of fault", "injected", "survived", "votes lost", "votes doubled")
        ]
        columns = (self.injected, self.survived, self.lost, self.doubled)
        rows += [(words, *(str(one[words]) for one in columns)) for words in self.injected]
        rows.append(("all", *(str(one.total()) for one in columns)))
        return "\n".join(f"{row[0]:36}" + "".join(f"{cell:>15}" for cell in row[1:]) for row in rows)


def votes_lost_and_doubled(trial: Trial) -> tuple[int, int]:
    """Votes that the uninterrupted file has more, and less; all are lost where no file can be read."""
    whole = all_counts(load_votes(trial.soak.folder / "whole.parquet"))
    try:
        found = all_counts(load_votes(trial.out))
    except InputError:
        return int(whole.sum()), 0
    return int(np.maximum(whole - found, 0).sum()), int(np.maximum(found - whole, 0).sum())


def all_counts(votes: Votes) -> np.ndarray:
    return np.stack([votes.counts, votes.selection])


def attack(soak: Soak, number: int, how: Callable[[Trial], None], ledger: Ledger) -> None:
    """One trial, and what is to be said of it."""
    trial, complaint, begun = Trial(soak, number), "", time.monotonic()
    try:
        how(trial)
    except NotSurvived as error:
        complaint = f"not survived: {error}"
    except (subprocess.TimeoutExpired, Hangs) as error:
        complaint = f"not survived: it hangs ({error})"
    for command in soak.commands:
        command.end()
    if complaint and not trial.faults:
        trial.faults[how.__name__] += 1
    ledger.enter(trial, complaint)
    faults = ", ".join(f"{count} {words}" for words, count in trial.faults.items())
    print(
        f"{time.monotonic() - begun:4.0f} s  {how.__name__}: {faults or 'nothing'}  {complaint}", flush=True
    )
    shutil.rmtree(trial.folder, ignore_errors=True)


def main() -> int:
    # a shell starts what runs in the background without Ctrl-C, which trials send to what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="after one trial of each kind, none begins later"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", choices=[one.__name__ for one in ATTACKS], help="one kind of trial")
    asked = parser.parse_args()
    print(f"python tests/soak.py --minutes {asked.minutes:g} --seed {asked.seed}", flush=True)
    attacks = [one for one in ATTACKS if asked.only in (None, one.__name__)]
    ledger = Ledger()
    with TemporaryDirectory(prefix="radii-soak-") as folder:
        soak = Soak(Path(folder), random.Random(asked.seed), time.monotonic() + 60 * asked.minutes)
        os.environ["RADII_CACHE_DIR"] = str(soak.folder / "caches")
        try:
            soak.prepare()
            attack_until_over(soak, attacks, ledger)
        except (NotSurvived, Hangs) as error:
            print(f"votes without any fault: {error}")
            return 1
        finally:
            for command in soak.commands:
                command.end()
    print(f"\n{ledger.table()}")
    return int(ledger.complaints > 0)


def attack_until_over(soak: Soak, attacks: Sequence[Callable[[Trial], None]], ledger: Ledger) -> None:
    """All kinds of trials in their order, however long they take, and then in a random one until the time is over."""
    queue, trials = list(attacks), 0
    while trials < len(attacks) or not soak.over:
        queue = queue or soak.rng.sample(attacks, len(attacks))
        attack(soak, trials, queue.pop(0), ledger)
        trials += 1


if __name__ == "__main__":
    sys.exit(main())
