"""docs/votes-file.md is what stands in real files of votes, read with pyarrow alone."""

import contextlib
import hashlib
import io
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import radii
from radii.engine.parts import decode_manifest, manifest_of
from radii.votes.file_format import FORMAT, HEADER, MANY_CLASSES
from radii.votes.plans import PLANS
from vote_factory import make_votes

PAGE = (Path(__file__).parents[2] / "docs" / "votes-file.md").read_text()
((SNIPPET, PRINTED),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
IDENTITIES = {
    1: "cifar10 test, first 20 of every 20th of 10000",
    2: "cifar10 test, first 20 of every 20th of 10000",
    3: "cifar10 test, every 20th of 10000 without 7580",
    4: "digits test, every 18th of 355",
    5: "digits test, every 18th of 355",
}
"""Which images the stored files are about, by their format."""
ASKED = {
    1: {"l2": (0.25, 0.5)},
    2: {"l2": (0.25, 0.5)},
    3: {"l1": (0.25, 0.5, 1.0), "linf": (1 / 255, 2 / 255), "l2": (0.25, 0.5)},
    4: {"l2": (0.0625, 0.125), "linf": (1 / 255,)},
    5: {"l2": (0.0625, 0.125), "linf": (1 / 255,)},
}
"""Radii; of sequential votes those that their plan decides, on whichever processor."""
CERTIFIED = {
    1: {"l2": [11, 7]},
    2: {"l2": [11, 7]},
    3: {"l1": [288, 250, 203], "linf": [298, 242], "l2": [284, 230]},
    4: {"l2": [16, 14], "linf": [17]},
    5: {"l2": [15, 15], "linf": [16]},
}
"""Images certified to these radii."""
COLUMNS, FIELDS = (
    dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", part, re.MULTILINE)) for part in PAGE.split("\n## ")[1:3]
)


def counted(classes: int, counts: list[list[int]], **changes: object) -> radii.Votes:
    """Votes of which each row of `counts` names the first classes."""
    table = np.zeros((len(counts), classes), dtype=np.int64)
    table[:, : len(counts[0])] = counts
    n = int(table[0].sum())
    usual = radii.Votes(
        counts=table,
        selection=table,
        labels=np.zeros(len(counts), dtype=np.int64),
        index=np.arange(len(counts)),
        noise=radii.Laplace(0.5),
        shape=(3, 32, 32),
        plan=radii.fixed(n, n),
        draws=((0, n),),
        seed=0,
        model="none",
    )
    return replace(usual, **changes)


def sequential() -> radii.Votes:
    """Votes by a plan that stops."""
    plan = radii.Sequential(levels=(0.6,), n_max=1000)
    smoothed = radii.Smoothed(certain, radii.Gaussian(0.5), batch=64)
    return smoothed.vote(np.full((3, 1, 2, 2), 0.5, dtype=np.float32), np.zeros(3, int), plan=plan)


def deciding() -> radii.Votes:
    """Votes by a plan for radii."""
    votes, question = sequential(), radii.RadiusTarget(radii.Gaussian(0.5), "l2", (0.1, 0.2), (1, 2, 2))
    smoothed = radii.Smoothed(certain, votes.noise, batch=64)
    images = np.full((3, 1, 2, 2), 0.5, dtype=np.float32)
    return smoothed.vote(images, np.zeros(3, int), plan=radii.sequential(question, n_max=1000))


def certain(images):
    return images.new_tensor([[1.0, 0.0, 0.0]]).expand(len(images), 3)


KINDS = {
    "usual": lambda: make_votes(),
    "without labels": lambda: replace(make_votes(), labels=None),
    "many classes": lambda: counted(MANY_CLASSES + 1, [[9, 0, 1], [0, 10, 0]]),
    "sequential": sequential,
    "deciding": deciding,
    "odd names": lambda: replace(make_votes(), classes=tuple("äbcdefgh∞j"), devices=("cpu a",)),
    "imported": lambda: replace(make_votes(), unchecked=("The noise is as stated.",)),
}


def said(folder: Path, votes: radii.Votes, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the snippet of the page prints about votes."""
    monkeypatch.chdir(folder)
    votes.save("votes.parquet")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(SNIPPET, {})
    return out.getvalue()


def test_the_snippet_prints_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    votes = counted(4, [[0, 3, 990, 7]], selection=np.array([[0, 0, 100, 0]]), plan=radii.fixed(1000, 100))
    assert said(tmp_path, votes, monkeypatch) == PRINTED


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_as_the_page_says(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    votes = KINDS[kind]()
    assert said(tmp_path, votes, monkeypatch).endswith("\nTrue\n")
    table = pq.read_table("votes.parquet")
    types = {field.name: re.sub(r"\w+: ", "", str(field.type)) for field in table.schema}
    many = len(votes.classes) > MANY_CLASSES
    expected = {"index": "int64", "label": "int64"}
    for name in ("counts", "selection"):
        assert "`list<int64>`" in COLUMNS[name]
        expected |= (
            dict.fromkeys([name, f"{name}_class"], "large_list<int64>") if many else {name: "list<int64>"}
        )
    if kind in ("sequential", "deciding"):
        expected |= {"certified": "int64", "fingerprint": "int64"}
    assert types == expected and all(
        kind in COLUMNS[name] for name, kind in expected.items() if name in COLUMNS and not many
    )
    assert [name for name in types if table[name].null_count] == (["label"] if votes.labels is None else [])
    (key,) = table.schema.metadata
    header = json.loads(table.schema.metadata[key])
    assert key == b"radii" and set(header) | {"devices", "canary", "unchecked"} == set(FIELDS)
    assert ("unchecked" in header) == (kind == "imported")
    assert ("canary" in header) == (kind in ("sequential", "deciding"))
    assert ("decisions" in header["plan"]) == (kind == "deciding")
    assert header["format"] == FORMAT


def test_lists_of_classes_with_votes_are_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(tmp_path, KINDS["many classes"](), monkeypatch)
    table = pq.read_table("votes.parquet")
    assert table["counts_class"].to_pylist() == [[0, 2], [1]] and table["counts"].to_pylist() == [
        [9, 1],
        [10],
    ]


def test_fingerprints_are_as_the_page_says() -> None:
    pixels = np.full((1, 2, 2), 0.5, dtype="<f4").tobytes()
    said = int.from_bytes(hashlib.blake2b(pixels, digest_size=8).digest(), "little", signed=True)
    assert sequential().fingerprints.tolist() == [said] * 3


def test_an_edited_file_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said(tmp_path, make_votes(), monkeypatch)
    table = pq.read_table("votes.parquet")
    labels = table["label"].to_numpy().copy()
    labels[0] += 1
    place = table.column_names.index("label")
    pq.write_table(table.set_column(place, "label", [labels]), "votes.parquet")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(SNIPPET, {})
    assert out.getvalue().endswith("\nFalse\n")


def test_decisions_are_as_the_page_says() -> None:
    shown = json.loads(re.search(r"`(\{\"norm\".*?\})`", PAGE)[1])
    plan = radii.sequential(radii.RadiusTarget(radii.Gaussian(0.5), "l2", (0.25, 0.5), (3, 32, 32)))
    assert json.loads(json.dumps(asdict(plan.decisions[0]))) == shown


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "formats").glob("*.parquet")), ids=lambda path: path.stem
)
def test_files_of_earlier_formats_are_read(path: Path, tmp_path: Path) -> None:
    votes, form = radii.load_votes(path), int(path.stem.split("-")[1])
    header = json.loads(pq.read_schema(path).metadata[b"radii"])
    assert header["format"] == form and str(votes.data) == IDENTITIES[form]
    votes.save(tmp_path / "again.parquet")
    again = json.loads(pq.read_schema(tmp_path / "again.parquet").metadata[b"radii"])
    changed = {"format": FORMAT, "digest": again["digest"], "data": asdict(votes.data)}
    assert again == header | changed
    found = {norm: radii.certify(votes, norm).accuracy(at) for norm, at in ASKED[form].items()}
    assert {norm: (len(votes) * at).round().tolist() for norm, at in found.items()} == CERTIFIED[form]


@pytest.mark.parametrize(("name", "votes"), [("law-2", "votes-4-decisions"), ("law-3", "votes-5-fixed")])
def test_the_manifest_of_an_earlier_format_is_read(name: str, votes: str) -> None:
    folder = Path(__file__).parents[1] / "formats"
    manifest = decode_manifest((folder / f"{name}.json").read_bytes(), name)
    votes = radii.load_votes(folder / f"{votes}.parquet")
    assert manifest == manifest_of(votes, votes, manifest.block)


def test_fields_and_plans_are_all_there() -> None:
    assert set(FIELDS) == set(HEADER) | {"format", "digest"}
    assert all(f"`{name}`" in PAGE for name in PLANS) and set(COLUMNS) == {
        "index",
        "label",
        "counts",
        "selection",
        "certified",
        "fingerprint",
    }
