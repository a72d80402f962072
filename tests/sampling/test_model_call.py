"""Queries of a model within memory."""

import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import radii
from given_models import digits, plain
from radii.errors import InputError, RadiiWarning
from radii.models import make_model
from radii.sampling.model_call import LEAST_ROWS, WithinMemory

SHAPE = (1, 8, 8)


def network(name="small-cnn", shape=SHAPE) -> nn.Module:
    torch.manual_seed(0)
    return make_model(name, shape, 10).eval()


# memory -------------------------------------------------------------------------------------------


class Narrow:
    """A model on a device that holds so many images, and runs out of memory at the call `after`."""

    def __init__(self, room: int, error: Exception, after: int = 0) -> None:
        self.model, self.room, self.error, self.after = network(), room, error, after
        self.seen: list[int] = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(images))
        if len(images) > self.room and len(self.seen) > self.after:
            raise self.error
        return self.model(images)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory: you tried ..."
    ),
    RuntimeError("CUDNN_STATUS_ALLOC_FAILED"),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_batch_that_does_not_fit_is_halved_and_votes_stay(error: Exception) -> None:
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    how = {"plan": radii.fixed(100, 10), "seed": 5}
    usual = radii.Smoothed(network(), radii.Gaussian(0.5), batch=64).vote(images, **how)
    model = Narrow(20, error, after=3)
    with pytest.warns(RadiiWarning, match="out of memory: continuing with") as said:
        votes = radii.Smoothed(model, radii.Gaussian(0.5), batch=64).vote(images, **how)
    assert "with 16 images in one query" in str(said[-1].message) and len(said) == 2
    np.testing.assert_array_equal(votes.counts, usual.counts)
    np.testing.assert_array_equal(votes.selection, usual.selection)
    assert (usual.counts > 0).sum() > 6 and model.seen[3:6] == [64, 32, 16] and set(model.seen[6:]) == {16}


def test_noise_that_finds_no_memory_beside_the_model_is_drawn_when_the_model_is_done(monkeypatch) -> None:
    images = torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))
    how = {"plan": radii.fixed(300, 10), "seed": 5}
    usual = radii.Smoothed(network(), radii.Gaussian(0.5), batch=64).vote(images, **how)
    draw, calls = radii.Gaussian.draw, []

    def short(noise, stream, shape):
        calls.append(threading.current_thread())
        if len(calls) in (2, 5, 6) and calls[-1] is not threading.main_thread():
            raise MemoryError
        return draw(noise, stream, shape)

    monkeypatch.setattr(radii.Gaussian, "draw", short)
    votes = radii.Smoothed(network(), radii.Gaussian(0.5), batch=64).vote(images, **how)
    assert votes.encode() == usual.encode() and threading.main_thread() in calls

    def none(*_):
        raise MemoryError

    monkeypatch.setattr(radii.Gaussian, "draw", none)
    with pytest.raises(MemoryError):
        radii.Smoothed(network(), radii.Gaussian(0.5), batch=64).vote(images, **how)


def test_other_errors_are_no_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="something else"):
        WithinMemory(Narrow(8, RuntimeError("something else")))(torch.zeros(64, *SHAPE))


def test_memory_for_almost_nothing() -> None:
    model = Narrow(LEAST_ROWS - 1, MemoryError())
    with (
        pytest.warns(RadiiWarning),
        pytest.raises(InputError, match="on 8 images at a time: free some memory"),
    ):
        WithinMemory(model)(torch.zeros(32, *SHAPE))


# the number of classes ----------------------------------------------------------------------------


class Fickle:
    """The nearest mean of ten classes, which has another number of them from some call on, whoever holds a copy."""

    def __init__(self, width: int, after: int) -> None:
        self.width, self.after, self.calls = width, after, 0

    def __deepcopy__(self, _: dict) -> "Fickle":
        return self

    def __call__(self, images: Tensor) -> Tensor:
        self.calls += 1
        logits = plain(images.reshape(-1, *SHAPE))
        return logits if self.calls <= self.after else torch.cat([logits, logits], 1)[:, : self.width]


class Module(nn.Module):
    def __init__(self, fickle: Fickle) -> None:
        super().__init__()
        self.fickle = fickle

    def forward(self, images: Tensor) -> Tensor:
        return self.fickle(images)


class LikeSklearn:
    classes_ = np.arange(10)

    def __init__(self, fickle: Fickle) -> None:
        self.fickle = fickle

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        return self.fickle(torch.from_numpy(features)).numpy()


KINDS = {
    "callable": lambda fickle: fickle,
    "module": lambda fickle: Module(fickle).eval(),
    "estimator": lambda fickle: radii.load_model(LikeSklearn(fickle)),
    "scaled": lambda fickle: radii.load_model(Module(fickle).eval(), input_range=(0, 1), layout="nhwc"),
    "class map": lambda fickle: radii.load_model(fickle, class_map=[[9], [1, 2], [0]]),
}


@pytest.mark.parametrize("width", [3, 12])
@pytest.mark.parametrize("after", [4, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_classes_is_held(kind: str, width: int, after: int) -> None:
    """Whether it changes during the check or in the run: with fewer classes wrong votes would be counted."""
    model = KINDS[kind](Fickle(width, after))
    with pytest.raises(InputError, match=f"as many logits .* as at first, 10; got {width}"):
        radii.Smoothed(model, radii.Gaussian(0.25), batch=64).vote(digits(12)[0], plan=radii.fixed(100))
