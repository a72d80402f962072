"""Calls of ATen operators with hostile arguments, on tensors that end at a page that must not be touched.

An operator that reads or writes outside its tensors ends the process. Each call is printed before it is made, so the
last line names the call that crashed. To repeat it: python tests/operator_fuzz.py SEED CALLS 1 NAME
"""

import ctypes
import mmap
import os
import random
import resource
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from radii.errors import InputError
from radii.models.adapters import operators

MEMORY = 2**26
"""Bytes that one call may take beside what the process has: larger tensors are not made."""

INTEGERS = (0, 1, 2, 3, 5, 7, 64, 255, -1, -2, -3, -100, 2**31 - 1, -(2**31) + 1)
INDICES = (*INTEGERS, 2**31, 2**40, 2**62, -(2**62), 2**63 - 1, -(2**63), *(0, 1, 2) * 6)
FLOATS = (0.0, 1.0, -1.0, 0.5, 1e-38, 1e30, -1e30, float("inf"), float("-inf"), float("nan"))
WORDS = (
    *("none", "tanh", "floor", "trunc", "ij", "xy", "linear", "left", "fro", "nuc"),
    *("constant", "reflect", "replicate", "circular", "ij,jk->ik", "bij,bkj->bik", "...i,ij->...j", "ii->i"),
)
TYPES = (torch.float32, torch.float32, torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool)

IMAGES, VOLUMES, SIGNALS = (2, 4, 6, 6), (2, 4, 4, 4, 4), (2, 4, 9)
CHANNELS = [(4,)] * 4
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "conv1d": [SIGNALS, (6, 4, 3), (6,)],
    "conv2d": [IMAGES, (6, 4, 3, 3), (6,)],
    "conv3d": [VOLUMES, (6, 4, 2, 2, 2), (6,)],
    "conv_transpose1d": [SIGNALS, (4, 6, 3), (6,)],
    "conv_transpose2d": [IMAGES, (4, 6, 3, 3), (6,)],
    "conv_transpose3d": [VOLUMES, (4, 6, 2, 2, 2), (6,)],
    "convolution": [IMAGES, (6, 4, 3, 3), (6,)],
    "linear": [(5, 4), (6, 4), (6,)],
    "scaled_dot_product_attention": [(2, 2, 5, 8), (2, 2, 5, 8), (2, 2, 5, 8), (5, 5)],
    "embedding": [(7, 4), (5,)],
    "grid_sampler": [IMAGES, (2, 5, 5, 2)],
    "grid_sampler_2d": [IMAGES, (2, 5, 5, 2)],
    "addmm": [(5, 6), (5, 4), (4, 6)],
    "mm": [(5, 4), (4, 6)],
    "bmm": [(2, 5, 4), (2, 4, 6)],
    "baddbmm": [(2, 5, 6), (2, 5, 4), (2, 4, 6)],
    "rms_norm": [(2, 6, 4), (4,)],
    "_fused_rms_norm": [(2, 6, 4), (4,)],
    "layer_norm": [(2, 6, 4), (4,), (4,)],
    "native_layer_norm": [(2, 6, 4), (4,), (4,)],
    "group_norm": [IMAGES, (4,), (4,)],
    "native_group_norm": [IMAGES, (4,), (4,)],
    "instance_norm": [IMAGES, *CHANNELS],
    "prelu": [IMAGES, (4,)],
    "_prelu_kernel": [IMAGES, (1, 4, 1, 1)],
    "im2col": [IMAGES],
    "col2im": [(2, 16, 25)],
    "affine_grid_generator": [(2, 2, 3)],
} | {
    name: [IMAGES, *CHANNELS]
    for name in (
        *("batch_norm", "native_batch_norm", "_native_batch_norm_legit"),
        *("_native_batch_norm_legit_no_training", "_native_batch_norm_legit_functional"),
    )
}
"""Shapes of arguments that fit together, where random ones seldom do."""

HARMLESS = (
    *(RuntimeError, IndexError, ValueError, TypeError, NotImplementedError, AssertionError, AttributeError),
    *(MemoryError, OverflowError, ZeroDivisionError, InputError),
)

ENDED = "ended with"
"""The start of the line after a call that crashed."""

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Memory:
    """Memory for tensors, each between two pages that end the process when they are touched."""

    def __init__(self) -> None:
        self._blocks: list[tuple[int, int]] = []

    def guarded(self, tensor: Tensor, at_end: bool) -> Tensor:
        """Return a copy that touches the page behind it, or the page before it."""
        size, page = tensor.numel() * tensor.element_size(), mmap.PAGESIZE
        if not size:
            return tensor
        inner = -(-size // page) * page
        whole = inner + 2 * page
        start = libc.mmap(
            None, whole, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
        )
        for guard in (start, start + page + inner):
            assert libc.mprotect(guard, page, 0) == 0
        self._blocks.append((start, whole))
        buffer = (ctypes.c_char * size).from_address(start + page + (inner - size if at_end else 0))
        return torch.frombuffer(buffer, dtype=tensor.dtype).view(tensor.shape).copy_(tensor)

    def free(self) -> None:
        while self._blocks:
            libc.munmap(*self._blocks.pop())


class Hostile:
    """Arguments of one call: most fit together, some do not, and some numbers are extreme."""

    def __init__(self, rng: random.Random, name: str, memory: Memory) -> None:
        self._rng, self._memory = rng, memory
        self._shapes = list(SHAPES.get(name, []))
        self._usual = self._shapes[0] if self._shapes else self._any_shape()
        self._gradients = rng.random() < 0.4 and not name.endswith("_")
        # an argument that fits otherwise is seldom reached if each of its companions is likely to be wrong
        self._wild = rng.choice((0.0, 0.1, 0.4))

    def call(self, schema: Any) -> tuple[list[Any], dict[str, Any]]:
        args, kwargs = [], {}
        for argument in schema.arguments:
            if argument.has_default_value() and self._rng.random() < 0.4:
                if not argument.kwarg_only:
                    break  # arguments by position end here
                continue
            # types and layouts can also be given as numbers
            value = self._value(argument.type if self._rng.random() < self._wild else argument.real_type)
            if argument.kwarg_only:
                kwargs[argument.name] = value
            else:
                args.append(value)
        return args, kwargs

    def _value(self, kind: Any) -> Any:
        rng, text = self._rng, str(kind)
        if text.startswith("Optional["):
            return None if rng.random() < 0.3 else self._value(kind.getElementType())
        if text.startswith("List["):
            fitting = (max(len(self._usual) - 2, 1), len(self._usual), 1, 2)
            length = rng.randrange(5) if rng.random() < 0.3 else rng.choice(fitting)
            return [self._value(kind.getElementType()) for _ in range(length)]
        simple = {
            "Tensor": self._tensor,
            "int": self._integer,
            "SymInt": self._integer,
            "number": lambda: rng.choice((self._integer(), rng.choice(FLOATS))),
            "float": lambda: rng.choice(FLOATS if rng.random() < self._wild else FLOATS[:4]),
            "bool": lambda: rng.random() < 0.5,
            "str": lambda: rng.choice(WORDS),
            "ScalarType": lambda: rng.choice(TYPES),
            "MemoryFormat": lambda: rng.choice((torch.contiguous_format, torch.channels_last)),
            "Device": lambda: torch.device("cpu"),
            "Layout": lambda: torch.strided,
        }
        return simple[text]() if text in simple else None

    def _any_shape(self) -> tuple[int, ...]:
        rng = self._rng
        if rng.random() < 0.3:
            return tuple(rng.choice((0, 1, 1, 2, 3, 5, 8)) for _ in range(rng.randrange(6)))
        return tuple(rng.choice((1, 2, 4, 5, 8)) for _ in range(rng.choice((2, 3, 4, 4, 5))))

    def _integer(self) -> int:
        if self._rng.random() < self._wild:
            return self._rng.choice(INTEGERS)
        return self._rng.choice((0, 1, 1, 1, 2, 2, 3, -1))

    def _shape(self) -> tuple[int, ...]:
        rng = self._rng
        shape = list(self._shapes.pop(0) if self._shapes else self._usual)
        if rng.random() < self._wild:
            return self._any_shape()
        if shape and rng.random() < self._wild:
            shape[rng.randrange(len(shape))] = rng.choice((0, 1, 2, 3, 7))
        return tuple(shape)

    def _tensor(self) -> Tensor:
        rng, shape = self._rng, self._shape()
        dtype = rng.choice(TYPES if rng.random() < 0.5 else TYPES[:1])
        if dtype == torch.int64:
            count = torch.Size(shape).numel()
            numbers = INDICES if rng.random() < 0.5 else INDICES[-6:]
            tensor = torch.tensor([rng.choice(numbers) for _ in range(count)], dtype=dtype).view(shape)
        else:
            tensor = torch.randn(shape).to(dtype)
            if tensor.numel() and rng.random() < self._wild:
                tensor.view(-1)[rng.randrange(tensor.numel())] = rng.choice(FLOATS)
        tensor = self._memory.guarded(tensor, at_end=rng.random() < 0.7)
        if tensor.ndim > 1 and rng.random() < 0.15:
            tensor = tensor.transpose(0, -1)
        if tensor.ndim and tensor.shape[0] and rng.random() < 0.1:
            tensor = tensor[:1].expand(3, *tensor.shape[1:])
        return tensor.requires_grad_() if self._gradients and tensor.is_floating_point() else tensor


def call(name: str, number: int, seed: str, checked: bool) -> None:
    """Call an operator once; `checked`: with arguments that a program from a file could have."""
    rng, memory = random.Random(f"{seed} {name} {number}"), Memory()
    target = getattr(getattr(torch.ops.aten, name), rng.choice(operators.overloads(name)))
    args, kwargs = Hostile(rng, name, memory).call(target._schema)
    shown = pytree.tree_map_only(Tensor, lambda value: tuple(value.shape), args)
    print(f"{target} {kwargs} {shown} (seed {seed}, call {number})"[:500], flush=True)
    with suppress(*HARMLESS):
        if checked:
            operators.check_arguments(target, args, kwargs)
        results = operators.tensors(target(*args, **kwargs))
        _read([result for result in results if result.numel() < 10**6])
    del args, kwargs
    memory.free()


def _read(results: Sequence[Tensor]) -> None:
    for result in results:
        result.detach().contiguous().to(torch.complex64).sum()
        if result.requires_grad:
            result.abs().sum().backward(retain_graph=True)


def crashes(names: Iterable[str], seed: str, calls: int, checked: bool = True) -> list[str]:
    """Return the calls that end the process, at most one per operator."""
    command = [sys.executable, __file__, seed, str(calls), str(int(checked)), *names]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
    assert not ended.returncode, ended.stderr
    lines = ended.stdout.splitlines()
    return [f"{made}: {end}" for made, end in pairwise(lines) if end.startswith(ENDED)]


def calls_in_a_child(name: str, seed: str, calls: int, checked: bool) -> None:
    """Call an operator in a process of its own, which has torch already, and print how it ended if it crashed."""
    if child := os.fork():
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            print(ENDED, code, flush=True)
        return
    torch.ones(2).requires_grad_().sum().backward()  # starts the threads of autograd, which need memory
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    for number in range(calls):
        # oneDNN keeps the code that it compiles for each shape. Under one limit for all calls, no memory would be
        # left for new code in the end, and oneDNN would then call convolutions at address 0.
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, most))
        call(name, number, seed, checked)
    os._exit(0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    _, chosen_seed, count, with_checks, *chosen = sys.argv
    for one in chosen:
        calls_in_a_child(one, chosen_seed, int(count), bool(int(with_checks)))
