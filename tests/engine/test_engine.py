"""The engine: the same votes whichever process samples them and whatever interrupts it."""

import _thread
import errno
import gc
import json
import multiprocessing
import os
import re
import shutil
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from multiprocessing import resource_tracker, util
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import radii
from job_factory import IMAGES, PLANS, SHAPE, Trouble, job, load, numbered
from patience import HANG
from radii.data import DataSet
from radii.engine import Job, LocalExecutor, Parts, Shard, Workers, gather, run, workers
from radii.engine.parts import FORMAT, MANIFEST, RunFinished
from radii.errors import InputError, RadiiWarning
from radii.models import digest
from radii.storage.folders import LocalFolder
from radii.votes import decode_votes

BLOCK = 1300
"""Noise samples per unit: two images of the fixed plan."""


def parts_in(path) -> Parts:
    return Parts(LocalFolder(path))


def local(plan="fixed", batch=32, **changes) -> LocalExecutor:
    return LocalExecutor(job(plan, batch, **changes))


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """The votes by each plan, drawn at once."""
    smoothed, examples = load()
    return {
        name: smoothed.ready(examples.shape).vote(examples, plan, 3, _all(plan)).encode()
        for name, plan in PLANS.items()
    }


def _all(plan):
    return (0, plan.n) if isinstance(plan, radii.Fixed) else None


# the same to the last bit -------------------------------------------------------------------------


@pytest.mark.parametrize("block", [None, 300, BLOCK, 10**6])
@pytest.mark.parametrize("name", PLANS)
def test_a_run_gives_the_votes_that_are_sampled_at_once(name, block, tmp_path, whole) -> None:
    votes = run(local(name), parts_in(tmp_path), block=block)
    assert votes.encode() == whole[name]


@pytest.mark.parametrize("count,batch", [(1, 8), (2, 33), (7, 200)])
@pytest.mark.parametrize("name", PLANS)
def test_shards_of_any_number_and_batch_give_the_same_votes(name, count, batch, tmp_path, whole) -> None:
    for number in np.random.default_rng(0).permutation(count) + 1:
        assert run(local(name, batch), parts_in(tmp_path), shard=Shard(int(number), count), block=520) is None
    assert gather([tmp_path]).encode() == whole[name]


def test_a_run_resumes_with_its_own_blocks_and_samples_only_missing_parts(tmp_path, whole) -> None:
    run(local(), parts_in(tmp_path), shard=Shard(2, 3), block=BLOCK)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("part-*")}
    assert len(kept) == 2
    drawn = []
    with pytest.warns(RadiiWarning, match="2 of 6 parts were sampled before"):
        votes = run(local(), parts_in(tmp_path), progress=lambda done, total: drawn.append((done, total)))
    assert votes.encode() == whole["fixed"] and drawn[-1] == (4 * 1280, 4 * 1280)
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("part-*")}.items()


def test_a_model_of_other_classes_is_not_resumed(tmp_path) -> None:
    """Nor is it sampled by a worker of a run of ten classes."""
    run(local(), parts_in(tmp_path), shard=Shard(1, 2), block=BLOCK)
    images = np.zeros((IMAGES, *SHAPE), np.float32)
    twelve = radii.Smoothed(lambda noisy: torch.zeros(len(noisy), 12), radii.Gaussian(0.5), batch=32)
    other = Job.in_memory(twelve, DataSet(images, None, np.arange(IMAGES) * 5), PLANS["fixed"], seed=3)
    model = digest(load()[0].model)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match="with 10 classes, not 12"):
        patch.setattr("radii.sampling.sampler.digest", lambda _: model)
        run(LocalExecutor(other), parts_in(tmp_path), block=BLOCK)
    with pytest.raises(InputError, match=r"as many logits .* as at first, 10; got 12"):
        replace(other, settings=("float32", 32, 10)).start()


def test_workers_give_the_same_votes(tmp_path, whole) -> None:
    moved = []
    votes = run(
        Workers(numbered, 2), parts_in(tmp_path), block=BLOCK, progress=lambda *step: moved.append(step)
    )
    assert votes.encode() == whole["fixed"]
    assert moved[-1] == (IMAGES * 640,) * 2 and all(one[0] < two[0] for one, two in pairwise(moved))


def test_votes_from_several_folders_are_put_together(tmp_path, whole) -> None:
    for number in (1, 2):
        run(local(), parts_in(tmp_path / str(number)), shard=Shard(number, 2), block=BLOCK)
    assert gather([tmp_path / "1", tmp_path / "2"]).encode() == whole["fixed"]
    with pytest.raises(InputError, match=r"3 of 6 parts are missing, the first is part-00001\.parquet"):
        gather([tmp_path / "1"])
    run(local(seed=4), parts_in(tmp_path / "other"), block=BLOCK)
    with pytest.raises(InputError, match=r"other is of another run than .*1, with seed 4, not 3"):
        gather([tmp_path / "1", tmp_path / "other"])


def test_votes_files_are_put_together(tmp_path, whole) -> None:
    votes = decode_votes(whole["fixed"], "votes")
    for name, rows in (("a", slice(0, 5)), ("b", slice(5, None))):
        votes[rows].save(tmp_path / name)
    assert gather([tmp_path / "b", tmp_path / "a"]).encode() == whole["fixed"]
    with pytest.raises(InputError, match="counted twice"):
        gather([tmp_path / "a", tmp_path / "b", f"file://{tmp_path}/a"])


# what is damaged or foreign -----------------------------------------------------------------------


def cut_short(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    """One bit of the counts themselves, or of the header, but not of padding."""
    votes = decode_votes(content, "votes")
    at = content.index(votes.model.encode()[:20])
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("harm", [cut_short, flip, lambda content: b""])
def test_a_damaged_part_is_named_never_used_and_sampled_again(harm, tmp_path, whole) -> None:
    run(local(), parts_in(tmp_path), block=BLOCK)
    part = tmp_path / "part-00003.parquet"
    good = part.read_bytes()
    part.write_bytes(harm(good))
    with pytest.raises(InputError, match="1 of 6 parts are missing"), pytest.warns(RadiiWarning):
        gather([tmp_path])
    part.write_bytes(harm(good))
    with pytest.warns(RadiiWarning) as said:
        votes = run(local(), parts_in(tmp_path))
    words = next(str(one.message) for one in said if str(part) in str(one.message))
    assert re.search("is damaged|is an empty file, not votes", words) and "sampled again" in words
    assert votes.encode() == whole["fixed"] and part.read_bytes() == good


def test_exhausted_memory_is_no_damage(tmp_path, whole, monkeypatch) -> None:
    """Arrow's error of exhausted memory is an ArrowException, and intact parts were removed as damaged."""
    run(local(), parts_in(tmp_path), block=BLOCK)
    part = tmp_path / "part-00003.parquet"
    good = part.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 1 failed")

    for name in ("read", "__init__"):
        with monkeypatch.context() as patched, pytest.raises(MemoryError):
            patched.setattr(pq.ParquetFile, name, full)
            run(local(), parts_in(tmp_path))
        assert part.read_bytes() == good


def test_every_flipped_byte_of_a_part_is_noticed_or_harmless(tmp_path, whole) -> None:
    run(local(), parts_in(tmp_path), block=BLOCK)
    parts, part = parts_in(tmp_path), tmp_path / "part-00001.parquet"
    parts.manifest = parts.stored()
    good = part.read_bytes()
    votes, noticed = decode_votes(good, "votes"), 0
    for at in range(0, len(good), 5):
        part.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        try:
            with pytest.warns(RadiiWarning):
                assert not parts.load([parts.manifest.units()[1]])
            noticed += 1
        except pytest.fail.Exception:
            assert decode_votes(part.read_bytes(), "votes").encode() == votes.encode()
    assert noticed > 100


@pytest.mark.parametrize(
    "name,words",
    [
        ("part-00000.parquet", "other images"),
        ("seed", "seed 4, not 3"),
        ("draws", r"draws \(\(0, 300\),\), not"),
    ],
)
def test_a_part_of_another_unit_or_run_is_rejected(name, words, tmp_path) -> None:
    run(local(), parts_in(tmp_path / "run"), block=BLOCK)
    part = tmp_path / "run" / "part-00003.parquet"
    if name == "seed":
        run(local(seed=4), parts_in(tmp_path / "other"), block=BLOCK)
        part.write_bytes((tmp_path / "other" / part.name).read_bytes())
    elif name == "draws":
        smoothed, examples = load()
        votes = smoothed.ready(examples.shape).vote(examples[slice(6, 8)], PLANS["fixed"], 3, (0, 300))
        part.write_bytes(votes.encode())
    else:
        part.write_bytes((part.parent / name).read_bytes())
    before = {path: path.read_bytes() for path in part.parent.iterdir()}
    for attempt in (lambda: run(local(), parts_in(part.parent)), lambda: gather([part.parent])):
        with pytest.raises(
            InputError, match=f"part-00003.parquet does not belong to this run, it has {words}"
        ):
            attempt()
    assert before == {path: path.read_bytes() for path in part.parent.iterdir()}


@pytest.mark.parametrize(
    "other,words",
    [
        ({"seed": 4}, "seed 3, not 4"),
        ({"plan": "two-stage"}, "plan name fixed, not two-stage"),
        ({"block": 500}, "blocks of 1300, not 500"),
    ],
)
def test_another_run_in_the_folder_is_rejected_and_kept(other, words, tmp_path) -> None:
    run(local(), parts_in(tmp_path), shard=Shard(1, 2), block=BLOCK)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    block = other.pop("block", BLOCK)
    with pytest.raises(InputError, match=f"is of another run, with {words}.* or remove the folder"):
        run(local(**other), parts_in(tmp_path), block=block)
    assert before == {path: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_folder_without_any_part_may_be_used_for_another_run(tmp_path, whole) -> None:
    parts_in(tmp_path).begin(replace(LocalExecutor(job("two-stage")).manifest(), block=BLOCK))
    assert run(local(), parts_in(tmp_path), block=BLOCK).encode() == whole["fixed"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b'{"format": 1}', b'{"format": "1"}', b"\xff\xfe"]
)
def test_a_manifest_that_is_none(content, tmp_path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(InputError, match=r"law\.json does not describe a run of radii"):
        run(local(), parts_in(tmp_path))


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    "harm", [cut_short, lambda content: b"", lambda content: content.replace(b'"block"', b'"b"')]
)
def test_the_remedy_for_a_damaged_manifest_helps(harm, kept, tmp_path, whole) -> None:
    folder, other = tmp_path / "votes.parts", tmp_path / "other.parts"
    run(local(), parts_in(folder), shard=Shard(1, 2), block=BLOCK)
    parts = {path: path.read_bytes() for path in folder.glob("part-*")}
    (folder / MANIFEST).write_bytes(harm((folder / MANIFEST).read_bytes()))
    with pytest.raises(InputError) as error:
        run(local(), parts_in(folder), block=BLOCK)
    assert str(error.value).startswith(f"{folder / MANIFEST} does not describe a run of radii (")
    assert "law.json that the same command writes with another --out" in str(error.value)
    assert "remove its folder" in str(error.value) and "votes file stays" in str(error.value)
    assert {path: path.read_bytes() for path in folder.glob("part-*")} == parts
    if kept:
        run(local(), parts_in(other), shard=Shard(1, 6), block=BLOCK)
        shutil.copy(other / MANIFEST, folder / MANIFEST)
        with pytest.warns(RadiiWarning, match="3 of 6 parts were sampled before"):
            assert run(local(), parts_in(folder), block=BLOCK).encode() == whole["fixed"]
    else:
        shutil.rmtree(folder)
        assert run(local(), parts_in(folder), block=BLOCK).encode() == whole["fixed"]


@pytest.mark.parametrize(
    "change,words",
    [
        ({"index": "abcdefghijkl"}, "index must be a list"),
        ({"index": [0] * IMAGES}, "index must be positions of images, each once"),
        ({"labels": [1]}, "12 images and 1 labels"),
        ({"block": True}, "block must be a whole number"),
        ({"block": float("nan")}, "NaN is not a number"),
        ({"block": 0}, "at least one noise sample"),
        ({"votes": []}, "votes must be names with values"),
        ({"format": True}, "no format number"),
        ({"more": 1}, "no field 'more'"),
    ],
)
def test_a_manifest_of_no_run(change, words, tmp_path, parts_of_a_run) -> None:
    manifest = json.loads(parts_of_a_run) | change
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(
        InputError, match=rf"law\.json describes? .*{words}|law\.json does not describe .*{words}"
    ):
        Parts(LocalFolder(tmp_path)).stored()


@pytest.mark.parametrize("before", ["nothing", "a manifest", "a part", "another run"])
def test_a_run_that_fails_removes_only_what_it_made(tmp_path, before) -> None:
    parts, manifest = parts_in(tmp_path / "parts"), replace(local().manifest(), block=BLOCK)
    if before == "a manifest":
        parts_in(tmp_path / "parts").begin(manifest)
    parts.begin(manifest)
    if before == "a part":
        (tmp_path / "parts" / "part-00000.parquet").write_bytes(b"of another process")
    if before == "another run":
        (tmp_path / "parts" / MANIFEST).write_bytes(replace(manifest, block=2 * BLOCK).encode())
    parts.abandon()
    assert (tmp_path / "parts").exists() == (before != "nothing")
    assert before == "nothing" or (tmp_path / "parts" / MANIFEST).exists()


@pytest.mark.parametrize("n", [10**12, 10**400])
def test_a_manifest_of_very_much_work(n, tmp_path, parts_of_a_run) -> None:
    manifest = json.loads(parts_of_a_run)
    manifest["votes"]["plan"]["n"] = n
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"cut this work into too many units|n must be at most"):
        Parts(LocalFolder(tmp_path)).stored()


@pytest.fixture(scope="module")
def parts_of_a_run() -> bytes:
    return replace(local().manifest(), block=BLOCK).encode()


def test_a_manifest_of_the_future_or_none_at_all(tmp_path) -> None:
    run(local(), parts_in(tmp_path), block=BLOCK)
    manifest = json.loads((tmp_path / MANIFEST).read_bytes())
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"format": FORMAT + 1}))
    with pytest.raises(InputError, match="written by a newer radii"):
        run(local(), parts_in(tmp_path))
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(
        InputError, match=r"has parts of votes but no law\.json: put in its place .* or remove its folder"
    ):
        run(local(), parts_in(tmp_path))


@pytest.mark.parametrize("shard", [(0, 3), (4, 3), (1, 0), (-1, -1)])
def test_shards_that_are_none(shard) -> None:
    with pytest.raises(InputError, match="a shard is one of 1/N to N/N"):
        Shard(*shard)


# several at once ----------------------------------------------------------------------------------


def take_part(folder, number: int) -> None:
    run(LocalExecutor(numbered(number)), parts_in(folder), block=700)


def test_two_processes_in_one_folder_count_nothing_twice(tmp_path, whole) -> None:
    context = multiprocessing.get_context("spawn")
    team = [context.Process(target=take_part, args=(tmp_path, number)) for number in range(2)]
    for one in team:
        one.start()
    for one in team:
        one.join(HANG)
    assert [one.exitcode for one in team] == [0, 0]
    assert gather([tmp_path]).encode() == whole["fixed"]


def test_parts_of_another_process_are_not_sampled_again(tmp_path, whole) -> None:
    run(local(), parts_in(tmp_path / "other"), block=BLOCK)
    parts, drawn = parts_in(tmp_path / "run"), []

    class Watched(LocalExecutor):
        def sample(self, units, report):
            for unit, content in super().sample(units, report):
                drawn.append(unit.number)
                yield unit, content
                for path in (tmp_path / "other").glob("part-0000[1-4]*"):
                    (tmp_path / "run" / path.name).write_bytes(path.read_bytes())

    assert run(Watched(job()), parts, block=BLOCK).encode() == whole["fixed"]
    assert len(drawn) <= 3


def test_a_run_that_another_process_finished_and_cleared_is_over(tmp_path) -> None:
    parts, done = parts_in(tmp_path / "run"), []

    class Cleared(LocalExecutor):
        def sample(self, units, report):
            for unit, content in super().sample(units, report):
                done.append(unit)
                if len(done) == 3:
                    parts.clear()
                yield unit, content

    assert run(Cleared(job()), parts, block=BLOCK) is None and len(done) == 3
    assert not (tmp_path / "run").exists()
    assert run(local(), parts_in(tmp_path / "new"), block=BLOCK, finished=lambda: True) is None
    assert not list((tmp_path / "new").glob("part-*"))


class Watched(LocalFolder):
    """A folder to which something happens before each call."""

    def __init__(self, path, before):
        super().__init__(path)
        self.before = before

    def names(self):
        self.before("names")
        return super().names()

    def read(self, name):
        self.before("read")
        return super().read(name)

    def write(self, name, content):
        self.before("write")
        super().write(name, content)

    def remove(self, name):
        self.before("remove")
        super().remove(name)

    def remove_if_empty(self):
        self.before("remove_if_empty")
        super().remove_if_empty()


@pytest.mark.parametrize("moment", range(40))
def test_another_process_may_clear_the_folder_at_any_moment(moment, tmp_path) -> None:
    """What a second process does when it has finished the run, at each call of the first one in turn."""
    path, calls = tmp_path / "run", []

    def finish(_) -> None:
        calls.append(_)
        if len(calls) == moment + 1 and path.exists():
            other = parts_in(path)
            other.manifest = replace(local().manifest(), block=BLOCK)
            other.clear()

    run(local(), parts_in(path), shard=Shard(1, 2), block=BLOCK)
    parts = Parts(Watched(path, finish))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RadiiWarning)
        votes = run(local(), parts, block=BLOCK, finished=lambda: len(calls) > moment)
    assert votes is None or len(calls) <= moment
    parts.clear()
    assert not path.exists()


@pytest.mark.parametrize("moment", range(8))
def test_a_part_may_be_kept_at_any_moment_while_the_folder_is_cleared(moment, tmp_path) -> None:
    path, calls, kept = tmp_path / "run", [], []
    run(local(), parts_in(path), shard=Shard(1, 2), block=BLOCK)
    other = parts_in(path)
    other.manifest = other.stored()
    unit, content = other.manifest.units()[3], (path / other.manifest.units()[2].name).read_bytes()

    def keep(_) -> None:
        calls.append(_)
        if len(calls) == moment + 1:
            try:
                kept.append(other.save(unit, content))
            except RunFinished:
                kept.append(RunFinished)

    parts = Parts(Watched(path, keep))
    parts.manifest = other.manifest
    parts.clear()
    assert kept and not path.exists()


def test_what_killed_writers_left_goes_with_the_folder(tmp_path) -> None:
    parts = parts_in(tmp_path / "run")
    run(local(), parts, block=BLOCK)
    (tmp_path / "run" / ".part-00001.parquet.0123.part").write_bytes(b"half")
    parts.clear()
    assert not (tmp_path / "run").exists()


def test_names_that_a_listing_invents_are_not_touched(tmp_path) -> None:
    """A store may list any name: only those of the run's own parts are read and removed."""
    touched = set()

    class Listing(LocalFolder):
        def names(self) -> list[str]:
            invented = ["part-99999.parquet", "../part-00001.parquet", "part-00001.parquet/..", "/"]
            # a folder of parts without a manifest would be rejected at the start
            return [*found, *invented] if (found := super().names()) else []

        def read(self, name: str) -> bytes:
            touched.add(name)
            return super().read(name)

        def remove(self, name: str) -> None:
            touched.add(name)
            super().remove(name)

    parts = Parts(Listing(tmp_path / "run"))
    run(local(), parts, block=BLOCK)
    parts.clear()
    assert touched == {MANIFEST, *(unit.name for unit in parts.manifest.units())}


def test_a_folder_that_another_run_takes_over_is_not_written_to(tmp_path) -> None:
    class Robbed(LocalExecutor):
        def sample(self, units, report):
            for unit, content in super().sample(units, report):
                (tmp_path / MANIFEST).write_bytes(replace(local(seed=9).manifest(), block=BLOCK).encode())
                yield unit, content

    with pytest.raises(InputError, match="another run was started in"):
        run(Robbed(job()), parts_in(tmp_path), block=BLOCK)
    assert not list(tmp_path.glob("part-*"))


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content.replace(b'"seed": 3', b'"seed": 7'),
        lambda content: content.replace(b'"block": 1300', b'"block": 1301'),
        lambda content: content.replace(b'"labels": [', b'"labels": [1'),
        lambda content: content.replace(b'"index": [', b'"index": {'),
    ],
)
def test_a_changed_byte_of_the_manifest_is_damage_and_no_other_run(harm, tmp_path) -> None:
    class Harmed(LocalExecutor):
        def sample(self, units, report):
            for unit, content in super().sample(units, report):
                before = (tmp_path / MANIFEST).read_bytes()
                (tmp_path / MANIFEST).write_bytes(harm(before))
                assert harm(before) != before
                yield unit, content

    damaged = r"law\.json (does not describe a run of radii|was damaged or edited) .* put in its place"
    with pytest.raises(InputError, match=damaged):
        run(Harmed(job()), parts_in(tmp_path), block=BLOCK)
    # and so it is to the next command
    with pytest.raises(InputError, match=damaged):
        Parts(LocalFolder(tmp_path)).stored()
    assert not list(tmp_path.glob("part-*"))


def test_clocks_do_not_matter(tmp_path, whole, monkeypatch) -> None:
    run(local(), parts_in(tmp_path), shard=Shard(1, 2), block=BLOCK)
    for path, moment in zip(sorted(tmp_path.iterdir()), (0, 10**10, 1, 2**33), strict=True):
        os.utime(path, (moment, moment))
    rng = np.random.default_rng(0)
    monkeypatch.setattr(time, "time", lambda: float(rng.uniform(-1e9, 1e10)))
    with pytest.warns(RadiiWarning, match="3 of 6"):
        assert run(local(), parts_in(tmp_path)).encode() == whole["fixed"]


# what breaks --------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_loses_nothing_that_was_there(tmp_path, whole, monkeypatch) -> None:
    written, fsync = [], os.fsync

    def full(descriptor):
        written.append(descriptor)
        if len(written) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return fsync(descriptor)

    monkeypatch.setattr("radii.storage.atomic.os.fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        run(local(), parts_in(tmp_path), block=BLOCK)
    monkeypatch.undo()
    assert len(list(tmp_path.glob("part-*"))) == 2 and not list(tmp_path.glob(".*"))
    with pytest.warns(RadiiWarning, match="2 of 6"):
        assert run(local(), parts_in(tmp_path)).encode() == whole["fixed"]


def test_a_disk_that_keeps_nothing_ends_the_run(tmp_path) -> None:
    class Sieve(LocalFolder):
        def write(self, name, content):
            super().write(name, content if name == MANIFEST else content[:-9])

    with pytest.raises(InputError, match="lost or damaged again and again"), pytest.warns(RadiiWarning):
        run(local(), Parts(Sieve(tmp_path)), block=4000)


@pytest.fixture
def patient(monkeypatch) -> Callable[[Callable[[], object]], None]:
    """Stops the clock of the engine, so that no worker is late, until something is so; then it is far ahead."""
    monkeypatch.setattr(workers, "GRACE", HANG)
    start = time.monotonic()

    def until(late: Callable[[], object]) -> None:
        clock = SimpleNamespace(monotonic=lambda: start + 1e6 * bool(late()))
        monkeypatch.setattr(workers, "time", clock)

    return until


@pytest.mark.parametrize(
    "deed,words",
    [
        ("die", "ended with status -9"),
        ("hang", r"was silent for 0\.1 s"),
        ("fail", "OSError: a device fell off"),
    ],
)
def test_a_worker_that_is_lost_is_replaced(deed, words, tmp_path, whole, patient) -> None:
    trouble, done = Trouble(tmp_path / "flag", deed, call=9), tmp_path / "run"
    # the one that hangs is late when the other has drawn all that is left, and is gone
    patient(lambda: deed == "hang" and trouble.flag.exists() and len(list(done.glob("part-*"))) >= 5)
    with pytest.warns(
        RadiiWarning, match=f"a worker (failed with )?{words}; another one samples its part again"
    ):
        votes = run(
            Workers(lambda number: Job(trouble, PLANS["fixed"], 3, threads=1), 2, worker_timeout=0.1),
            parts_in(done),
            block=BLOCK,
        )
    expected = decode_votes(whole["fixed"], "whole")
    np.testing.assert_array_equal(votes.counts, expected.counts)
    np.testing.assert_array_equal(votes.selection, expected.selection)
    assert trouble.flag.exists()


def test_a_part_that_kills_worker_after_worker_is_given_up(tmp_path, patient) -> None:
    patient(lambda: False)
    trouble = Trouble(tmp_path / "flag", "die", call=4, always=True)
    with (
        pytest.raises(InputError, match=r"3 workers were lost over the same part .* ended with status -9"),
        pytest.warns(RadiiWarning),
    ):
        run(
            Workers(lambda number: Job(trouble, PLANS["fixed"], 3, threads=1), 1),
            parts_in(tmp_path / "run"),
            block=BLOCK,
        )


def test_an_input_error_in_a_worker_ends_the_run_at_once(tmp_path) -> None:
    from job_factory import load_not_finite

    with pytest.raises(InputError, match="NaN or infinite logits on a noise sample of image"):
        run(
            Workers(lambda number: Job(load_not_finite, PLANS["fixed"], 3, threads=1), 1),
            parts_in(tmp_path),
            block=BLOCK,
        )
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_start_is_acted_on_after_it(sign, tmp_path, monkeypatch, capfd) -> None:
    """A worker without the data of its start would complain; a mask of this thread does not keep others from it."""
    resource_tracker.ensure_running()
    start, begun, ended = util.spawnv_passfds, [], False

    def struck(*given):
        begun.append(start(*given))
        _thread.interrupt_main(sign)
        return begun[-1]

    def end(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(util, "spawnv_passfds", struck)
    before = signal.signal(sign, end)
    try:
        run(Workers(numbered, 2), parts_in(tmp_path), block=BLOCK)
    except KeyboardInterrupt:
        ended = True
    finally:
        signal.signal(sign, before)
    gc.collect()  # what a start that was broken off leaves open
    for pid in begun:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    assert ended and len(begun) == 1 and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "how,words", [({"count": 0}, "at least one worker"), ({"worker_timeout": 0.0}, "above 0 seconds")]
)
def test_workers_that_cannot_be(how, words) -> None:
    with pytest.raises(InputError, match=words):
        Workers(partial(numbered), **({"count": 1} | how))


def test_a_manifest_is_read_once(tmp_path) -> None:
    manifest, calls = replace(local().manifest(), block=BLOCK), []
    parts_in(tmp_path).begin(manifest)
    Parts(Watched(tmp_path, calls.append)).begin(manifest)
    assert calls == ["read"]


def test_votes_of_another_run_are_not_taken_for_those_of_this_one(tmp_path, whole) -> None:
    parts = parts_in(tmp_path / "run")
    assert run(local(seed=4), parts, block=BLOCK, finished=lambda: True) is None
    with pytest.raises(InputError, match="written meanwhile by another run, with seed 3, not 4"):
        parts.check_result(decode_votes(whole["fixed"], "votes"), "votes.parquet")
    own = parts_in(tmp_path / "own")
    assert run(local(), own, block=BLOCK, finished=lambda: True) is None
    own.check_result(decode_votes(whole["fixed"], "votes"), "votes.parquet")
