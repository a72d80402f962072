"""What radii finds on a machine: packages, processor, devices and their speed, caches, and what is wrong with them."""

import os
import platform
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from radii.files import is_writable
from radii.installation import Package, packages
from radii.selfcheck import CHECKS, wrong_network

MODEL, SHAPE, ROWS = "wrn-16-2", (3, 32, 32), 32
"""Of the trial of speed: a network, its images, and how many at a time."""

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Device:
    """What networks run on. `memory`: bytes, 0 where it is not known; `bfloat16`: whether it has such instructions;
    `paces`: images a second of `MODEL`, by precision."""

    name: str
    kind: str
    memory: int
    bfloat16: bool
    paces: dict[str, float]


@dataclass(frozen=True)
class Cache:
    """A place that radii keeps things in, which need not be there yet; an empty `path` where there is none."""

    what: str
    path: str
    writable: bool


@dataclass(frozen=True)
class Findings:
    """All that was looked at.

    `cores`: that this process may use; `free_memory`: bytes, 0 where it is not known. `torch`: why it cannot be
    imported, so that there are no devices; empty if it can. `checks`: what each self check found wrong, empty if
    nothing.
    """

    packages: list[Package]
    system: str
    cores: int
    free_memory: int
    torch: str
    devices: list[Device]
    caches: list[Cache]
    checks: dict[str, str]

    @property
    def problems(self) -> list[str]:
        """A sentence for each thing that is wrong."""
        found = []
        for one in self.packages:
            if one.needed and not one.fits:
                state = f"{one.name} is {one.version or 'not installed'}, and must be at least {one.least}"
                found.append(f"{state}: run {one.remedy}")
        if self.torch and all(one.version for one in self.packages if one.name == "torch"):
            found.append(f"torch cannot be imported ({self.torch}): install it anew")
        return found + [
            f"the self check of {what} failed: {words}" for what, words in self.checks.items() if words
        ]

    def document(self) -> dict[str, Any]:
        """The same as plain values, for machines."""
        return asdict(self) | {"problems": self.problems}


def examine() -> Findings:
    """Look at everything. Takes a few seconds; nothing is written, and no network is asked."""
    devices, torch = _devices()
    checks = dict(CHECKS)
    for one in devices:
        checks[f"networks on {one.name}"] = partial(wrong_network, one.name)
    return Findings(
        packages=packages(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        free_memory=_memory("MemAvailable"),
        torch=torch,
        devices=devices,
        caches=_caches() if not torch else [],
        checks={what: _outcome(check) for what, check in checks.items()},
    )


def _outcome(check: Callable[[], str]) -> str:
    """What is wrong; a check that ends in an error has found something, too."""
    try:
        return check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _devices() -> tuple[list[Device], str]:
    """The processor and all GPUs; or why there are none."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return [], " ".join(str(error).split())
    found = [_device(torch.device("cpu"), _processor(), _memory("MemTotal"))]
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        found.append(_device(torch.device("cuda", number), about.name, about.total_memory))
    return found, ""


def _device(device: Any, kind: str, memory: int) -> Device:
    """A device with its speed: that of a network with fresh weights, asked about images as it would be polled."""
    import torch

    from radii.devices import has_bfloat16
    from radii.models import make_model
    from radii.polling import prepare
    from radii.trial import measure

    model, images, paces = make_model(MODEL, SHAPE, 10).eval(), torch.zeros(ROWS, *SHAPE), {}
    for one in PRECISIONS:
        with suppress(RuntimeError):  # the self check of networks says why
            paces[one] = measure(prepare(model.to(device), one, SHAPE), images, device)
    return Device(str(device), kind, memory, has_bfloat16(device), paces)


def _processor() -> str:
    """Its name, as Linux says it; elsewhere what Python knows."""
    with suppress(OSError):
        if found := re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE):
            return found[1]
    return platform.processor() or platform.machine()


def _memory(field: str) -> int:
    """Bytes, as Linux says them; elsewhere 0."""
    with suppress(OSError):
        if found := re.search(rf"^{field}:\s*(\d+) kB$", _text("/proc/meminfo"), re.MULTILINE):
            return 1024 * int(found[1])
    return 0


def _text(path: str) -> str:
    """What the system says in a file; names of processors may hold any letter."""
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _caches() -> list[Cache]:
    from radii.data.cifar import downloads
    from radii.trial import memory_file

    found = []
    for what, place in (("trials of models", lambda: memory_file().parent), ("data sets", downloads)):
        try:
            folder = place()
        except (ImportError, RuntimeError):  # no package that downloads, no home
            found.append(Cache(what, "", False))
        else:
            found.append(Cache(what, str(folder), is_writable(folder)))
    return found
