"""The folder of an unfinished run: its manifest, and the votes of each finished unit.

Parts are votes files, each with its own digest; a file exists completely or not at all. A unit without a file is
still to be sampled.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from radii.engine.units import Unit, split_work
from radii.errors import InputError, RadiiWarning, check_name
from radii.storage.documents import check_fields, read_document
from radii.storage.folders import Folder, Missing
from radii.storage.parquet import Damaged
from radii.votes import MANIFEST as VOTES
from radii.votes import (
    OPTIONAL,
    PRECISIONS,
    Votes,
    check_canary,
    decode_votes,
    identity_of,
    manifest_of_votes,
    other_answers,
    plan_of,
)

MANIFEST = "law.json"
FORMAT = 4
REMEDY = (
    f"put in its place the {MANIFEST} that the same command writes with another --out, and the parts are kept, or "
    "remove its folder, and they are sampled again; a finished votes file stays in any case"
)
"""What helps where the manifest is damaged: nothing else records to which run parts belong, and how it was split."""


class RunFinished(Exception):
    """Another process has finished the run and cleared the folder."""


@dataclass(frozen=True)
class RunManifest:
    """What identifies a run: the manifest of its votes, as in their files, the images, and the size of its units.

    Parameters
    ----------
    votes : what all parts share, such as noise, plan, seed and model
    index : positions of the images in their split
    labels : their true classes, if known
    block : noise samples per unit; 0 if it is still to be chosen
    fingerprints : numbers that tell the pixels from others; None in manifests of older versions
    """

    votes: dict[str, Any]
    index: list[int]
    labels: list[int] | None
    block: int
    fingerprints: list[int] | None = None

    def units(self) -> list[Unit]:
        """Return all units of the run."""
        return split_work(plan_of(self.votes["plan"]), len(self.index), self.block)

    def check(self) -> None:
        """Raise `InputError` for a manifest of no possible run."""
        # the file may have been edited: an image listed twice would be counted twice
        if len(set(self.index)) < len(self.index) or min(self.index, default=-1) < 0:
            raise InputError("index must be positions of images, each once and none below 0")
        if self.labels is not None and len(self.labels) != len(self.index):
            raise InputError(f"there are {len(self.index)} images and {len(self.labels)} labels")
        if self.fingerprints is not None and len(self.fingerprints) != len(self.index):
            raise InputError(f"there are {len(self.index)} images and {len(self.fingerprints)} fingerprints")
        check_name("precision", self.votes["precision"], PRECISIONS)
        check_canary(self.votes.get("canary", ()))
        # raises for a block that is too small, before a list of units fills the memory
        self.units()

    def of(self, rows: slice) -> "RunManifest":
        """Return the same manifest for some of the images."""
        labels = None if self.labels is None else self.labels[rows]
        prints = None if self.fingerprints is None else self.fingerprints[rows]
        return replace(self, index=self.index[rows], labels=labels, fingerprints=prints)

    def encode(self) -> bytes:
        """Return the content of law.json."""
        # sorted: processes compare manifests byte by byte
        document = {"format": FORMAT, "digest": self.digest(), **vars(self)}
        return (json.dumps(document, sort_keys=True) + "\n").encode()

    def digest(self) -> str:
        """Return the SHA-256 of the manifest: without it, a changed digit would make it that of another run."""
        return hashlib.sha256(json.dumps(vars(self), sort_keys=True).encode()).hexdigest()

    def difference(self, other: "RunManifest") -> str | None:
        """Return in words the first difference between this manifest and another, or None."""
        # the model first, devices and software last: users choose the one, the others follow from the machine
        names = (self.votes.keys() | other.votes.keys()) - {"canary"}
        for name in sorted(names, key=lambda name: (name in ("devices", "software"), name != "model", name)):
            value, expected = self.votes.get(name), other.votes.get(name)
            if value != expected:
                return _difference(name, value, expected)
        # last of these, as the answers depend on all others
        canaries = self.votes.get("canary", ()), other.votes.get("canary", ())
        if answers := other_answers(*canaries, self.votes["precision"]):
            return f"{answers} by a model of the same weights or name, {self.votes['model']}"
        if self.index != other.index:
            return f"other images ({len(self.index)}, not {len(other.index)} or not the same)"
        if self.labels != other.labels:
            return "other labels"
        # manifests of older versions have no fingerprints to compare
        if self.fingerprints != other.fingerprints and None not in (self.fingerprints, other.fingerprints):
            return "other pixels under the same name"
        return None if self.block == other.block else f"blocks of {self.block}, not {other.block}"


def _difference(name: str, value: object, expected: object) -> str:
    """Return in words how two values differ; of records the first field that differs, their `name` before others."""
    if isinstance(value, dict) and isinstance(expected, dict):
        for key in sorted(value.keys() | expected.keys(), key=lambda key: (key != "name", key)):
            if value.get(key) != expected.get(key):
                return f"{name} {_difference(key, value.get(key), expected.get(key))}"
    if isinstance(value, list) and isinstance(expected, list) and len(value) != len(expected):
        return f"{len(value)} {name}, not {len(expected)}"
    return f"{name} {value}, not {expected}"


def manifest_of(votes: Any, images: Any, block: int = 0) -> RunManifest:
    """Return the manifest of a run on `images` whose parts share the attributes of `votes`, those of `Votes`."""
    # read back from JSON, so that it equals a stored manifest: lists in place of tuples, numbers without numpy
    plain = json.loads(json.dumps(manifest_of_votes(votes), default=np.generic.item))
    labels, prints = (
        None if array is None else array.tolist() for array in (images.labels, images.fingerprints)
    )
    return RunManifest(plain, images.index.tolist(), labels, block, prints)


def decode_manifest(content: bytes, path: str) -> RunManifest:
    """Return the manifest that `RunManifest.encode` wrote; errors name `path`."""
    kinds = {field.name: field.type for field in fields(RunManifest)} | {"digest": str}
    document = read_document(content, path, FORMAT, kinds, ("fingerprints", "digest"), remedy=REMEDY)
    # up to format 3 there was no digest
    digest = document.pop("digest", None)
    manifest = written = RunManifest(**document)
    try:
        check_fields(manifest.votes, VOTES, optional=OPTIONAL)
        # up to format 2, the identity of the images was one sentence
        identity = identity_of(manifest.votes["data"])
        manifest = replace(manifest, votes=manifest.votes | {"data": identity and asdict(identity)})
        manifest.check()
    except InputError as error:
        raise InputError(f"{path} describes an impossible run: {error}; {REMEDY}") from error
    if digest not in (None, written.digest()):
        raise InputError(f"{path} was damaged or edited (its content does not match its digest): {REMEDY}")
    return manifest


class Parts:
    """The parts of one run, in a folder or under a prefix of an object store.

    Processes that share the folder use no locks: each file is written completely or not at all, and a finished run
    loses its manifest. So `begin` and `save` raise `RunFinished` where the manifest is gone.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.manifest: RunManifest | None = None
        self.kept = 0
        """Parts that this process read or wrote intact, for messages."""
        self._started = False

    def stored(self) -> RunManifest | None:
        """Return the manifest in this folder, or None in a folder without parts."""
        return self._stored()[0]

    def _stored(self) -> tuple[RunManifest | None, bytes]:
        """Return the manifest in this folder, None in a folder without parts, and the content of its file."""
        with suppress(Missing):
            content = self.folder.read(MANIFEST)
            return decode_manifest(content, self.folder.address(MANIFEST)), content
        if self._any():
            raise InputError(f"{self.folder.address('')} has parts of votes but no {MANIFEST}: {REMEDY}")
        return None, b""

    def _any(self) -> bool:
        return any(name.startswith("part-") for name in self.folder.names())

    def begin(self, manifest: RunManifest) -> None:
        """Start or resume the run; raise `InputError`, and change nothing, if the folder has parts of another run.

        Raises `RunFinished` if another process finishes this run at this moment.
        """
        (stored, content), self.manifest = self._stored(), manifest
        self._started = stored is None
        # without parts, a manifest is what a run left that failed before its first part
        if stored is None or (stored != manifest and not self._any()):
            self.folder.write(MANIFEST, manifest.encode())
            # another process may have written its own at the same moment: the last one counts
            stored, content = self._stored()
        # the other process has finished since then, and cleared the folder
        if stored is None:
            raise RunFinished
        if difference := stored.difference(manifest):
            raise InputError(
                f"{self.folder.address('')} is of another run, with {difference}: "
                "give the options it was started with, choose another --out, or remove the folder"
            )
        # the canary of another process may have been rounded otherwise
        canary = {name: stored.votes[name] for name in stored.votes if name == "canary"}
        own = {name: value for name, value in manifest.votes.items() if name != "canary"}
        if replace(manifest, votes=own | canary).encode() != content:
            # the same run under a manifest of an earlier format, which lacks something that parts are compared with
            raise InputError(
                f"{self.folder.address('')} was started by an older version of radii: "
                "finish it there, choose another --out, or remove the folder"
            )

    def has(self, unit: Unit) -> bool:
        """Return whether there is a file for this unit."""
        return unit.name in self.folder.names()

    def save(self, unit: Unit, content: bytes) -> None:
        """Store the votes of a unit.

        Raises `RunFinished` if the run is finished, `InputError` if another run has taken over the folder.

        Guarantee: no file of a finished run is left, whenever it is cleared.
        """
        self._check_unfinished()
        try:
            self.folder.write(unit.name, content)
        except Missing:
            raise RunFinished from None
        # the folder may have been cleared between the first check and the write: then this part would stay for ever
        try:
            self._check_unfinished()
        except RunFinished:
            self._remove_rest()
            raise
        self.kept += 1

    def _check_unfinished(self) -> None:
        assert self.manifest is not None
        try:
            content = self.folder.read(MANIFEST)
        except Missing:
            raise RunFinished from None
        if content != self.manifest.encode():
            path = self.folder.address(MANIFEST)
            # raises for a damaged manifest, which is not that of another run; that of another process of the same run
            # may have a canary that was rounded otherwise
            if decode_manifest(content, path).difference(self.manifest):
                raise InputError(f"another run was started in {path}: choose another --out for it")

    def check(self, unit: Unit, content: bytes) -> None:
        """Raise `InputError` unless votes that were sampled for a unit, and are not stored yet, are of this run."""
        if difference := self._difference(unit, decode_votes(content, unit.name)):
            raise InputError(
                f"another process that samples for {self.folder.address('')} has {difference}: load the same model "
                "and the same images in each"
            )

    def load(self, units: Sequence[Unit]) -> dict[int, Votes]:
        """Return the votes of the finished ones of these units, by their numbers.

        A damaged file is removed with a `RadiiWarning`. Raises `InputError` for intact votes of another run.
        """
        names = set(self.folder.names())
        loaded = {unit.number: votes for unit in units if unit.name in names for votes in self._read(unit)}
        self.kept = len(loaded)
        return loaded

    def _read(self, unit: Unit) -> Iterator[Votes]:
        """Yield the votes of a unit, unless their file is damaged or was removed meanwhile."""
        path = self.folder.address(unit.name)
        try:
            votes = decode_votes(self.folder.read(unit.name), path)
        except Missing:
            return
        except Damaged as error:
            # removed, so that processes which look for missing parts sample it again
            warnings.warn(RadiiWarning(f"{error}; it is removed, to be sampled again"), stacklevel=3)
            self.folder.remove(unit.name)
            return
        # intact votes of another run are not removed: they may have taken hours
        if difference := self._difference(unit, votes):
            raise InputError(f"{path} does not belong to this run, it has {difference}: remove it")
        yield votes

    def _difference(self, unit: Unit, votes: Votes) -> str | None:
        """Return in words how votes differ from those that this run has of a unit, or None."""
        assert self.manifest is not None
        # votes do not record the block; their draws, below, tell those of another one
        difference = manifest_of(votes, votes, self.manifest.block).difference(self.manifest.of(unit.rows))
        if not difference and votes.draws != ((unit.draws,) if unit.draws else ()):
            difference = f"draws {votes.draws}, not {unit.draws}"
        return difference

    def check_result(self, votes: Votes, path: object) -> None:
        """Raise `InputError` unless votes that another process wrote are those of this run."""
        assert self.manifest is not None
        result = manifest_of(votes, votes, self.manifest.block)
        if difference := result.difference(self.manifest):
            raise InputError(
                f"{path} was written meanwhile by another run, with {difference}: choose another --out for this one"
            )

    def abandon(self) -> None:
        """Remove the folder of a run that failed, if this process started the run and no part was stored.

        A manifest that was there before is kept: an earlier run or another process wrote it.
        """
        with suppress(Missing):
            if not self._started or self.manifest is None or self._any():
                return
            # a run that started at the same moment may have replaced it
            if self.folder.read(MANIFEST) == self.manifest.encode():
                self.folder.remove(MANIFEST)
                self.folder.remove_if_empty()

    def clear(self) -> None:
        """Remove all parts and the manifest; several processes may do so at once."""
        # parts first: without a manifest, an interruption would leave parts that belong to no run
        self._remove_parts()
        self.folder.remove(MANIFEST)
        self._remove_rest()

    def _remove_rest(self) -> None:
        """Remove parts that were written while the manifest was removed, and the folder."""
        self._remove_parts()
        self.folder.remove_if_empty()

    def _remove_parts(self) -> None:
        assert self.manifest is not None
        # by name, not all that lies there: the user may have put other files into the folder
        names = set(self.folder.names())
        for unit in self.manifest.units():
            if unit.name in names:
                self.folder.remove(unit.name)
