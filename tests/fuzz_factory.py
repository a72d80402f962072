"""Votes of every kind, and ways to harm what is stored, for tests that nothing from outside is trusted."""

import json
import os
import random
import socket
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

import radii
from radii.storage.parquet import Columns, Lists
from radii.votes import Votes

SHAPE, NOISE = (1, 1, 1), radii.Gaussian(0.25)
ASKED = radii.RadiusTarget(NOISE, "l2", (0.1, 0.2), SHAPE)
PLANS = {
    "fixed": radii.fixed(60, 20),
    "sequential": radii.sequential(ASKED, n_max=400, alpha=0.01),
    "predicted": radii.sequential(ASKED, n_max=400, alpha=0.01, selection=30),
    "top-k": radii.sequential_top_k(ASKED, n_max=400, alpha=0.01),
    "two-stage": radii.TwoStage(1e-5, "l2", pilot=50, n_max=400),
    "anytime": radii.Anytime(n_max=400, selection=10),
}


def model(noisy: torch.Tensor) -> torch.Tensor:
    """Class 1 above a half, else 0 or, below .1, 2."""
    x = noisy.flatten(1)[:, 0]
    return torch.stack([(x <= 0.5).float(), (x > 0.5).float(), 2 * (x < 0.1).float()], 1)


@cache
def all_votes() -> dict[str, Votes]:
    """Votes by every plan on a few images, some on many classes, and some that do not know their images again."""
    images = torch.linspace(0.3, 1, 6).view(-1, 1, 1, 1)
    smoothed, labels = radii.Smoothed(model, NOISE, batch=64), np.ones(6, dtype=int)
    found = {name: smoothed.vote(images, labels, plan=plan, seed=4) for name, plan in PLANS.items()}
    return found | {
        "many classes": _on_many_classes(found["fixed"], 300),
        "unknown images": replace(found["fixed"], fingerprints=None),
    }


def _on_many_classes(votes: Votes, classes: int) -> Votes:
    """The same votes, for every 60th of so many classes."""
    wide = {name: np.zeros((len(votes), classes), dtype=np.int64) for name in ("counts", "selection")}
    for name, table in wide.items():
        table[:, [0, 60, 120]] = getattr(votes, name)
    return replace(votes, **wide, labels=votes.labels * 60, classes=())


# what may happen to bytes --------------------------------------------------------------------------

Edit = tuple[str, float, bytes]
EDIT_KINDS = ("flip", "set", "insert", "cut", "swap", "copy")
EDITS = st.lists(
    st.tuples(
        st.sampled_from(EDIT_KINDS),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, edits: list[Edit]) -> bytes:
    """The content with bits flipped, bytes changed, put in or cut out, and pieces moved."""
    for kind, place, given in edits:
        at, size = int(place * len(content)), len(given)
        if kind == "flip":
            bit = bytes([content[at] ^ 1 << given[0] % 8]) if content else b""
            content = content[:at] + bit + content[at + 1 :]
        elif kind == "set":
            content = content[:at] + given + content[at + size :]
        elif kind == "insert":
            content = content[:at] + given + content[at:]
        elif kind == "cut":
            content = content[:at] + content[at + given[0] * size :]
        elif kind == "swap":
            content = content[at:] + content[:at]
        else:
            content = content[:at] + content[at // 2 : at // 2 + 16 * size] + content[at:]
    return content


def drawn_edits(rng: random.Random) -> list[Edit]:
    """A draw from `EDITS` by a random generator."""
    return [
        (rng.choice(EDIT_KINDS), rng.random(), rng.randbytes(rng.randint(1, 8)))
        for _ in range(rng.randint(1, 4))
    ]


def with_header(content: bytes, change: Callable[[dict], dict]) -> bytes:
    """A safetensors file with another header."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(change(json.loads(content[8 : 8 + size]))).encode()
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def with_footer(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A Parquet file with another footer."""
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = change(content[start:-8])
    return content[:start] + footer + len(footer).to_bytes(4, "little") + content[-4:]


# what may lie in the place of a file ---------------------------------------------------------------

SPECIAL = ("pipe", "device", "loop", "socket")


def put_special(path: Path, kind: str) -> Path:
    """Put one of `SPECIAL` at a path: reading it may never end."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            # the address of a socket has at most 107 bytes
            bound.bind(os.path.relpath(path))
    else:
        path.symlink_to({"loop": path, "device": Path("/dev/zero")}[kind])
    return path


# what may happen to plain values -------------------------------------------------------------------

NUMBERS = (0, 1, -1, 2, 255, 256, 2**31, 2**53 + 1, 2**62, 2**63, 2**64, 10**30, 10**400)
FLOATS = (0.5, 1.5, -0.0, 1e-320, 1e-300, 1e300, -1e300, float("nan"), float("inf"), float("-inf"))
TEXTS = (
    "",
    "0",
    "1",
    "nan",
    "fixed",
    "l0",
    "pixel",
    "\ud800",
    "\x00",
    "\x1b[2J",
    "../x",
    "$\\x$",
    "a" * 5000,
)
NESTED = (
    [],
    {},
    [1],
    [[1]],
    [1, 2, 3],
    ["a", 1],
    [[0.5, 40.7]],
    [[0, 60], [60, 90]],
    {"a": {"b": []}},
    [2**31, 2],
)
LEAVES = st.sampled_from((None, True, False, *NUMBERS, *FLOATS, *TEXTS))
VALUES = st.sampled_from((None, True, False, *NUMBERS, *FLOATS, *TEXTS, *NESTED))
CHANGE_KINDS = ("replace", "remove", "add", "repeat")
CHANGES = st.lists(
    st.tuples(st.sampled_from(CHANGE_KINDS), st.integers(0, 10**6), VALUES),
    min_size=1,
    max_size=3,
)


def drawn_changes(rng: random.Random) -> list[tuple[str, int, Any]]:
    """A draw from `CHANGES` by a random generator."""
    values = (None, True, False, *NUMBERS, *FLOATS, *TEXTS, *NESTED)
    return [
        (rng.choice(CHANGE_KINDS), rng.randrange(10**6), rng.choice(values)) for _ in range(rng.randint(1, 3))
    ]


def changed(document: Any, changes: list[tuple[str, int, Any]]) -> Any:
    """A document of plain values, some of them replaced, taken away, added or repeated, at any depth."""
    document = deepcopy(document)
    for kind, number, value in changes:
        places = list(_places(document))
        if not places:
            break
        holder, key = places[number % len(places)]
        value = deepcopy(value)
        if kind == "replace":
            holder[key] = value
        elif kind == "remove":
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, value if kind == "add" else deepcopy(holder[key]))
        else:
            holder[f"{key}{number}" if kind == "add" else TEXTS[number % len(TEXTS)]] = value
    return document


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Everything that can be replaced, as what holds it and under which key."""
    keys = (
        list(document)
        if isinstance(document, dict)
        else range(len(document))
        if isinstance(document, list)
        else ()
    )
    for key in keys:
        yield document, key
        yield from _places(document[key])


# what may happen to columns ------------------------------------------------------------------------

CELLS = (-(2**63), -1, 0, 1, 19, 20, 60, 61, 400, 2**31, 2**62, 2**63 - 1)
COLUMN_EDITS = st.lists(
    st.tuples(
        st.sampled_from(("cell", "row", "wrap", "cut", "none", "remove", "extra", "lists", "table")),
        st.integers(0, 10**6),
        st.sampled_from(CELLS),
    ),
    max_size=3,
)


def changed_columns(columns: Columns, edits: list[tuple[str, int, int]]) -> Columns:
    """Columns with other numbers, rows, shapes and names."""
    columns = dict(columns)
    for kind, number, value in edits:
        name = sorted(columns)[number % len(columns)]
        column = columns[name]
        if kind == "none":
            columns[name] = None
        elif kind == "remove":
            del columns[name]
        elif kind == "extra":
            columns[("labels", "noise", "x", "counts_class")[number % 4]] = np.full(6, value)
        elif isinstance(column, np.ndarray):
            columns[name] = _changed(kind, column, number, value)
        elif column is not None:
            columns[name] = Lists(column.lengths, _changed("cell", column.values, number, value))
        if not columns:
            break
    return columns


def _changed(kind: str, column: np.ndarray, number: int, value: int) -> np.ndarray | Lists:
    column = np.array(column)
    row = number % len(column)
    if kind == "cell":
        column.ravel()[number % column.size] = value
    elif kind == "row":
        column[row] = value
    elif kind == "wrap" and column.ndim == 2:
        # the sum stays the same in 64 bits
        column[row, :2] += np.array([2**62, 2**62])
        column[row, 2] += 2**63 - 1
        column[row, 0] += 1
    elif kind == "cut":
        return column[:row]
    elif kind == "lists":
        return Lists(np.full(len(column), column.size // len(column)), column.ravel())
    elif kind == "table":
        return column.reshape(len(column), -1)
    return column
