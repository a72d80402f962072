"""The script for a GPU, run dry on whatever is here: the GPU will be at hand for minutes, too few to mend a script."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import radii
from radii.data import load_data
from radii.training import make_recipe, train
from radii.training.run_folder import load_run

SCRIPT = Path(__file__).parents[1] / "tools" / "gpu.py"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The script's names; the modules of its neighbours go with the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    names = SimpleNamespace(**runpy.run_path(str(SCRIPT)))
    for name in {"measure", "sampling", "training", "baseline"} & (set(sys.modules) - before):
        del sys.modules[name]
    return names


def run(gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, words)])
    code: int = gpu.main()
    return code


def test_check(
    gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gpu, monkeypatch, "check", "--dry-run") == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][2:]
    assert [row[0].strip("| ") for row in rows] == ["laplace", "laplace", "gaussian", "gaussian"]
    assert {row[1] for row in rows} == {"float32", "bfloat16"} and {row[-1] for row in rows} == {"yes |"}
    # another precision did run: it moves a vote or two
    assert any(float(row[2]) > 0 for row in rows)


def test_a_device_that_computes_otherwise_is_seen(gpu: SimpleNamespace, tmp_path: Path) -> None:
    class Off(nn.Module):
        """A network that answers otherwise once it was moved to the device."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model, self.moved = model, False

        def to(self, *where: object, **how: object) -> nn.Module:
            # sampling changes the memory layout by the same method
            self.moved |= isinstance(next(iter(where), None), torch.device)
            return super().to(*where, **how)  # type: ignore[arg-type]

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model(images)
            return logits + 0.5 * torch.eye(10)[3] if self.moved else logits

    noise = radii.Laplace(0.5)
    model = train(
        make_recipe("digits", noise="laplace:sigma=0.5", epochs=2), load_data("digits", "train"), tmp_path
    )
    images = load_data("digits", "test")[:8]
    for name, moved, _, _, limit in gpu.compare(noise, Off(model).eval(), images, 500):
        assert moved > limit, name


def test_every_listed_outcome_is_compared(gpu: SimpleNamespace, tmp_path: Path) -> None:
    model = train(make_recipe("digits", noise="splitting", epochs=1), load_data("digits", "train"), tmp_path)
    found = list(gpu.compare(radii.Splitting(0.5), model, load_data("digits", "test")[:4], 100))
    assert [row[0] for row in found] == ["float32", "bfloat16"] and found[0][1] == 0


def test_speed(
    gpu: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gpu, monkeypatch, "speed", "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "## Samples per second: small-cnn" in printed and "## Training" in printed


def test_training_that_stops_in_time_is_resumed(
    gpu: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    assert run(gpu, monkeypatch, "train", "--dry-run", "--out", folder, "--seconds", 0) == 0
    assert "continues from the last epoch" in capsys.readouterr().out
    assert not (folder / "model.safetensors").exists()
    assert run(gpu, monkeypatch, "train", "--dry-run", "--out", folder) == 0
    assert "epoch 2" in capsys.readouterr().out
    _, config = load_run(folder)
    assert config.recipe.noise == "splitting" and config.recipe.sigma == 0.75
    with pytest.raises(SystemExit, match="2"):
        run(gpu, monkeypatch, "train", "--dry-run", "--out", folder)
    assert "already holds a trained model" in capsys.readouterr().err
