"""radii doctor: what is installed, how fast this machine is, and whether known numbers come out right."""

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

from radii.cli.console import fail, say
from radii.cli.selfcheck import CHECKS, wrong_network
from radii.cli.tables import Table, show
from radii.storage.atomic import is_writable

DEVELOPER_EXTRAS = ("dev", "docs", "browser")
"""Extras that only developers of radii need."""

MODEL, SHAPE, ROWS = "wrn-16-2", (3, 32, 32), 32
"""Network, image shape and batch size of the speed test."""

PRECISIONS = ("float32", "bfloat16")


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Findings as JSON.", rich_help_panel="Output")
    ] = False,
) -> None:
    """Check this installation and this machine.

    The tables show the installed packages, with the command that installs missing ones; processor, GPUs and memory,
    with the images per second of a small network in float32 and bfloat16; the caches; and whether known radii, bounds,
    noise and sums come out right. This takes a few seconds and no network connection. Each fault is described in a
    sentence, and the exit status is then 1.
    """
    findings = examine()
    if as_json:
        say(json.dumps(findings.document(), indent=1))
    else:
        for table in (packages_table(findings), machine_table(findings), checks_table(findings)):
            show(table)
    if findings.problems:
        fail("; ".join(findings.problems), 1)
    if not as_json:
        say("No problems found.")


@dataclass(frozen=True)
class Package:
    """A required package, from version `least` on; `extra` is empty if it is always needed.

    `version`: the installed version, empty without one.
    """

    name: str
    least: str
    extra: str
    version: str

    @property
    def fits(self) -> bool:
        """Whether it is installed in a version that is new enough; a pre-release counts as its release."""
        # the version of an absent package is empty
        with suppress(InvalidVersion):
            return Version(Version(self.version).base_version) >= Version(self.least or "0")
        return False

    @property
    def needed(self) -> bool:
        """Whether it must fit: packages of extras may be absent, but not too old."""
        return not self.extra or bool(self.version)

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        return f"pip install 'radii[{self.extra}]'" if self.extra else "pip install radii"


@dataclass(frozen=True)
class Device:
    """A device that runs networks.

    `memory`: bytes, 0 if unknown; `bfloat16`: whether it has instructions for it; `paces`: images per second of
    `MODEL`, by precision.
    """

    name: str
    kind: str
    memory: int
    bfloat16: bool
    paces: dict[str, float]


@dataclass(frozen=True)
class Cache:
    """A folder in which radii caches results, which need not exist yet; `path` is empty if there is none."""

    what: str
    path: str
    writable: bool


@dataclass(frozen=True)
class Findings:
    """All that was examined.

    `cores`: those that this process may use; `free_memory`: bytes, 0 if unknown. `torch`: why it cannot be imported, in
    which case there are no devices; empty if it can. `checks`: the error that each self check found, empty if none.
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
        """A sentence for each problem."""
        problems = []
        for package in self.packages:
            if package.needed and not package.fits:
                state = f"{package.name} is {package.version or 'not installed'}, and must be at least {package.least}"
                problems.append(f"{state}: run {package.remedy}")
        # an absent torch is a problem of its package already
        if self.torch and all(package.version for package in self.packages if package.name == "torch"):
            problems.append(f"torch cannot be imported ({self.torch}): install it anew")
        return problems + [
            f"the self check of {what} failed: {wrong}" for what, wrong in self.checks.items() if wrong
        ]

    def document(self) -> dict[str, Any]:
        """Return the findings as plain values, for JSON."""
        return asdict(self) | {"problems": self.problems}


def examine() -> Findings:
    """Examine everything. Takes a few seconds, writes nothing, and uses no network connection."""
    devices, torch = _devices()
    checks = dict(CHECKS)
    # each device by itself, since one of several GPUs may be broken
    for device in devices:
        checks[f"networks on {device.name}"] = partial(wrong_network, device.name)
    return Findings(
        packages=packages(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        # macOS and Windows know no affinity
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        free_memory=_memory("MemAvailable"),
        torch=torch,
        devices=devices,
        # the modules that know the folders import torch
        caches=_caches() if not torch else [],
        checks={what: _outcome(check) for what, check in checks.items()},
    )


def packages() -> list[Package]:
    """Return Python, then the packages that radii always needs, then those of its extras."""
    project = metadata("radii")
    result = [Package("python", project["Requires-Python"].removeprefix(">="), "", platform.python_version())]
    # "" first: what is always needed belongs to no extra
    extras = ("", *(project.get_all("Provides-Extra") or ()))
    for requirement in map(Requirement, project.get_all("Requires-Dist") or ()):
        marker = requirement.marker
        extra = next(name for name in extras if marker is None or marker.evaluate({"extra": name}))
        if extra not in DEVELOPER_EXTRAS:
            # pyproject.toml has lower bounds alone
            least = str(requirement.specifier).removeprefix(">=")
            result.append(Package(requirement.name, least, extra, _installed(requirement.name)))
    return result


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _outcome(check: Callable[[], str]) -> str:
    """Return what is wrong; a check that raises has found something, too."""
    try:
        return check()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _devices() -> tuple[list[Device], str]:
    """Return the processor and all GPUs, and why torch cannot be imported, empty if it can."""
    try:
        import torch
    except (ImportError, OSError) as error:
        # OSError: a shared library is missing
        return [], " ".join(str(error).split())
    devices = [_device(torch.device("cpu"), _processor(), _memory("MemTotal"))]
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        devices.append(_device(torch.device("cuda", number), properties.name, properties.total_memory))
    return devices, ""


def _device(device: Any, kind: str, memory: int) -> Device:
    """Return a device with its speed, measured on a network with fresh weights, queried as radii vote does."""
    import torch

    from radii.models import make_model
    from radii.models.devices import has_bfloat16
    from radii.sampling.autotune import measure
    from radii.sampling.model_call import prepare

    model, images, paces = make_model(MODEL, SHAPE, 10).eval(), torch.zeros(ROWS, *SHAPE), {}
    for precision in PRECISIONS:
        # the self check of networks reports why
        with suppress(RuntimeError):
            paces[precision] = measure(prepare(model.to(device), precision, SHAPE), images, device)
    return Device(str(device), kind, memory, has_bfloat16(device), paces)


def _processor() -> str:
    """Return its name: from Linux, elsewhere what Python knows."""
    with suppress(OSError):
        if name := re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE):
            return name[1]
    return platform.processor() or platform.machine()


def _memory(field: str) -> int:
    """Return a number of bytes from Linux; elsewhere 0."""
    with suppress(OSError):
        if kilobytes := re.search(rf"^{field}:\s*(\d+) kB$", _text("/proc/meminfo"), re.MULTILINE):
            return 1024 * int(kilobytes[1])
    return 0


def _text(path: str) -> str:
    # names of processors may hold any letter
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _caches() -> list[Cache]:
    from radii.data.cifar import download_folder
    from radii.sampling.autotune import cache_file

    caches = []
    for what, folder_of in (
        ("trials of models", lambda: cache_file().parent),
        ("data sets", download_folder),
    ):
        try:
            folder = folder_of()
        except (ImportError, RuntimeError):
            # no package for download_folder, no home folder
            caches.append(Cache(what, "", False))
        else:
            caches.append(Cache(what, str(folder), is_writable(folder)))
    return caches


def packages_table(findings: Findings) -> Table:
    """Return the installed packages, with the command that installs missing ones."""
    table = Table(("package", "installed", "needed", "extra", "command"), names=5, prose=(4,))
    for package in findings.packages:
        needed = f"from {package.least}" if package.least else ""
        remedy = "" if package.fits else package.remedy
        table.add_row(package.name, package.version or "absent", needed, package.extra, remedy)
    return table


def machine_table(findings: Findings) -> Table:
    """Return the devices with their speed, and the caches."""
    table = Table(("machine", ""), names=2, prose=(1,))
    free = f", {filesize.decimal(findings.free_memory)} of memory free" if findings.free_memory else ""
    table.add_row("system", f"{findings.system}; {findings.cores} cores for this process{free}")
    for device in findings.devices:
        memory = f", {filesize.decimal(device.memory)}" if device.memory else ""
        bfloat16 = "in hardware" if device.bfloat16 else "emulated"
        table.add_row(device.name, f"{device.kind}{memory}; bfloat16 {bfloat16}")
        paces = ", ".join(f"{pace:,.0f} in {precision}" for precision, pace in device.paces.items())
        table.add_row("", f"{MODEL}, images per second: {paces or 'none'}")
    for cache in findings.caches:
        state = "writable" if cache.writable else "not writable: nothing is cached"
        table.add_row(f"cache of {cache.what}", f"{cache.path}, {state}" if cache.path else "none")
    return table


def checks_table(findings: Findings) -> Table:
    """Return the self checks with their outcome."""
    table = Table(("self check", ""), names=2)
    for what, wrong in findings.checks.items():
        table.add_row(what, "wrong" if wrong else "right")
    return table
