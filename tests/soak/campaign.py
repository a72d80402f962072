"""Proof by fault: votes drawn by commands that are killed, starved, crowded and lied to must not change by a bit.

Hostile files, clients and model servers must end in a sentence or in the right answer.

Run: make soak, or PYTHONPATH=tests python -m soak --minutes 10 --seed N. Needs Linux. Moments are random: the same seed
gives the same faults, but not to the millisecond.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from patience import Hangs
from radii.errors import InputError
from radii.votes import Votes, decode_votes, load_votes
from soak import clients, endpoints, files, machine, processes
from soak.trials import NotSurvived, Soak, Trial

ATTACKS: list[Callable[[Trial], None]] = [
    processes.killed,
    processes.killed_at_the_end,
    processes.workers_killed,
    processes.orphaned,
    processes.asked_to_end,
    processes.crowded,
    processes.sharded,
    machine.harmed,
    machine.filled_up,
    machine.starved,
    machine.out_of_time,
    processes.hanging,
    files.hostile_files,
    clients.hostile_clients,
    endpoints.hostile_endpoints,
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
        self.complaints += bool(complaint or trial.complaints)
        for words, count in trial.faults.items():
            self.injected[words] += count
            self.survived[words] += 0 if complaint else count - trial.fatal[words]
            self.lost[words] += lost
            self.doubled[words] += doubled

    def table(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("kind of fault", "injected", "survived", "votes lost", "votes doubled")
        ]
        columns = (self.injected, self.survived, self.lost, self.doubled)
        rows += [(words, *(str(one[words]) for one in columns)) for words in self.injected]
        rows.append(("all", *(str(one.total()) for one in columns)))
        return "\n".join(f"{row[0]:40}" + "".join(f"{cell:>15}" for cell in row[1:]) for row in rows)


def votes_lost_and_doubled(trial: Trial) -> tuple[int, int]:
    """Votes that the uninterrupted file has more, and less; all are lost where no file can be read."""
    if trial.whole is None:
        return 0, 0
    whole = all_counts(decode_votes(trial.whole, "whole.parquet"))
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
    complaint = "\n       ".join(filter(None, [complaint, *trial.complaints]))
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
    print(f"PYTHONPATH=tests python -m soak --minutes {asked.minutes:g} --seed {asked.seed}", flush=True)
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
