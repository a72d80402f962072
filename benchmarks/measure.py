"""What all benchmarks share: the machine in words, times of neighbouring calls, tables."""

import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from radii.models.devices import best_device


@dataclass(frozen=True)
class Pairs:
    """Seconds of two kinds of work, done in turn: machines drift, neighbours less."""

    one: tuple[float, ...]
    two: tuple[float, ...]

    @property
    def seconds(self) -> tuple[float, float]:
        """Medians."""
        return statistics.median(self.one), statistics.median(self.two)

    @property
    def ratio(self) -> str:
        """How many times longer the first takes: the median of the pairs, and the range."""
        ratios = sorted(one / two for one, two in zip(self.one, self.two, strict=True))
        return f"{statistics.median(ratios):.3g} ({ratios[0]:.3g} to {ratios[-1]:.3g})"


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock seconds of one call, the device's work included."""
    start = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(one: Callable[[], object], two: Callable[[], object], rounds: int = 5) -> Pairs:
    """Both in turn, after one of each that warms up."""
    seconds(one), seconds(two)
    times = [(seconds(one), seconds(two)) for _ in range(rounds)]
    return Pairs(*zip(*times, strict=True))


def machine() -> str:
    """The processor or GPU, threads, and the versions that decide about speed."""
    device, found = best_device(), torch.cpu.get_capabilities()
    abilities = [name for name in ("avx2", "avx512_bf16", "amx_bf16") if found.get(name)]
    processor = f"{found.get('cpu_name', platform.machine())} ({', '.join(abilities) or 'nothing special'})"
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else processor
    return (
        f"{place}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}"
    )


def peak_memory() -> int:
    """The most memory that this process held since it began to run its program, in bytes; Linux knows it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
