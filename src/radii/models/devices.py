"""Devices that run models: which one, at what precision, in how many threads, with which random numbers."""

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
"""Largest number of weights of a model that runs in one thread: small-cnn has 30 thousand, wrn-16-2 0.7 million."""

_lock = threading.RLock()


def best_device() -> torch.device:
    """Return a GPU if torch can use one, otherwise the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def gpus() -> int:
    """Return the number of GPUs that torch can use."""
    return torch.cuda.device_count()


def device_of(number: int) -> torch.device:
    """Return the device of process `number`: GPUs are assigned in turn; without one, the processor."""
    return torch.device("cuda", number % gpus()) if gpus() else torch.device("cpu")


def threads_of(processes: int) -> int:
    """Return the number of threads for each of several processes on this machine."""
    # the affinity mask may allow fewer cores than the machine has
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes)


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 instructions; without them, bfloat16 is emulated and slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        flags = torch.cpu.get_capabilities()
        return bool(flags.get("avx512_bf16") or flags.get("amx_bf16") or flags.get("bf16"))
    return False


def processor_kind(model: object) -> str:
    """Return the kind of processor that runs a module, or "" for other callables. Kinds round differently."""
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if weight is None:
        return ""
    if weight.device.type == "cuda":
        return torch.cuda.get_device_name(weight.device)
    if weight.device.type != "cpu":
        return weight.device.type
    # torch names no kind above AVX-512, but uses a matrix unit where there is one, which rounds otherwise
    matrix_unit = " with a matrix unit" if torch.cpu.get_capabilities().get("amx_bf16") else ""
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}{matrix_unit}"


def check_compiler(device: torch.device) -> None:
    """Raise `InputError` if torch.compile needs a C++ compiler and none is installed."""
    # for a GPU, torch compiles with Triton, which it brings along
    compilers = (os.environ.get("CXX"), "g++", "clang++")
    if device.type != "cuda" and not any(shutil.which(name) for name in compilers if name):
        raise InputError("compile needs a C++ compiler: install g++ or clang++, or go without compile")


def is_compiled(model: object) -> bool:
    """Return whether a model is a module or a function that torch.compile made."""
    # attributes that torch.compile leaves on a module and on a function; it has no public test
    return hasattr(model, "_orig_mod") or hasattr(model, "_torchdynamo_orig_callable")


def is_small(model: object) -> bool:
    """Return whether a model is a module that one thread runs as fast as several."""
    return isinstance(model, nn.Module) and sum(weight.numel() for weight in model.parameters()) <= SMALL


def cores_used(model: object) -> int:
    """Return how many cores of this machine a model keeps busy; 0 if it runs elsewhere, or that is unknown."""
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    if weight is None or weight.device.type != "cpu":
        return 0
    return 1 if is_small(model) else torch.get_num_threads()


def limit_threads(model: object) -> AbstractContextManager[None]:
    """Run a small model in one thread.

    It gains nothing from more. If other programs use the cores, threads wait for each other after every layer, which
    makes a small model tens of times slower.
    """
    return _one_thread(is_small(model))


def call_guard(model: object) -> Callable[[], AbstractContextManager[None]]:
    """Return the context manager for each call of a model: only one module runs in this process at a time.

    The number of torch's threads is a setting of the whole process. Without the lock, a model would run with the
    setting of another one, and round differently; restoring the setting could also make a wrong one permanent.
    """
    return partial(_locked, is_small(model)) if isinstance(model, nn.Module) else nullcontext


@contextmanager
def _locked(small: bool) -> Iterator[None]:
    with _lock, _one_thread(small):
        yield


@contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    before = torch.get_num_threads() if wanted else 1
    # if another Python thread has set one thread for now, 1 must not be restored as the usual number
    if before == 1:
        yield
        return
    # a generator that ends with the interpreter, after an interruption, finds no modules any more
    set_threads = torch.set_num_threads
    set_threads(1)
    try:
        yield
    finally:
        set_threads(before)


def repeatable() -> AbstractContextManager[None]:
    """Restrict a GPU to convolutions that add in the same order each time, as the processor always does."""
    # a benchmark would choose algorithms by their speed at this moment, and each rounds differently
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)


class TensorSource:
    """Seeded random numbers as float32 tensors on a device; fast, without positions, for training only."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.generator = torch.Generator(device).manual_seed(seed)
        self._device = device

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Draw normal numbers with mean 0 and standard deviation 1."""
        return torch.randn(shape, generator=self.generator, device=self._device)

    def exponential(self, shape: tuple[int, ...]) -> Tensor:
        """Draw exponential numbers with mean 1."""
        # by inversion: torch's own sampler is five times slower; log1p(-u) is finite for u in [0, 1)
        return self.uniform(shape).neg_().log1p_().neg_()

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Draw uniform numbers from [0, 1)."""
        return torch.rand(shape, generator=self.generator, device=self._device)
