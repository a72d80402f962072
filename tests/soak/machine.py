"""A machine that fails commands while they vote: damaged parts, a full disk, little memory, a clock that jumps."""

import os
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from driven import python_path
from soak.trials import DRAWS, IMAGES, RESUMED, SELECTION, Trial, expect

CLOCK = """
import random, time
now, now_ns = time.time, time.time_ns
time.time = lambda: now() + random.uniform(-1e9, 1e9)
time.time_ns = lambda: now_ns() + random.randrange(-10**18, 10**18)
"""


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
    asked = f"{str(trial.soak.run)!r}, {str(trial.out)!r}, {batch}, {room}"
    code = f"from soak.machine import vote_within; vote_within({asked})"
    ended = trial.soak.python("-c", code, PYTHONPATH=python_path(Path(__file__).parents[1])).wait()
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
