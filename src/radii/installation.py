"""What is installed of the packages that radii names, and what brings those that are not there."""

import platform
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version

FORM = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?\s*(?:>=([0-9.]+))?\s*(?:;\s*extra == ['\"](.+)['\"])?")
"""Of a requirement, as pyproject.toml writes them all: `numpy>=1.26; extra == 'report'`."""

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
        """Whether it is there, in a version that is new enough."""
        return bool(self.version) and release(self.version) >= release(self.least)

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
    for line in known.get_all("Requires-Dist") or ():
        parts = FORM.fullmatch(line.strip())
        assert parts, f"a requirement of another form than NAME>=VERSION: {line}"
        name, least, extra = (part or "" for part in parts.groups())
        if extra not in FOR_DEVELOPERS:
            found.append(Package(name, least, extra, _installed(name)))
    return found


def release(text: str) -> tuple[int, ...]:
    """The numbers of a version, to compare: of `2.13.0rc1+cpu` 2, 13 and 0."""
    numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", text)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
