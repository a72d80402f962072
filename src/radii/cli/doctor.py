"""The command that looks whether all is well here."""

import json
import os
import platform
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Annotated, Any

import typer
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version
from rich import filesize
from rich.box import SIMPLE_HEAD
from rich.table import Table

from radii.cli.console import console, fail, say
from radii.cli.selfcheck import CHECKS, wrong_network
from radii.storage.atomic import is_writable

FOR_DEVELOPERS = ("dev", "docs", "browser")
"""The extras that users of radii do without."""


@dataclass(frozen=True)
class Package:
    """A package that radii names: from version `least` on, always or, if it is not empty, for an `extra`.

    `version`: the one that is installed, empty if none is.
    """

    name: str
    least: str
    extra: str
    version: str

    @property
    def fits(self) -> bool:
        """Whether it is there, in a version that is new enough; a pre-release counts as its release."""
        with suppress(InvalidVersion):  # that of an absent package is empty
            return Version(Version(self.version).base_version) >= Version(self.least or "0")
        return False

    @property
    def needed(self) -> bool:
        """Whether something is wrong without it: packages of extras may be absent, but not too old."""
        return not self.extra or bool(self.version)

    @property
    def remedy(self) -> str:
        """The command that brings it."""
        return f"pip install 'radii[{self.extra}]'" if self.extra else "pip install radii"


def packages() -> list[Package]:
    """Python, then what radii always needs, then the packages of its extras."""
    known = metadata("radii")
    found = [Package("python", known["Requires-Python"].removeprefix(">="), "", platform.python_version())]
    extras = ("", *(known.get_all("Provides-Extra") or ()))
    for one in map(Requirement, known.get_all("Requires-Dist") or ()):
        extra = next(name for name in extras if one.marker is None or one.marker.evaluate({"extra": name}))
        if extra not in FOR_DEVELOPERS:
            least = str(one.specifier).removeprefix(">=")
            found.append(Package(one.name, least, extra, _installed(one.name)))
    return found


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


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

    from radii.models import make_model
    from radii.models.devices import has_bfloat16
    from radii.sampling.autotune import measure
    from radii.sampling.model_call import prepare

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
    from radii.data.cifar import download_folder
    from radii.sampling.autotune import cache_file

    found = []
    for what, place in (("trials of models", lambda: cache_file().parent), ("data sets", download_folder)):
        try:
            folder = place()
        except (ImportError, RuntimeError):  # no package that downloads, no home
            found.append(Cache(what, "", False))
        else:
            found.append(Cache(what, str(folder), is_writable(folder)))
    return found


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Check this installation and this machine.

    Prints what is installed, and the command that installs the rest; processor, GPUs and memory, with the images
    per second of a small network in float32 and bfloat16; where caches are; and whether known radii, bounds, noise
    and sums come out right. Takes a few seconds and no network. Each fault is described in a sentence, and the exit
    status is then 1.
    """
    found = examine()
    if as_json:
        say(json.dumps(found.document(), indent=1))
    else:
        for table in (packages_table(found), machine_table(found), checks_table(found)):
            console.print(table)
    if found.problems:
        fail("; ".join(found.problems), 1)
    if not as_json:
        say("All is well.")


def packages_table(found: Findings) -> Table:
    """What is installed, and what brings the rest."""
    table = Table("package", "installed", "needed", "for", "", box=SIMPLE_HEAD)
    for one in found.packages:
        needed = f"from {one.least}" if one.least else ""
        remedy = "" if one.fits else one.remedy
        table.add_row(one.name, one.version or "absent", needed, one.extra or "everything", remedy)
    return table


def machine_table(found: Findings) -> Table:
    """Devices, their speed, and caches."""
    table = Table("here", "", box=SIMPLE_HEAD)
    free = f", {filesize.decimal(found.free_memory)} of memory free" if found.free_memory else ""
    table.add_row("system", f"{found.system}; {found.cores} cores for this process{free}")
    for one in found.devices:
        memory = f", {filesize.decimal(one.memory)}" if one.memory else ""
        table.add_row(
            one.name, f"{one.kind}{memory}; bfloat16 {'in hardware' if one.bfloat16 else 'emulated'}"
        )
        paces = ", ".join(f"{pace:,.0f} in {precision}" for precision, pace in one.paces.items())
        table.add_row("", f"{MODEL}, images a second: {paces or 'none'}")
    for cache in found.caches:
        state = "writable" if cache.writable else "not writable: nothing is kept"
        table.add_row(cache.what, f"{cache.path}, {state}" if cache.path else "kept nowhere")
    return table


def checks_table(found: Findings) -> Table:
    """What comes out right."""
    table = Table("self check", "", box=SIMPLE_HEAD)
    for what, wrong in found.checks.items():
        table.add_row(what, "wrong" if wrong else "right")
    return table
