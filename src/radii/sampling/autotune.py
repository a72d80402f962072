"""A short trial of a model on this machine: which precision and how large a micro-batch are fastest; remembered."""

import json
import math
import os
import platform
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from radii.models import digest
from radii.models.devices import SMALL, has_bfloat16
from radii.models.digest import Identified
from radii.storage import atomic
from radii.storage.documents import fits, parse_json

ROWS = 128
"""Of a micro-batch where no trial is worth it, or none can be made."""

FEWEST = {"cpu": 16, "cuda": 128}
MOST = {"cpu": 512, "cuda": 4096}
WORTH = 1.03
"""Larger micro-batches, which take more memory, must be faster by this factor; so must another precision."""

SECONDS = 0.3
"""Spent on each size at least."""

LONGEST = 2.0
"""Seconds of one call after which nothing larger is tried."""
LARGEST = 2**28
"""Bytes of a micro-batch of images."""

_trying = threading.Lock()

Prepare = Callable[[str], Callable[[Tensor], Tensor]]
"""From a precision to the model as it will be polled."""


def memory_file() -> Path:
    """Where trials are remembered: a folder of caches of this user, or the one named by RADII_CACHE_DIR."""
    if named := os.environ.get("RADII_CACHE_DIR"):
        return Path(named) / "trials.json"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radii" / "trials.json"


def fastest(
    model: object, prepare: Prepare, shape: tuple[int, ...], precision: str, fuse: bool
) -> tuple[str, int]:
    """The precision, one of float32 and bfloat16 if `precision` is "auto", and the rows of a micro-batch, to poll with.

    Tried once for a model, its device and precision, then remembered, so that votes are the same the next time. Small
    modules, fused ones, and functions are not tried; ONNX files, endpoints and estimators are.
    """
    weights = list(model.parameters()) if isinstance(model, nn.Module) else []
    device = weights[0].device if weights else torch.device("cpu")
    precisions = [precision]
    if precision == "auto":
        # what emulates bfloat16 is slow, and no trial is needed to know it
        precisions = ["float32"] + ["bfloat16"] * (bool(weights) and has_bfloat16(device))
    unknown_size = not weights and isinstance(model, Identified)
    if sum(one.numel() for one in weights) <= SMALL and not unknown_size:
        return precisions[0], ROWS
    if fuse:
        return precisions[-1], ROWS
    key = _key(model, device, shape, precision)
    # two threads would disturb one another, choose differently, and forget what the other remembered
    with _trying:
        known = _remembered()
        if key not in known or known[key][0] not in precisions:
            known[key] = try_all(prepare, shape, precisions, device)
            with suppress(OSError, RuntimeError):
                atomic.write(memory_file(), json.dumps(known, indent=1, sort_keys=True).encode())
        chosen, rows = known[key]
    return chosen, rows


def try_all(
    prepare: Prepare, shape: tuple[int, ...], precisions: list[str], device: torch.device
) -> tuple[str, int]:
    """The fastest of all precisions and sizes, the first and the smallest where they are as fast."""
    best = (precisions[0], ROWS, 0.0)
    for precision in precisions:
        rows, pace = try_rows(prepare(precision), shape, device)
        if pace > best[2] * WORTH:
            best = (precision, rows, pace)
    return best[0], best[1]


def try_rows(
    ask: Callable[[Tensor], Tensor], shape: tuple[int, ...], device: torch.device
) -> tuple[int, float]:
    """The size of a micro-batch, doubled as long as that is faster, and its images a second."""
    rows, found, best = FEWEST.get(device.type, ROWS), 0, 0.0
    most = min(MOST.get(device.type, ROWS), LARGEST // (4 * math.prod(shape)))
    while rows <= most:
        try:
            pace = measure(ask, torch.zeros(rows, *shape), device)
        except (torch.OutOfMemoryError, MemoryError):
            break
        if pace <= best * WORTH:
            break
        rows, found, best = 2 * rows, rows, pace
        if found / pace > LONGEST:
            break
    return found or ROWS, best


def measure(ask: Callable[[Tensor], Tensor], images: Tensor, device: torch.device) -> float:
    """Images a second: the fastest of several calls, after one that warms up."""
    fastest, spent, calls = float("inf"), 0.0, 0
    with torch.inference_mode():
        ask(images)
        while (spent < SECONDS or calls < 3) and spent < LONGEST:
            start = time.perf_counter()
            ask(images)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken = time.perf_counter() - start
            fastest, spent, calls = min(fastest, taken), spent + taken, calls + 1
    return len(images) / fastest


def _key(model: object, device: torch.device, shape: tuple[int, ...], precision: str) -> str:
    processor = str(torch.cpu.get_capabilities().get("cpu_name", platform.machine()))
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else processor
    threads = torch.get_num_threads() if device.type == "cpu" else 0
    weights = digest(model)  # type: ignore[arg-type]
    return f"{weights} {place} {threads} {precision} {'x'.join(map(str, shape))} torch {torch.__version__}"


def _remembered() -> dict[str, tuple[str, int]]:
    """What earlier trials found; nothing where the file is not there or not as it should be."""
    try:
        document = parse_json(atomic.read(memory_file()))
        return {
            key: (precision, rows)
            for key, (precision, rows) in document.items()
            if precision in ("float32", "bfloat16") and fits(rows, int) and 0 < rows <= max(MOST.values())
        }
    except (
        OSError,
        RuntimeError,
        ValueError,
        TypeError,
        AttributeError,
    ):  # no file, no home, no such content
        return {}
