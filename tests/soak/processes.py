"""Commands that are killed, interrupted, crowded and stopped while they vote."""

import shutil
import signal
from functools import partial

from driven import Command, kill, written
from patience import wait_until
from soak.trials import RESUMED, Trial, expect, fine

KILLS = 50
TIMEOUT = 30.0
"""Seconds of silence of a worker that hangs; one that works needs far less for a micro-batch, on a busy machine too."""
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}
GOES_ON = "the same command"


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
