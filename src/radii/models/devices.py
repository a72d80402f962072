"""Where tensors live: the device, whether it computes bfloat16 in hardware, and random numbers drawn on it."""

import os
import platform
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from radii.errors import InputError

SMALL = 100_000
"""Weights up to which a model runs in one thread."""

_turns = threading.RLock()


def best_device() -> torch.device:
    """A GPU if torch can use one, otherwise the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def gpus() -> int:
    """How many GPUs torch can use."""
    return torch.cuda.device_count()


def device_of(number: int) -> torch.device:
    """The device of process `number` of several: GPUs in turn, otherwise the processor."""
    return torch.device("cuda", number % gpus()) if gpus() else torch.device("cpu")


def threads_of(processes: int) -> int:
    """Processor threads for each of so many processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 instructions; without them that precision is emulated, and slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))
    return False


def kind_of(model: object) -> str:
    """The kind of processor that runs a module, in words; kinds round differently. Empty for other callables."""
    weights = list(model.parameters()) if isinstance(model, nn.Module) else []
    if not weights or weights[0].device.type not in ("cpu", "cuda"):
        return weights[0].device.type if weights else ""
    if weights[0].device.type == "cuda":
        return torch.cuda.get_device_name(weights[0].device)
    matrix_unit = " with a matrix unit" if torch.cpu.get_capabilities().get("amx_bf16") else ""
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}{matrix_unit}"


def check_compiler(device: torch.device) -> None:
    """Refuse to compile for a processor without a C++ compiler; for a GPU, what it takes comes with torch."""
    compilers = (os.environ.get("CXX"), "g++", "clang++")
    if device.type != "cuda" and not any(shutil.which(name) for name in compilers if name):
        raise InputError("compile needs a C++ compiler: install g++ or clang++, or go without compile")


def is_compiled(model: object) -> bool:
    """Return whether a model is a module or a function that torch.compile made."""
    return hasattr(model, "_orig_mod") or hasattr(model, "_torchdynamo_orig_callable")


def is_small(model: object) -> bool:
    """Whether a model is a module that one thread runs as fast as several."""
    return isinstance(model, nn.Module) and sum(one.numel() for one in model.parameters()) <= SMALL


def busy_cores(model: object) -> int:
    """How many cores of this machine a model keeps busy; 0 where it runs elsewhere, or nobody knows where."""
    weights = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if weights is None or weights.device.type != "cpu":
        return 0
    return 1 if is_small(model) else torch.get_num_threads()


@contextmanager
def fitting_threads(model: object) -> Iterator[None]:
    """Run a small model in one thread.

    More threads gain nothing on it, and where another program wants a core they wait for one another after every
    layer, which makes it tens of times slower.
    """
    with _one_thread(is_small(model)):
        yield


def turns_of(model: object) -> Callable[[], AbstractContextManager[None]]:
    """What to enter for each call of a model, a module's own turn: no other one runs in this process meanwhile.

    The number of torch's threads is a setting of the whole process: without turns, a model would run, and round, by the
    setting for another one, and the last to restore it could restore the wrong one for good.
    """
    return partial(_turn, is_small(model)) if isinstance(model, nn.Module) else nullcontext


@contextmanager
def _turn(small: bool) -> Iterator[None]:
    with _turns, _one_thread(small):
        yield


@contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    before = torch.get_num_threads() if wanted else 1
    # a thread that came while another had one thread must not hand that on as the usual number
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def repeatable() -> Iterator[None]:
    """Let a GPU choose only convolutions that add in the same order each time; the processor always does."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


class TensorSource:
    """Standard random numbers as float32 tensors of a device: fast, seeded, not counted. For training only."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self._device = device

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Normal with mean 0 and standard deviation 1."""
        return torch.randn(shape, generator=self.generator, device=self._device)

    def exponential(self, shape: tuple[int, ...]) -> Tensor:
        """Exponential with mean 1, by the inverse distribution function: torch's own is five times slower."""
        return self.uniform(shape).neg_().log1p_().neg_()

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Uniform on [0, 1)."""
        return torch.rand(shape, generator=self.generator, device=self._device)
