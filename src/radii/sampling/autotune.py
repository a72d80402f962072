"""Tuning of a model on this machine: which precision and which batch size are fastest. Results are cached."""

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
"""Rows of a batch where tuning would take longer than it saves, or where every size fails."""

# On the processor measured, no network gained beyond 256 rows, and the largest batch that is tried makes the peak of
# memory (docs/log.md); endpoints, which gain from large batches, count as "cpu" too.
FEWEST = {"cpu": 16, "cuda": 128}
MOST = {"cpu": 512, "cuda": 4096}
"""Rows of the smallest and of the largest batch that are tried."""

WORTH = 1.03
"""Speed-up that a larger batch, which takes more memory, must bring; so must another precision."""

SECONDS = 0.3
"""Spent on each batch size, at least."""

LONGEST = 2.0
"""Seconds of one query after which no larger batch is tried."""

LARGEST = 2**28
"""Bytes of the images of a batch, at most."""

Prepare = Callable[[str], Callable[[Tensor], Tensor]]
"""From a precision to the model as it will be queried."""

_tuning = threading.Lock()


def fastest_settings(
    model: object, prepare: Prepare, shape: tuple[int, ...], precision: str, fuse: bool
) -> tuple[str, int]:
    """Return the fastest precision and rows of a batch; precision "auto" chooses float32 or bfloat16.

    A model is tuned once for its device and precision, then read from the cache: the same settings give the same votes.
    Small modules, fused ones and plain functions are not tuned; ONNX files, endpoints and estimators are.
    """
    # endpoints and estimators have no device of their own: torch hands them images in the memory of the processor
    weights = list(model.parameters()) if isinstance(model, nn.Module) else []
    device = weights[0].device if weights else torch.device("cpu")
    precisions = [precision]
    if precision == "auto":
        # emulated bfloat16 is slower than float32, so it is not tried
        precisions = ["float32"] + ["bfloat16"] * (bool(weights) and has_bfloat16(device))
    unknown_size = not weights and isinstance(model, Identified)
    # `Identified` models are files, endpoints and estimators: without weights to count, but known again by their digest
    if sum(weight.numel() for weight in weights) <= SMALL and not unknown_size:
        return precisions[0], ROWS
    if fuse:
        # each batch size would be compiled, about half a minute
        return precisions[-1], ROWS
    key = _key(model, device, shape, precision)
    # two threads would disturb each other's times, choose differently, and overwrite each other's results
    with _tuning:
        # read in here: another thread may have tuned this model meanwhile, and the whole file is written anew
        cache = _read_cache()
        if key not in cache or cache[key][0] not in precisions:
            cache[key] = tune(prepare, shape, precisions, device)
            # without a cache, the next run tunes again
            with suppress(OSError, RuntimeError):
                atomic.write(cache_file(), json.dumps(cache, indent=1, sort_keys=True).encode())
        return cache[key]


def tune(
    prepare: Prepare, shape: tuple[int, ...], precisions: list[str], device: torch.device
) -> tuple[str, int]:
    """Try all precisions and batch sizes; return the fastest, a later precision only if it is faster by `WORTH`."""
    chosen, chosen_rows, fastest = precisions[0], ROWS, 0.0
    for precision in precisions:
        rows, speed = tune_rows(prepare(precision), shape, device)
        if speed > fastest * WORTH:
            chosen, chosen_rows, fastest = precision, rows, speed
    return chosen, chosen_rows


def tune_rows(
    query: Callable[[Tensor], Tensor], shape: tuple[int, ...], device: torch.device
) -> tuple[int, float]:
    """Double the rows of a batch as long as that is faster; return the rows and their images per second."""
    rows, chosen, fastest = FEWEST.get(device.type, ROWS), 0, 0.0
    most = min(MOST.get(device.type, ROWS), LARGEST // (4 * math.prod(shape)))
    while rows <= most:
        try:
            speed = measure(query, torch.zeros(rows, *shape), device)
        except (torch.OutOfMemoryError, MemoryError):
            break
        # the first size that gains too little ends the search: larger ones cost more time to try and more memory
        if speed <= fastest * WORTH:
            break
        rows, chosen, fastest = 2 * rows, rows, speed
        if chosen / speed > LONGEST:
            break
    return chosen or ROWS, fastest


def measure(query: Callable[[Tensor], Tensor], images: Tensor, device: torch.device) -> float:
    """Return images per second: those of the fastest of several queries, after one that warms up."""
    fastest, spent, queries = float("inf"), 0.0, 0
    with torch.inference_mode():
        # not timed: the first query chooses kernels and allocates memory
        query(images)
        while (spent < SECONDS or queries < 3) and spent < LONGEST:
            start = time.perf_counter()
            query(images)
            if device.type == "cuda":
                # kernels run asynchronously: without this, only their launch would be timed
                torch.cuda.synchronize(device)
            taken = time.perf_counter() - start
            # the fastest, since other processes only ever slow a query down
            fastest, spent, queries = min(fastest, taken), spent + taken, queries + 1
    return len(images) / fastest


def cache_file() -> Path:
    """Return the path of the cache: in the folder RADII_CACHE_DIR, or in that of the user's caches."""
    if folder := os.environ.get("RADII_CACHE_DIR"):
        return Path(folder) / "trials.json"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radii" / "trials.json"


def _key(model: object, device: torch.device, shape: tuple[int, ...], precision: str) -> str:
    """Return what speed depends on: weights, device, threads, precision, shape of images and version of torch."""
    processor = str(torch.cpu.get_capabilities().get("cpu_name", platform.machine()))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor
    # on a GPU the number of threads says nothing, and would tune the same model twice
    threads = torch.get_num_threads() if device.type == "cpu" else 0
    weights = digest(model)  # type: ignore[arg-type]
    return f"{weights} {name} {threads} {precision} {'x'.join(map(str, shape))} torch {torch.__version__}"


def _read_cache() -> dict[str, tuple[str, int]]:
    """Return the cached settings; none where the file is missing or damaged."""
    try:
        document = parse_json(atomic.read(cache_file()))
        # a size beyond all that are tried was not written by this module, and could exhaust the memory
        return {
            key: (precision, rows)
            for key, (precision, rows) in document.items()
            if precision in ("float32", "bfloat16") and fits(rows, int) and 0 < rows <= max(MOST.values())
        }
    # no file, no home, other content
    except (OSError, RuntimeError, ValueError, TypeError, AttributeError):
        return {}
