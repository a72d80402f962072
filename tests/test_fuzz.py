"""What comes from outside ends in an object that is truly valid or in one sentence: thousands of inputs, counted.

The same inputs every time; `make test-slow` tries many more of them.
"""

import json
import resource
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.main import get_command

import radii
import radii.training.loop
from commands import call, tree
from fuzz_factory import (
    CHANGES,
    COLUMN_EDITS,
    EDITS,
    LEAVES,
    all_votes,
    changed,
    changed_columns,
    edited,
)
from job_factory import job
from radii.cli import app
from radii.data import load_data
from radii.engine import LocalExecutor, Parts, Shard, gather, run
from radii.errors import InputError, RadiiWarning
from radii.models import make_model
from radii.report.published import load_published
from radii.sampling import autotune
from radii.storage import parquet
from radii.storage.documents import read_document
from radii.storage.folders import LocalFolder
from radii.storage.parquet_pages import numbers_in
from radii.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from radii.training.loop import Loop
from radii.training.recipe import Recipe, read_recipe
from radii.training.run_folder import CONFIG, WEIGHTS, Config, load_config, load_run, save_config, save_model
from radii.votes import FORMAT, Votes, decode_votes

SOME, MANY = 1, 12
scales = pytest.mark.parametrize(
    "scale",
    [SOME, pytest.param(MANY, marks=pytest.mark.slow)],
    ids=["some", "many"],
)
LONGEST = 200
"""How many times as long as `a_loop` one input may take on the same processor: more is a hang."""

MOST_KILOBYTES = 1_000_000
"""By which the memory of this process may grow over all inputs of a kind."""


def a_loop() -> float:
    """Seconds of the processor that a loop of a million steps takes: some .1."""
    start = time.process_time()
    assert sum(step % 7 for step in range(1_000_000))
    return time.process_time() - start


def fuzz(strategy: st.SearchStrategy, accepts: Callable[[Any], bool], examples: int, least: float) -> None:
    """Try so many inputs; `accepts` says whether one was taken. A share of at least `least` must be refused."""
    tried = refused = 0
    slowest, longest = 0.0, LONGEST * a_loop()

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def attempt(drawn: Any) -> None:
        nonlocal tried, refused, slowest
        start = time.process_time()
        tried += 1
        refused += not accepts(drawn)
        slowest = max(slowest, time.process_time() - start)
        assert slowest < longest

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attempt()
    print(f"{tried} tried, {refused} refused, the slowest took {slowest:.2f} s")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KILOBYTES
    assert tried >= examples and least * tried <= refused < tried, "a test of nothing"


# votes ---------------------------------------------------------------------------------------------

NAMES = sorted(all_votes())
GOOD = {name: votes.encode() for name, votes in all_votes().items()}


@scales
def test_bytes_of_votes(scale):
    def accepts(drawn) -> bool:
        name, edits = drawn
        try:
            votes = decode_votes(edited(GOOD[name], edits), name)
        except InputError:
            return False
        assert votes.encode() == GOOD[name], "a wrong file was taken"
        return True

    fuzz(st.tuples(st.sampled_from(NAMES), EDITS), accepts, 1500 * scale, 0.8)


@scales
def test_footers_of_votes(scale):
    """The walk through the pages is the first to read what a stranger sends."""

    def accepts(drawn) -> bool:
        name, edits = drawn
        content = GOOD[name]
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        footer = edited(content[start:-8], edits)
        try:
            numbers_in(content[:start] + footer + len(footer).to_bytes(4, "little") + content[-4:])
        except ValueError:
            return False
        return True

    fuzz(st.tuples(st.sampled_from(NAMES), EDITS), accepts, 2000 if scale == SOME else 100_000, 0.1)


@scales
def test_votes_with_a_right_digest(scale):
    def accepts(drawn) -> bool:
        name, changes, column_edits = drawn
        columns, header = parquet.decode(GOOD[name], name, FORMAT)
        try:
            columns = changed_columns(columns, column_edits)
            content = parquet.encode(columns, changed(header, changes), FORMAT)
        except Exception:  # nothing that could be a file
            return False
        try:
            votes = decode_votes(content, name)
        except InputError:
            return False
        check_votes(votes)
        return True

    cases = st.tuples(st.sampled_from(NAMES), CHANGES | st.just([]), COLUMN_EDITS)
    fuzz(cases, accepts, 1000 * scale, 0.6)


def check_votes(votes: Votes) -> None:
    """Whatever was loaded is what votes promise to be, by sums that cannot overflow."""
    plan = votes.plan
    for table, most in ((votes.counts, getattr(plan, "n_max", None)), (votes.selection, plan.selection)):
        assert table.shape == (len(votes.index), len(votes.classes)) and table.min() >= 0
        sums = {sum(map(int, row)) for row in table}
        if isinstance(plan, radii.Fixed):
            most = plan.selection if table is votes.selection else sum(stop - at for at, stop in votes.draws)
            assert sums == {most}
        assert max(sums) <= most
    if isinstance(plan, radii.Fixed):
        assert votes.draws[0][0] >= 0 and votes.draws[-1][1] <= plan.n
    assert len(set(votes.index.tolist())) == len(votes.index) and votes.index.min() >= 0
    assert votes.labels is None or 0 <= votes.labels.min() <= votes.labels.max() < len(votes.classes)
    words = (votes.model, str(votes.data), *votes.classes, *votes.devices, *votes.software.values())
    assert all(isinstance(word, str) and word.encode() is not None for word in words)
    assert isinstance(votes.exact_arithmetic, bool)
    assert decode_votes(votes.encode(), "again").encode() == votes.encode()
    for norm in radii.NORMS:
        try:
            found = radii.certify(
                votes, norm, labels=votes.tested_labels or "true", alpha=getattr(plan, "alpha", 0.01)
            )
        except InputError:
            continue
        assert np.isfinite(found.radius).all() and (found.radius >= 0).all()
        assert (found.radius[~found.certified] == 0).all() and found.lower.max() < 1


# runs under way ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A folder of parts, and the votes they make."""
    folder = tmp_path_factory.mktemp("parts")
    run(LocalExecutor(job()), Parts(LocalFolder(folder)), shard=Shard(1, 1), block=2600)
    return folder, gather([folder]).encode()


@scales
def test_folders_of_parts(parts, scale):
    folder, whole = parts
    good = {path.name: path.read_bytes() for path in folder.iterdir()}
    law = json.loads(good["law.json"])
    # without it, changes are checked for themselves
    del law["digest"]

    def accepts(drawn) -> bool:
        name, edits, changes = drawn
        content = edited(good[name], edits)
        if name == "law.json" and changes:
            content = json.dumps(changed(law, changes)).encode()
        (folder / name).write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RadiiWarning)
                parts_of = Parts(LocalFolder(folder))
                found = gather([folder]).encode()
                parts_of.begin(Parts(LocalFolder(folder)).stored())
        except InputError:
            return False
        finally:
            (folder / name).write_bytes(good[name])
        assert found == whole
        return True

    names = st.sampled_from([*sorted(good), *["law.json"] * len(good)])
    fuzz(st.tuples(names, EDITS, CHANGES | st.just([])), accepts, 500 * scale, 0.6)


# models --------------------------------------------------------------------------------------------

CONFIGURED = Config(
    Recipe("digits", "small-cnn", epochs=2, batch=100), (1, 8, 8), tuple("0123456789"), "digits"
)


def with_header(content: bytes, change: Callable[[dict], dict]) -> bytes:
    """A safetensors file with another header."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(change(json.loads(content[8 : 8 + size]))).encode()
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


@scales
def test_run_folders(scale, tmp_path):
    save_config(tmp_path, CONFIGURED)
    save_model(tmp_path, make_model("small-cnn", (1, 8, 8), 10), CONFIGURED)
    good = {name: (tmp_path / name).read_bytes() for name in (CONFIG, WEIGHTS)}
    config = json.loads(good[CONFIG])

    def accepts(drawn) -> bool:
        name, edits, changes = drawn
        if not changes:
            content = edited(good[name], edits)
        elif name == CONFIG:
            content = json.dumps(changed(config, changes)).encode()
        else:
            content = with_header(good[name], lambda header: changed(header, changes))
        (tmp_path / name).write_bytes(content)
        try:
            model, found = load_run(tmp_path)
        except InputError:
            return False
        finally:
            (tmp_path / name).write_bytes(good[name])
        with torch.no_grad():
            assert model(torch.zeros(1, *found.shape)).shape == (1, len(found.classes))
        save_config(tmp_path / "again", found)
        assert load_config(tmp_path / "again") == found
        return True

    cases = st.tuples(st.sampled_from((CONFIG, WEIGHTS)), EDITS, CHANGES | st.just([]))
    fuzz(cases, accepts, 400 * scale, 0.5)


@scales
def test_checkpoints(scale, tmp_path):
    loop = Loop(CONFIGURED.recipe, load_data("digits", "train").first(100), torch.device("cpu"))
    rows: list[dict[str, float]] = [{"epoch": 1, **loop.epoch(lambda images: None)}]
    save_checkpoint(tmp_path, CONFIGURED, "cpu", rows, loop.state())
    good = (tmp_path / CHECKPOINT).read_bytes()

    def accepts(drawn) -> bool:
        edits, changes, inner = drawn

        def change(header: dict) -> dict:
            rows = json.loads(header["__metadata__"]["rows"])
            header["__metadata__"]["rows"] = json.dumps(changed(rows, inner))
            return changed(header, changes)

        content = with_header(good, change) if changes or inner else edited(good, edits)
        (tmp_path / CHECKPOINT).write_bytes(content)
        try:
            found, state = load_checkpoint(tmp_path, CONFIGURED, "cpu") or ([], {})
            loop.restore(state, len(found))
        except InputError:
            return False
        assert 1 <= len(found) <= CONFIGURED.recipe.epochs
        return True

    fuzz(st.tuples(EDITS, CHANGES | st.just([]), CHANGES | st.just([])), accepts, 200 * scale, 0.5)


# documents -----------------------------------------------------------------------------------------

OWN = b"""data = "digits"
model = "small-cnn"
noise = "uniform"
sigma = 0.25
loss = "consistency"
average = 0.99
epochs = 3
[options]
m = 4
weight = 5
"""
THEIRS = b"""data = "cifar10 test"
[[row]]
name = "theirs"
norm = "linf"
sigma = 0.25
accuracy = { "2/255" = 0.5, "0" = 0.75 }
source = "a paper"
"""
PIECES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 12),
        st.sampled_from(
            (
                b"[" * 3000,
                b"1e999999999",
                b"9" * 400,
                b"nan",
                b"-inf",
                b"true",
                b'"x"',
                b"{}",
                b"''",
                b"\xff",
                b"\n",
                b"=",
            )
        ),
    ),
    max_size=3,
)


@scales
@pytest.mark.parametrize("which", ["recipe", "published"])
def test_documents(which, scale, tmp_path):
    path, good = tmp_path / "own.toml", OWN if which == "recipe" else THEIRS

    def accepts(drawn) -> bool:
        edits, pieces = drawn
        content = edited(good, edits) if not pieces else good
        for place, length, piece in pieces:
            at = int(place * len(content))
            content = content[:at] + piece + content[at + length :]
        path.write_bytes(content)
        try:
            if which == "recipe":
                assert Recipe(**asdict(read_recipe(str(path))))
            else:
                for row in load_published(path):
                    shares = list(row.accuracy.values())
                    assert all(0 <= share <= 1 for share in shares) and np.isfinite(list(row.accuracy)).all()
        except InputError:
            return False
        return True

    fuzz(st.tuples(EDITS, PIECES), accepts, 400 * scale, 0.3)


@scales
def test_what_trials_remember(scale, tmp_path, monkeypatch):
    monkeypatch.setenv("RADII_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(autotune, "tune", lambda *_: ("float32", 64))
    model = torch.nn.Linear(400, 400)
    assert autotune.fastest_settings(model, None, (400,), "float32", False) == ("float32", 64)
    good = autotune.cache_file().read_bytes()

    def accepts(drawn) -> bool:
        edits, changes = drawn
        content = json.dumps(changed(json.loads(good), changes)).encode() if changes else edited(good, edits)
        autotune.cache_file().write_bytes(content)
        precision, rows = autotune.fastest_settings(model, None, (400,), "float32", False)
        assert precision == "float32" and type(rows) is int and 0 < rows <= 4096
        return rows == 64 and autotune.cache_file().read_bytes() == content

    fuzz(st.tuples(EDITS | st.just([]), CHANGES | st.just([])), accepts, 300 * scale, 0.3)


@scales
def test_any_json(scale):
    kinds = {"a": list[int], "b": dict[str, float], "c": str | None}

    def accepts(drawn) -> bool:
        try:
            read_document(json.dumps({"format": 1, "a": drawn, "b": {}, "c": None}).encode(), "it", 1, kinds)
        except InputError:
            return False
        assert all(type(one) is int for one in drawn)
        return True

    fuzz(st.lists(LEAVES, max_size=3) | LEAVES, accepts, 300 * scale, 0.5)


# the command line ----------------------------------------------------------------------------------

WORDS = (
    *(
        "0",
        "-1",
        "1",
        "3",
        "30",
        "0.3",
        "1e-9",
        "1e-320",
        "nan",
        "inf",
        "1e400",
        "9" * 22,
        "9" * 5000,
        "x",
        "",
    ),
    *(
        "l1:0.1",
        "linf:2/255",
        "l2:1/0",
        "l2:1e999999999",
        "l9:1",
        "3,8,8",
        "0,1",
        "9" * 12 + ",2",
        "1/2",
        "m=3",
        "m=" + "9" * 30,
    ),
    *(
        "fixed",
        "sequential",
        "top-k",
        "two-stage",
        "anytime",
        "predicted",
        "top-k-set",
        "binary",
        "laplace",
        "l0",
        "l2",
    ),
    *(
        "pixel",
        "bfloat16",
        "train",
        "digits",
        "small-cnn",
        "wrn-999994-1",
        "consistency",
        "\x1b[2J",
        "\udce9",
        "é",
        "--",
        "-k",
    ),
)
FILES = (
    "good.parquet",
    "cut.parquet",
    "empty",
    "run",
    "cut-run",
    "parts",
    "own.toml",
    "bad.toml",
    "nowhere/x",
    ".",
)
LINES = (
    "vote run --limit 2 --n 20 --alpha 0.05 --out new/v",
    "vote run --limit 2 --radii 0.1 --n-max 300 --alpha 0.01 --out new/v",
    "vote cut-run --out new/v",
    "merge parts --out new/v",
    "merge cut-parts good.parquet --out new/v",
    "certify good.parquet --norm l2",
    "certify good.parquet cut.parquet --out new",
    "report good.parquet --norm l2 --no-examples --out new",
    "plan --radii 0.25 --n-max 1000",
    "plan --images 50 --passes-per-second 3",
    "train --data digits --epochs 1 --batch-size 1000 --out new",
    "train --recipe own.toml --epochs 1 --out new",
    "noises --norm l2",
    "data digits",
    "demo --images 2 --n 20 --data digits --out new",
)
LEFT_OUT = {"--workers", "--executor", "--compile", "--no-compile", "--data-dir", "--help", "--examples"}
"""Options that start processes, take minutes or the network, or end a line early."""


def options_of(command: str) -> list[str]:
    """The options of a command, as they are."""
    (params,) = [one.params for name, one in get_command(app).commands.items() if name == command]
    return sorted({name for one in params for name in one.opts if name.startswith("-")} - LEFT_OUT)


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command line that is right, with options and values added or words changed."""
    words = draw(st.sampled_from(LINES)).split()
    command, values = words[0], st.sampled_from(WORDS) | st.sampled_from(FILES)
    for _ in range(draw(st.integers(0, 3))):
        option = draw(st.sampled_from((None, *options_of(command))))
        if option is None:
            words[draw(st.integers(1, len(words) - 1))] = draw(values)
        else:
            words += [option, draw(values)]
    return words


@pytest.fixture
def place(tmp_path, monkeypatch, parts):
    """A folder with good and damaged files; nothing there trains for long or draws a page."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.parquet").write_bytes(GOOD["fixed"])
    (tmp_path / "cut.parquet").write_bytes(GOOD["fixed"][:-9])
    (tmp_path / "empty").touch()
    (tmp_path / "own.toml").write_bytes(OWN)
    (tmp_path / "bad.toml").write_bytes(b"[" * 3000)
    for name in ("run", "cut-run"):
        save_config(tmp_path / name, CONFIGURED)
        save_model(tmp_path / name, make_model("small-cnn", (1, 8, 8), 10), CONFIGURED)
        shutil.copytree(parts[0], tmp_path / name.replace("run", "parts"))
    (tmp_path / "cut-run" / WEIGHTS).write_bytes((tmp_path / "run" / WEIGHTS).read_bytes()[:-1])
    (tmp_path / "cut-parts" / "part-00001.parquet").write_bytes(b"")
    fit = radii.training.train

    def brief(recipe: Recipe, *rest: Any, **named: Any) -> torch.nn.Module:
        if recipe.epochs > 1 or max(recipe.options.values(), default=0) > 100:
            raise InputError("this would take too long")
        return fit(recipe, *rest, **named)

    def too_long(*_: Any, **__: Any) -> None:
        raise InputError("this would take too long")

    monkeypatch.setattr("radii.training.train", brief)
    monkeypatch.setattr("radii.cli.demo.run_demo", too_long)
    monkeypatch.setattr("radii.report.html.write_report", lambda runs, out, **_: out)
    return tmp_path


@scales
def test_command_lines(scale, place):
    before = tree(place)
    dropped = place / "cut-parts" / "part-00001.parquet"

    def accepts(words: list[str]) -> bool:
        ended = call(*words)
        assert ended.status in (0, 2), words
        said = ended.err.splitlines()
        assert all(line.startswith("radii: ") for line in said) and "Traceback" not in ended.out + ended.err
        assert sum(not line.startswith("radii: note: ") for line in said) == (ended.status == 2), said
        now = tree(place)
        assert not any(path.name.endswith(".part") for path in now), "half of a file"
        assert all(now.get(path) == content for path, content in before.items() if path != dropped)
        for path in {path.relative_to(place).parts[0] for path in now.keys() - before.keys()}:
            shutil.rmtree(place / path) if (place / path).is_dir() else (place / path).unlink()
        for path in before.keys() - tree(place).keys():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(before[path])
        return ended.status == 0

    fuzz(lines(), accepts, 400 * scale, 0.3)
