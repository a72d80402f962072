"""The folder of an unfinished run: its manifest, and the votes of each unit that is done.

Parts are votes files, written whole or not at all, each with its own digest. What is missing is what has no file.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from radii.engine.units import Unit, cut
from radii.errors import InputError, RadiiWarning
from radii.storage.documents import check_fields, read_document
from radii.storage.folders import Folder, Missing
from radii.storage.parquet import Damaged
from radii.votes import MANIFEST as VOTES
from radii.votes import Votes, decode_votes, identity_of, manifest_of_votes, plan_of

LAW = "law.json"
FORMAT = 3
REMEDY = (
    f"put in its place the {LAW} that the same command writes with another --out, and the parts are kept, or remove "
    "its folder, and they are drawn again; a finished votes file stays in any case"
)
"""What helps where the manifest of a run is damaged: nothing else says which parts belong to it, and how it was cut."""


class Gone(Exception):
    """The folder was cleared by another process, which has finished the run."""


@dataclass(frozen=True)
class RunManifest:
    """What a run is: the manifest of its votes, as in their files, on which images, cut into blocks of what size."""

    votes: dict[str, Any]
    index: list[int]
    labels: list[int] | None
    block: int
    fingerprints: list[int] | None = None

    def units(self) -> list[Unit]:
        """The work."""
        return cut(plan_of(self.votes["plan"]), len(self.index), self.block)

    def check(self) -> None:
        """Refuse what is no work."""
        if len(set(self.index)) < len(self.index) or min(self.index, default=-1) < 0:
            raise InputError("index must be positions of images, each once and none below 0")
        if self.labels is not None and len(self.labels) != len(self.index):
            raise InputError(f"there are {len(self.index)} images and {len(self.labels)} labels")
        if self.fingerprints is not None and len(self.fingerprints) != len(self.index):
            raise InputError(f"there are {len(self.index)} images and {len(self.fingerprints)} fingerprints")
        self.units()

    def of(self, rows: slice) -> "RunManifest":
        """The same manifest of some of the images."""
        labels = None if self.labels is None else self.labels[rows]
        known = None if self.fingerprints is None else self.fingerprints[rows]
        return replace(self, index=self.index[rows], labels=labels, fingerprints=known)

    def encode(self) -> bytes:
        """The content of law.json."""
        return (json.dumps({"format": FORMAT, **vars(self)}, sort_keys=True) + "\n").encode()

    def difference(self, other: "RunManifest") -> str | None:
        """In words, the first thing in which another manifest differs from this one."""
        # what one names says more than what follows from it
        names = self.votes.keys() | other.votes.keys()
        for name in sorted(names, key=lambda name: (name in ("devices", "software"), name != "model", name)):
            if (mine := self.votes.get(name)) != (theirs := other.votes.get(name)):
                return unlike(name, mine, theirs)
        if self.index != other.index:
            return f"other images ({len(self.index)}, not {len(other.index)} or not the same)"
        if self.labels != other.labels:
            return "other labels"
        if self.fingerprints != other.fingerprints and None not in (self.fingerprints, other.fingerprints):
            return "other pixels under the same name"
        return None if self.block == other.block else f"blocks of {self.block}, not {other.block}"


def unlike(name: str, mine: object, theirs: object) -> str:
    """In words, how two values of a manifest differ; of values with fields the first, their name before others."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        for key in sorted(mine.keys() | theirs.keys(), key=lambda key: (key != "name", key)):
            if mine.get(key) != theirs.get(key):
                return f"{name} {unlike(key, mine.get(key), theirs.get(key))}"
    return f"{name} {mine}, not {theirs}"


def manifest_of(votes: Any, images: Any, block: int = 0) -> RunManifest:
    """The manifest of a run: what all parts share of `votes`, with the attributes of `Votes`, and which `images`."""
    plain = json.loads(json.dumps(manifest_of_votes(votes), default=np.generic.item))
    labels, known = (None if one is None else one.tolist() for one in (images.labels, images.fingerprints))
    return RunManifest(plain, images.index.tolist(), labels, block, known)


def decode_manifest(content: bytes, path: str) -> RunManifest:
    """The manifest that `RunManifest.encode` wrote."""
    kinds = {one.name: one.type for one in fields(RunManifest)}
    manifest = RunManifest(**read_document(content, path, FORMAT, kinds, ("fingerprints",), remedy=REMEDY))
    try:
        check_fields(manifest.votes, VOTES, optional=("devices",))
        # one sentence up to format 2
        identity = identity_of(manifest.votes["data"])
        manifest = replace(manifest, votes=manifest.votes | {"data": identity and asdict(identity)})
        manifest.check()
    except InputError as error:
        raise InputError(f"{path} describes no run that can be: {error}; {REMEDY}") from error
    return manifest


class Parts:
    """The parts of one run, in a folder or under a prefix of an object store."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.manifest: RunManifest | None = None

    def stored(self) -> RunManifest | None:
        """The manifest of the run in this folder, if there is one."""
        with suppress(Missing):
            return decode_manifest(self.folder.read(LAW), self.folder.address(LAW))
        if self._any():
            raise InputError(f"{self.folder.address('')} has parts of votes but no {LAW}: {REMEDY}")
        return None

    def _any(self) -> bool:
        return any(name.startswith("part-") for name in self.folder.names())

    def begin(self, manifest: RunManifest) -> None:
        """Start the run, or go on with it; a folder with parts of another run is refused, and nothing is touched.

        `Gone` if another process finishes this very run at this moment.
        """
        found, self.manifest = self.stored(), manifest
        if found is None or (found != manifest and not self._any()):
            self.folder.write(LAW, manifest.encode())
            found = self.stored()
        if found is None:
            raise Gone
        if difference := found.difference(manifest):
            raise InputError(
                f"{self.folder.address('')} is of another run, with {difference}: "
                "give the options it was started with, choose another --out, or remove the folder"
            )
        try:
            same = self.folder.read(LAW) == manifest.encode()
        except Missing:
            raise Gone from None
        if not same:
            raise InputError(
                f"{self.folder.address('')} was begun by an older radii: "
                "end it there, choose another --out, or remove the folder"
            )

    def has(self, unit: Unit) -> bool:
        """Whether there is a file for this unit."""
        return unit.name in self.folder.names()

    def save(self, unit: Unit, content: bytes) -> None:
        """Keep the votes of a unit; `Gone` if the run is over, an error if another run has taken the folder.

        Guarantee: nothing is left of a run that is over, whenever its end comes.
        """
        self._check_goes_on()
        try:
            self.folder.write(unit.name, content)
        except Missing:
            raise Gone from None
        try:
            self._check_goes_on()
        except Gone:
            self._tidy_up()
            raise

    def _check_goes_on(self) -> None:
        assert self.manifest is not None
        try:
            stored = self.folder.read(LAW)
        except Missing:
            raise Gone from None
        if stored != self.manifest.encode():
            raise InputError(
                f"another run was started in {self.folder.address(LAW)}: choose another --out for it"
            )

    def held(self, units: Sequence[Unit]) -> dict[int, Votes]:
        """The votes of those of the units that are done, by their numbers.

        A damaged file is named in a notice and removed; intact votes that do not belong here are an error.
        """
        names = set(self.folder.names())
        return {unit.number: votes for unit in units if unit.name in names for votes in self._read(unit)}

    def _read(self, unit: Unit) -> Iterator[Votes]:
        path = self.folder.address(unit.name)
        try:
            votes = decode_votes(self.folder.read(unit.name), path)
        except Missing:
            return
        except Damaged as error:
            warnings.warn(RadiiWarning(f"{error}; it is removed, to be drawn again"), stacklevel=3)
            self.folder.remove(unit.name)
            return
        self._check(unit, votes, path)
        yield votes

    def _check(self, unit: Unit, votes: Votes, path: str) -> None:
        assert self.manifest is not None
        difference = manifest_of(votes, votes, self.manifest.block).difference(self.manifest.of(unit.rows))
        if not difference and votes.draws != ((unit.draws,) if unit.draws else ()):
            difference = f"draws {votes.draws}, not {unit.draws}"
        if difference:
            raise InputError(f"{path} does not belong to this run, it has {difference}: take it away")

    def check_result(self, votes: Votes, path: object) -> None:
        """Refuse votes that another process wrote, unless they are what this run would have given."""
        assert self.manifest is not None
        result = manifest_of(votes, votes, self.manifest.block)
        if difference := result.difference(self.manifest):
            raise InputError(
                f"{path} was written meanwhile by another run, with {difference}: choose another --out for this one"
            )

    def clear(self) -> None:
        """Take away all parts and the manifest; several processes may do so at once."""
        # parts without a manifest would belong to nobody if this were interrupted
        self._remove_all()
        self.folder.remove(LAW)
        self._tidy_up()

    def _tidy_up(self) -> None:
        """Take away what was written while the manifest was: whoever writes a part looks at it afterwards, too."""
        self._remove_all()
        self.folder.remove_if_empty()

    def _remove_all(self) -> None:
        assert self.manifest is not None
        names = set(self.folder.names())
        for unit in self.manifest.units():
            if unit.name in names:
                self.folder.remove(unit.name)
