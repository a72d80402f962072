"""Tuning finds the fastest settings, caches them, and never fails a run."""

import json

import pytest
import torch
from torch import nn

import radii
from radii.models import make_model
from radii.sampling import autotune
from radii.sampling.autotune import ROWS, cache_file, fastest_settings, tune, tune_rows

SHAPE = (2,)
CPU = torch.device("cpu")


class Clock:
    """The clock of the tuning: it advances only while a made-up model runs."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    monkeypatch.setattr(autotune, "time", Clock())
    return autotune.time


def machine(clock: Clock, speeds: dict[str, dict[int, float]], queries: list | None = None):
    """A made-up model: images per second by precision and rows."""

    def prepare(precision: str):
        def ask(images: torch.Tensor) -> torch.Tensor:
            if queries is not None:
                queries.append((precision, len(images)))
            clock.now += len(images) / speeds[precision][len(images)]
            return images

        return ask

    return prepare


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(autotune, "SECONDS", 0.0)
    monkeypatch.setenv("RADII_CACHE_DIR", str(tmp_path))


def test_batches_grow_as_long_as_that_is_faster(clock):
    queries: list = []
    speeds = {"float32": {16: 800, 32: 1600, 64: 4000, 128: 3900, 256: 9e9}}
    rows, speed = tune_rows(machine(clock, speeds, queries)("float32"), SHAPE, CPU)
    assert rows == 64 and speed == pytest.approx(4000)
    assert max(size for _, size in queries) == 128, "larger batches are not tried after one that is no faster"


def test_a_precision_must_be_faster(clock):
    slow = {16: 800, 32: 810, 64: 1}
    fast = {16: 1600, 32: 6000, 64: 5000}
    assert tune(machine(clock, {"float32": slow, "bfloat16": fast}), SHAPE, ["float32", "bfloat16"], CPU) == (
        "bfloat16",
        32,
    )
    chosen, _ = tune(machine(clock, {"float32": fast, "bfloat16": slow}), SHAPE, ["float32", "bfloat16"], CPU)
    assert chosen == "float32"


def test_sizes_that_do_not_fit_into_memory_are_left_out(clock):
    def ask(images):
        if len(images) > 16:
            raise torch.OutOfMemoryError
        clock.now += 1e-3
        return images

    assert tune_rows(ask, SHAPE, CPU)[0] == 16

    def never(images):
        raise torch.OutOfMemoryError

    assert tune_rows(never, SHAPE, CPU)[0] == ROWS


def test_settings_are_cached_by_model_and_precision(monkeypatch):
    model, tried = nn.Linear(400, 400), []

    def found(prepare, shape, precisions, device):
        tried.append(precisions)
        return precisions[-1], 32

    monkeypatch.setattr(autotune, "tune", found)
    monkeypatch.setattr(autotune, "has_bfloat16", lambda device: True)
    for _ in range(2):
        assert fastest_settings(model, None, (400,), "float32", False) == ("float32", 32)
        assert fastest_settings(model, None, (400,), "auto", False) == ("bfloat16", 32)
    assert tried == [["float32"], ["float32", "bfloat16"]]
    fastest_settings(nn.Linear(400, 400), None, (400,), "float32", False)
    assert len(tried) == 3 and len(json.loads(cache_file().read_text())) == 3
    monkeypatch.setattr(autotune, "has_bfloat16", lambda device: False)
    fastest_settings(nn.Linear(400, 400), None, (400,), "auto", False)
    assert tried[-1] == ["float32"]


def test_slow_models_and_large_images_are_not_tried_in_large_batches(clock, monkeypatch):
    monkeypatch.setattr(autotune, "LONGEST", 0.05)
    queries: list = []
    slow = {"float32": {16: 200, 32: 400, 64: 800}}
    assert tune_rows(machine(clock, slow, queries)("float32"), SHAPE, CPU)[0] == 16
    assert {size for _, size in queries} == {16}
    assert tune_rows(lambda images: images, (2**23,), CPU)[0] == ROWS, (
        "16 rows would not fit: nothing is tried"
    )


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    def nobody() -> None:
        raise RuntimeError("no home")

    monkeypatch.delenv("RADII_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", nobody)
    monkeypatch.setattr(autotune, "tune", lambda *_: ("float32", 32))
    assert fastest_settings(nn.Linear(400, 400), None, (400,), "float32", False) == ("float32", 32)


@pytest.mark.parametrize(
    "content",
    ["", '{"a": ["float16", 8]}', '{"a": ["float32", 0]}', "[]", '{"a": 1}', '{"a": ["float32", "x"]}', "\0"],
)
def test_a_damaged_cache_is_ignored(content, monkeypatch):
    cache_file().parent.mkdir(exist_ok=True)
    cache_file().write_text(content)
    monkeypatch.setattr(autotune, "tune", lambda *_: ("float32", 32))
    assert fastest_settings(nn.Linear(400, 400), None, (400,), "float32", False) == ("float32", 32)
    assert "float32" in cache_file().read_text()


@pytest.mark.parametrize("kept", ['["bfloat16", 64]', '["float32", true]'])
def test_cached_settings_of_another_precision_are_ignored(kept, monkeypatch):
    model = nn.Linear(400, 400)
    monkeypatch.setattr(autotune, "tune", lambda *_: ("float32", 32))
    fastest_settings(model, None, (400,), "float32", False)
    (key,) = json.loads(cache_file().read_text())
    cache_file().write_text(f"{{{json.dumps(key)}: {kept}}}")
    assert fastest_settings(model, None, (400,), "float32", False) == ("float32", 32)


def test_a_cache_that_cannot_be_written_is_ignored(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RADII_CACHE_DIR", str(tmp_path / "file"))
    monkeypatch.setattr(autotune, "tune", lambda *_: ("float32", 32))
    assert fastest_settings(nn.Linear(400, 400), None, (400,), "float32", False) == ("float32", 32)


def test_small_and_fused_modules_and_functions_are_not_tuned(monkeypatch):
    monkeypatch.setattr(autotune, "tune", lambda *_: pytest.fail("tuned"))
    monkeypatch.setattr(autotune, "has_bfloat16", lambda device: True)
    assert fastest_settings(nn.Linear(2, 2), None, SHAPE, "auto", False) == ("float32", ROWS)
    assert fastest_settings(lambda x: x, None, SHAPE, "float32", False) == ("float32", ROWS)
    assert fastest_settings(nn.Linear(400, 400), None, (400,), "auto", True) == ("bfloat16", ROWS)


def test_votes_record_the_chosen_precision(monkeypatch):
    seen = []
    monkeypatch.setattr(autotune, "tune", lambda *_: ("bfloat16", 24))
    model = make_model("wrn-10-2", (3, 8, 8), 4).eval()
    model.register_forward_pre_hook(lambda _, inputs: seen.append((inputs[0].dtype, len(inputs[0]))))
    smoothed = radii.Smoothed(model, radii.Gaussian(0.5), "auto")
    votes = smoothed.vote(torch.rand(2, 3, 8, 8), plan=radii.fixed(30, 2))
    assert votes.precision == "bfloat16" and set(seen) == {(torch.bfloat16, 24), (torch.bfloat16, 1)}
    seen.clear()
    radii.Smoothed(model, radii.Gaussian(0.5), batch=16).predict(torch.rand(1, 3, 8, 8), n=20)
    assert set(seen) == {(torch.float32, 16), (torch.float32, 1)}
