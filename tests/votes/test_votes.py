"""Votes: what they reject, how they add, and the file they are kept in."""

import contextlib
import gzip
import io
import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

import radii.votes
from radii.errors import InputError
from radii.noises import Gaussian, Laplace
from radii.storage import parquet
from radii.storage.kinds import WORDS, kind_of
from radii.storage.parquet_pages import numbers_in
from radii.votes import FORMAT, ImageIdentity, Votes, decode_votes, join_ranges, load_votes, merge
from radii.votes.plans import fixed

CLASSES = 4


def random_votes(index=(3, 5, 9), draws=((0, 40),), luck=0, **changes) -> Votes:
    """Votes whose selection depends on the images alone, as real ones do."""
    rng = np.random.default_rng(luck)
    n = sum(stop - first for first, stop in draws)
    index = np.array(index)
    selection = np.stack([np.bincount([i % CLASSES] * 7, minlength=CLASSES) for i in index])
    fields = {
        "counts": rng.multinomial(n, np.full(CLASSES, 1 / CLASSES), size=len(index)),
        "selection": selection,
        "labels": index % CLASSES,
        "index": index,
        "noise": Laplace(0.1 + 0.2),
        "shape": (1, 2, 3),
        "plan": fixed(100, 7),
        "draws": draws,
        "seed": 2**64 - 1,
        "model": "a" * 64,
        "data": ImageIdentity("some test images"),
        "classes": ("a", "b", "c", "é"),
        "canary": ((0.5,) * 8,) * 4,
    }
    return Votes(**(fields | changes))


def assert_same(one: Votes, two: Votes) -> None:
    for name in ("counts", "selection", "labels", "index"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    for name in (*radii.votes.SHARED_FIELDS, "draws"):
        assert getattr(one, name) == getattr(two, name), name


# what votes are -----------------------------------------------------------------------------------


def test_sizes():
    votes = random_votes(draws=((60, 70), (0, 40)))
    assert (len(votes), votes.n, votes.complete) == (3, 50, False)
    assert votes.draws == ((0, 40), (60, 70))
    assert random_votes(draws=((40, 100), (0, 40))).complete


def test_votes_do_not_share_memory_and_cannot_be_changed():
    counts = np.full((3, CLASSES), 10)
    votes = random_votes(counts=counts)
    counts[0, 0] = 99
    assert votes.counts[0, 0] == 10
    with pytest.raises(ValueError):
        votes.counts[0, 0] = 11


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": np.full((3, 4), 9)}, "counts of image 3 add up to 36, but there were 40 samples"),
        ({"counts": np.full((3, 4), 10.0)}, "counts must be whole numbers"),
        ({"counts": np.array([[-1, 41, 0, 0]] * 3)}, "negative"),
        ({"counts": np.full((2, 4), 10)}, "shape"),
        ({"selection": np.full((3, 4), 10)}, "selection of image 3 add up to 40"),
        ({"labels": np.array([0, 1, 4])}, r"labels must lie in 0\.\.3; found 0 to 4"),
        ({"labels": np.array([0, 1])}, "labels must have the shape"),
        ({"index": (1, 5, 1)}, "image 1 occurs more than once"),
        ({"index": (-1, 5, 1), "selection": np.array([[7, 0, 0, 0]] * 3), "labels": None}, "below 0"),
        ({"noise": "laplace"}, "noise must be"),
        ({"precision": "float16"}, "unknown precision"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"shape": (3, 0)}, "shape"),
        ({"draws": ((0, 20), (19, 39)), "counts": np.full((3, 4), 10)}, "counted twice"),
        ({"draws": ((0, 101),)}, "must lie in the plan's 100"),
        ({"draws": ((5, 5),)}, "draws must be ranges"),
        ({"plan": 100}, "plan must be"),
        ({"classes": ("a", "b"), "labels": None}, "shape"),
    ],
)
def test_impossible_votes_are_rejected(changes, message):
    with pytest.raises(InputError, match=message):
        random_votes(**changes)


def test_votes_on_no_images_are_rejected():
    with pytest.raises(InputError, match="at least one"):
        random_votes()[[]]


def test_ranges_join_whatever_their_order():
    assert join_ranges([(7, 9), (0, 3), (3, 5)]) == ((0, 5), (7, 9))


# parts and sums -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [slice(1, None), np.array([False, True, True]), [1, 2], np.array([1, 2])])
def test_taking_images(rows):
    votes = random_votes()
    part = votes[rows]
    np.testing.assert_array_equal(part.index, [5, 9])
    np.testing.assert_array_equal(part.counts, votes.counts[1:])
    np.testing.assert_array_equal(part.selection, votes.selection[1:])
    np.testing.assert_array_equal(part.labels, votes.labels[1:])


def test_images_taken_twice_are_rejected():
    with pytest.raises(InputError, match="more than once"):
        random_votes()[[0, 0]]
    with pytest.raises(InputError, match="slice"):
        random_votes()[1]


def test_more_samples_add_up_in_any_order():
    one = random_votes(draws=((0, 40),), luck=1)
    two = random_votes(index=(9, 3, 5), draws=((40, 90),), luck=2)
    total = one + two
    assert (total.n, total.draws) == (90, ((0, 90),))
    np.testing.assert_array_equal(total.counts, one.counts + two.counts[[1, 2, 0]])
    np.testing.assert_array_equal(total.selection, one.selection)
    assert_same(total, two + one)


def test_more_images_come_in_order():
    whole = random_votes(index=(1, 2, 3, 4))
    assert_same(whole[[1, 3]] + whole[[2, 0]], whole)
    bare = replace(whole, labels=None)
    assert (bare[:2] + bare[2:]).labels is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": Laplace(0.5)}, "different noise.*0.30000000000000004.*0.5"),
        ({"noise": Gaussian(0.1 + 0.2)}, "different noise"),
        ({"shape": (6,)}, "different shape"),
        ({"plan": fixed(200, 7)}, "different plan"),
        ({"seed": 1}, "different seed.* 1$"),
        ({"model": "b" * 64}, "different model"),
        ({"precision": "bfloat16"}, "different precision"),
        ({"data": ImageIdentity("others")}, "different data.*: some test images and others"),
        ({"classes": ("a", "b", "c", "d")}, "different classes"),
        ({"software": {"radii": "0"}}, "different software"),
        ({"labels": None}, "true labels"),
        ({"labels": np.array([0, 1, 1])}, "true label of image 3"),
        ({"selection": np.array([[7, 0, 0, 0]] * 3)}, "selection samples of image 3"),
        ({"draws": ((39, 79),)}, r"draws \[39, 40\) are counted twice"),
        ({"index": (3, 5, 8)}, "share 2"),
        ({"index": (3, 5)}, "share 2"),
        ({"index": (30, 50)}, "must have the same ranges of draws"),
    ],
)
def test_votes_that_do_not_belong_together_do_not_add(changes, message):
    with pytest.raises(InputError, match=message):
        random_votes() + random_votes(**({"draws": ((40, 80),)} | changes))


# the file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"labels": None}, {"draws": ((0, 10), (50, 80))}, {"plan": fixed(40, 7)}]
)
def test_file_gives_back_the_same_votes(tmp_path, changes):
    votes = random_votes(**changes)
    votes.save(tmp_path / "new" / "votes.parquet")
    assert_same(load_votes(tmp_path / "new" / "votes.parquet"), votes)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["votes.parquet"]


@pytest.mark.parametrize("name", ["votes.npz", "votes.CSV", "model.pt"])
def test_names_of_other_kinds_of_files_are_rejected(tmp_path, name):
    with pytest.raises(InputError, match=r"votes are written as Parquet; got .*: call it .*\.parquet"):
        random_votes().save(tmp_path / "new" / name)
    assert not list(tmp_path.iterdir())


def test_votes_are_printed_in_three_lines():
    first, second, third = repr(random_votes()).splitlines()
    assert first.startswith("Votes on ") and second.startswith("noise ") and "samples per image" in third


def test_equal_votes_give_equal_files(tmp_path):
    whole = random_votes(index=(1, 2, 3, 4))
    whole.save(tmp_path / "a")
    (whole[2:] + whole[:2]).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_other_programs_can_read_the_file(tmp_path):
    random_votes().save(tmp_path / "v")
    table = pq.read_table(tmp_path / "v")
    assert table.column_names == ["index", "label", "counts", "selection"]
    assert table.column("counts").to_pylist() == random_votes().counts.tolist()
    assert json.loads(table.schema.metadata[b"radii"])["noise"]["name"] == "laplace"


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    random_votes().save(tmp_path / "v")
    before = (tmp_path / "v").read_bytes()

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", stop)
    with pytest.raises(KeyboardInterrupt):
        random_votes(luck=9).save(tmp_path / "v")
    assert (tmp_path / "v").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def rewrite(path, edit_header=lambda header: header, edit_columns=lambda table: table) -> None:
    """Edit a file as a clumsy hand would."""
    table = edit_columns(pq.read_table(path))
    metadata = table.schema.metadata
    header = edit_header(json.loads(metadata[b"radii"]))
    pq.write_table(table.replace_schema_metadata({b"radii": json.dumps(header).encode()}), path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        load_votes(tmp_path / "none")


@pytest.mark.parametrize("size", [0, 3, 500, -1])
def test_truncated_file(tmp_path, size):
    random_votes().save(tmp_path / "v")
    (tmp_path / "v").write_bytes((tmp_path / "v").read_bytes()[:size])
    with pytest.raises(InputError, match=r"not a whole Parquet file|is an empty file, not votes"):
        load_votes(tmp_path / "v")


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path):
    votes = random_votes()
    votes.save(tmp_path / "v")
    good = (tmp_path / "v").read_bytes()
    for at in range(0, len(good), 7):
        bad = bytearray(good)
        bad[at] ^= 0x55
        (tmp_path / "v").write_bytes(bad)
        with contextlib.suppress(InputError):
            assert_same(load_votes(tmp_path / "v"), votes)


def test_foreign_parquet(tmp_path):
    random_votes().save(tmp_path / "v")
    pq.write_table(pq.read_table(tmp_path / "v").replace_schema_metadata({}), tmp_path / "v")
    with pytest.raises(InputError, match="holds no votes"):
        load_votes(tmp_path / "v")


def test_newer_format(tmp_path):
    random_votes().save(tmp_path / "v")
    rewrite(tmp_path / "v", lambda header: header | {"format": FORMAT + 1, "surprise": 1})
    with pytest.raises(InputError, match="written by a newer radii; update with pip install -U radii"):
        load_votes(tmp_path / "v")


def test_edited_noise_or_counts(tmp_path):
    random_votes().save(tmp_path / "v")
    rewrite(tmp_path / "v", lambda header: header | {"noise": {"name": "laplace", "sigma": 3.0}})
    with pytest.raises(InputError, match="does not match its digest"):
        load_votes(tmp_path / "v")
    random_votes().save(tmp_path / "v")
    rewrite(tmp_path / "v", edit_columns=lambda table: table.slice(0, 2))
    with pytest.raises(InputError, match="does not match its digest"):
        load_votes(tmp_path / "v")


PART = {"name": "x", "split": "test", "digest": "", "part": "all", "turned": False}
LEVELS = {"levels": [0.5], "alpha": 0.01, "n_max": 100, "batch": 1, "selection": 7}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": [[0, 39]]}, "counts of image 3 add up to 40, but there were 39 samples"),
        ({"noise": {"name": "laplac", "sigma": 1.0}}, "did you mean 'laplace'"),
        ({"noise": 3}, "noise must be names with values; got 3"),
        ({"unknown": 3}, "no field 'unknown'"),
        ({"plan": {"name": "fixed"}}, "the field n is missing"),
        ({"plan": [[1, 2]]}, "plan must be names with values"),
        ({"plan": {"name": "fixed", "n": 10**400, "selection": 7}}, "n must be at most"),
        (
            {"plan": {"name": "anytime", "alpha": 0.01, "n_max": 100, "selection": 2**62}},
            "selection must be at most",
        ),
        (
            {"plan": {"name": "sequential", **LEVELS, "levels": ["x"]}},
            "levels must be a list, each item a finite",
        ),
        (
            {"plan": {"name": "sequential", **LEVELS, "levels": [(i + 1) / 99 for i in range(98)]}},
            "at most 64 levels",
        ),
        ({"plan": {"name": "sequential", **LEVELS, "batch": 2**63}}, "batch must be at most"),
        ({"draws": [[1, 2, 3]]}, "draws must be ranges"),
        ({"draws": [[0.5, 40.7]]}, "draws must be a list"),
        ({"noise": {"name": "laplace", "sigma": 10**400}}, "sigma must be a finite number"),
        ({"noise": {"name": "laplace", "sigma": 1e-300}}, "sigma must be a number from 1e-09"),
        ({"shape": [2**31, 2**31]}, "shape must be the sizes"),
        ({"shape": ["3", "4"]}, "shape must be a list"),
        ({"exact": "no"}, "exact must be true or false"),
        ({"classes": "abcd"}, "classes must be a list"),
        ({"software": {"radii": None}}, "software must be names with values"),
        ({"sigma": float("nan")}, "its header cannot be read"),
        ({"data": "\ud800"}, "its header cannot be read"),
        ({"data": 3}, "data must be names with values or text"),
        ({"data": {"name": "x"}}, "the field split is missing"),
        ({"data": {**PART, "turned": 1}}, "turned must be true or false"),
        ({"data": {**PART, "extra": ""}}, "no field 'extra'"),
    ],
)
def test_a_wrong_header_with_a_right_digest(tmp_path, change, message):
    random_votes().save(tmp_path / "v")
    columns, header = parquet.decode((tmp_path / "v").read_bytes(), "v", FORMAT)
    (tmp_path / "v").write_bytes(parquet.encode(columns, header | change, FORMAT))
    with pytest.raises(InputError, match=message):
        load_votes(tmp_path / "v")


def with_columns(**changes) -> bytes:
    """A file whose digest is right, with other columns."""
    columns, header = parquet.decode(random_votes().encode(), "v", FORMAT)
    return parquet.encode(columns | changes, header, FORMAT)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"labels": np.array([0, 1, 2])}, "columns that votes do not have: labels"),
        ({"noise": np.array([0, 1, 2])}, "columns that votes do not have: noise"),
        (
            {"index": parquet.Lists(np.array([1, 1, 1]), np.array([3, 5, 9]))},
            "index must be one number per image",
        ),
        (
            {"counts": parquet.Lists(np.array([4, 3, 5]), np.full(12, 10))},
            "counts and its classes must be lists",
        ),
        ({"counts": None}, "counts must be whole numbers"),
    ],
)
def test_wrong_columns_with_a_right_digest(columns, message):
    with pytest.raises(InputError, match=message):
        decode_votes(with_columns(**columns), "v")


def test_counts_whose_sum_wraps_around_are_rejected():
    counts = np.array(random_votes().counts)
    counts[0] = [2**62, 2**62, 2**62, 2**62]
    counts[0, 0] += 40  # 2**64 more than 40, which 64 bits cannot tell from it
    assert counts[0].sum() == 40
    with pytest.raises(InputError, match="counts add up to more samples than any plan takes"):
        decode_votes(with_columns(counts=counts), "v")


def test_tables_that_only_look_like_those_of_radii():
    table = pq.read_table(pa.BufferReader(random_votes().encode()))
    counts = table.column("counts").combine_chunks()
    uneven = pa.ListArray.from_arrays(pa.array([0, 3, 8, 12], pa.int32()), counts.flatten())
    twice = table.append_column("label", table.column("label"))
    for other in (
        table.set_column(2, "counts", uneven),
        twice,
        table.set_column(1, "label", table.column("label").cast("float64")),
        table.set_column(1, "label", pa.array([0, None, 1], pa.int64())),
    ):
        file = io.BytesIO()
        pq.write_table(other, file)
        with pytest.raises(InputError, match="its columns are not whole numbers in rows"):
            decode_votes(file.getvalue(), "v")


@pytest.mark.parametrize(
    "text", [b"[" * 10**5, b'{"format":1,"format":2}', b'{"format":true}', b'{"format":0}', b"[1]"]
)
def test_headers_that_are_none(text):
    table = pq.read_table(pa.BufferReader(random_votes().encode()))
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({b"radii": text}), file)
    with pytest.raises(InputError, match="its header cannot be read"):
        decode_votes(file.getvalue(), "v")


# bombs --------------------------------------------------------------------------------------------


def bomb(numbers: int, said: int) -> bytes:
    """A list of so many zeros in a few hundred bytes, of which the footer says that it has `said`."""
    lists = pa.ListArray.from_arrays(
        pa.array([0, numbers], pa.int32()), pa.array(np.zeros(numbers, np.int64))
    )
    file = io.BytesIO()
    pq.write_table(pa.table({"counts": lists}), file, compression="zstd", data_page_size=10**9)
    content = file.getvalue()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer, true = content[start:], varint(numbers)
    assert true in footer
    return content[:start] + footer.replace(true, varint(said, len(true)))


def varint(number: int, size: int = 0) -> bytes:
    """A number as Thrift has it, in so many bytes at least."""
    bits, found = 2 * number, []
    while bits or not found or len(found) < size:
        found.append(bits & 127 | 128)
        bits >>= 7
    return bytes([*found[:-1], found[-1] & 127])


@pytest.mark.parametrize("said", [3_000_000, 60])
def test_a_file_that_would_unpack_to_far_too_much_is_not_unpacked(said, monkeypatch):
    content = bomb(3_000_000, said)
    assert len(content) < 2000 and numbers_in(content) >= 3_000_000
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(InputError, match="would unpack to far more than votes hold"):
        decode_votes(content, "v")


@pytest.mark.parametrize("value", ["x" * 10**6, [[[0]]]])
def test_columns_of_another_kind_are_not_unpacked(value, monkeypatch):
    """A dictionary holds a text once, however many rows refer to it: 3 KB, and 100 GB in memory."""
    table = pq.read_table(pa.BufferReader(random_votes().encode()))
    file = io.BytesIO()
    pq.write_table(table.append_column("note", pa.array([value] * len(table))), file, compression="zstd")
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("unpacked"))
    monkeypatch.setattr(parquet, "MOST_PER_BYTE", 10**6)
    with pytest.raises(InputError, match="its columns are not whole numbers in rows"):
        decode_votes(file.getvalue(), "v")


def test_what_a_file_unpacks_to_is_seen_from_its_pages():
    for votes in (random_votes(), many_classes()):
        content = votes.encode()
        table = pq.read_table(pa.BufferReader(content))
        held = sum(
            pc.list_flatten(c).length() if pa.types.is_nested(c.type) else len(c) for c in table.columns
        )
        assert held <= numbers_in(content) <= 4 * held + 100


def test_few_images_of_very_many_classes_are_not_spread_out():
    columns, header = parquet.decode(many_classes(images=1).encode(), "v", FORMAT)
    many = 10**5
    one = parquet.Lists(np.ones(many, int), np.zeros(many, int))
    columns |= {
        "index": np.arange(many),
        "counts_class": one,
        "counts": one,
        "selection": one,
        "selection_class": one,
    }
    header["classes"] = [""] * many
    with pytest.raises(InputError, match="would be 100000 x 100000 numbers, far more than votes have"):
        decode_votes(parquet.encode(columns, header, FORMAT), "v")


def test_votes_can_be_read_without_torch_and_imported_without_pyarrow():
    code = "import sys, radii.votes; assert 'torch' not in sys.modules and 'pyarrow' not in sys.modules, 'too much'"
    subprocess.run([sys.executable, "-c", code], check=True)


# many classes -------------------------------------------------------------------------------------


def many_classes(images=20, classes=300, **changes) -> Votes:
    """Votes that few of many classes get, some images' on one class alone."""
    rng = np.random.default_rng(1)
    chance = rng.dirichlet(np.full(classes, 0.01), size=images)
    chance[0] = np.eye(classes)[classes - 1]
    fields = {
        "counts": rng.multinomial(40, chance),
        "selection": rng.multinomial(7, chance),
        "labels": None,
        "index": np.arange(images),
        "classes": (),
    }
    return random_votes(**(fields | changes))


def test_many_classes_are_stored_as_those_with_votes(tmp_path):
    votes = many_classes()
    votes.save(tmp_path / "v")
    assert_same(load_votes(tmp_path / "v"), votes)
    table = pq.read_table(tmp_path / "v")
    assert table.column("counts_class").to_pylist()[0] == [299] and table.column("counts").to_pylist()[0] == [
        40
    ]
    rows = zip(table.column("counts_class").to_pylist(), table.column("counts").to_pylist(), strict=True)
    stored = [dict(zip(*row, strict=True)) for row in rows]
    assert stored == [{c: v for c, v in enumerate(row.tolist()) if v} for row in votes.counts]


@pytest.mark.parametrize(
    ("lengths", "classes", "counts"),
    [
        ([1], [300], [40]),
        ([1], [-1], [40]),
        ([2], [3, 3], [20, 20]),
        ([2], [4, 3], [20, 20]),
        ([3], [1, 2, 3], [20, 20, 0, 0]),
    ],
)
def test_lists_that_are_no_counts(tmp_path, lengths, classes, counts):
    columns, header = parquet.decode(many_classes(images=1).encode(), "v", FORMAT)
    columns["counts_class"] = parquet.Lists(np.array(lengths), np.array(classes))
    columns["counts"] = parquet.Lists(np.array([len(counts)]), np.array(counts))
    (tmp_path / "v").write_bytes(parquet.encode(columns, header, FORMAT))
    with pytest.raises(InputError, match=r"classes of counts must rise within 0\.\.299"):
        load_votes(tmp_path / "v")


# many parts ---------------------------------------------------------------------------------------


def test_many_parts_in_any_order_are_one():
    parts = [
        random_votes((i, i + 1), ((d, d + 10),), luck=i + d) for i in range(0, 8, 2) for d in (0, 10, 20)
    ]
    whole = merge([parts[i] for i in np.random.default_rng(0).permutation(len(parts))])
    assert whole.index.tolist() == list(range(8)) and whole.draws == ((0, 30),)
    for i in range(0, 8, 2):
        expected = sum(random_votes((i, i + 1), ((d, d + 10),), luck=i + d).counts for d in (0, 10, 20))
        np.testing.assert_array_equal(whole.counts[i : i + 2], expected)
    with pytest.raises(InputError, match="counted twice"):
        merge([*parts, parts[4]])
    with pytest.raises(InputError, match="same ranges of draws"):
        merge(parts[1:])


def test_kinds_of_devices_are_named_and_never_mixed_in_one_image():
    cpu, gpu = {"devices": ("cpu",)}, {"devices": ("NVIDIA H100",)}
    both = random_votes((1, 2), **cpu) + random_votes((3, 4), **gpu)
    assert both.devices == ("NVIDIA H100", "cpu")
    assert decode_votes(both.encode(), "v").devices == both.devices
    later = {"draws": ((40, 80),)}
    assert (random_votes(**cpu) + random_votes(**later, **cpu)).devices == ("cpu",)
    for one, two in ((cpu, gpu), (cpu, {}), ({"devices": both.devices},) * 2):
        with pytest.raises(InputError, match="different kinds of devices cannot be added"):
            random_votes(**one) + random_votes(**later, **two)


# other files -------------------------------------------------------------------------------------


def numpy_of(save, *arrays) -> bytes:
    content = io.BytesIO()
    save(content, *arrays)
    return content.getvalue()


WRONG = {
    "log.tsv": (
        b"idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t3\t3\t1.31\t1\t0:00:14.5\n",
        "a certification log, as the published codes write it and radii import reads it",
    ),
    "predict.tsv": (
        b"idx\tlabel\tpredict\tcorrect\ttime\n",
        "a log of predictions, as the published codes write it",
    ),
    "other.tsv": (b"name\tradius\n", "a table with tabs between its columns"),
    "found.csv": (
        b"index,true_label,predicted,correct,status,lower,radius\n",
        "certificates that radii certify wrote",
    ),
    "attack.csv": (b"index,label,certified,found\n", "what radii attack wrote"),
    "excel.csv": (b"\xef\xbb\xbfname,radius\r\na,0.5\r\n", "a CSV table"),
    "imported.json": (b'{"format": 1, "imported_from": "log"}', "a run that radii import wrote"),
    "law.json": (b'{"block": 16384, "fingerprints": null}', "the law.json of an unfinished run"),
    "config.json": (b'{"format": 1, "recipe": {}}', "the config.json of a trained model"),
    "report.json": (b'[{"norm": "l2"}]', "a JSON document"),
    "images.npy": (numpy_of(np.save, np.arange(3)), "an array that numpy.save wrote"),
    "images.npz": (numpy_of(np.savez, np.arange(3)), "arrays that numpy.savez wrote"),
    "model.pt": (
        numpy_of(lambda file, model: torch.save(model, file), {"a": torch.ones(2)}),
        "a model or weights that torch",
    ),
    "model.pkl": (pickle.dumps({"a": 1}), "a pickle"),
    "model.safetensors": (safetensors.torch.save({"a": torch.ones(2)}), "weights in a safetensors file"),
    "page.html": (b"\n<!DOCTYPE html><title>404</title>", "a web page"),
    "page.xml": (b"<?xml version='1.0'?><Error/>", "an XML document"),
    "picture.png": (b"\x89PNG\r\n\x1a\n" + bytes(20), "a picture"),
    "picture.jpg": (b"\xff\xd8\xff\xe0" + bytes(20), "a picture"),
    "votes.gz": (gzip.compress(b"votes"), "a file packed by gzip"),
    "votes.lfs": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "a pointer of Git LFS, whose file git lfs pull fetches",
    ),
    "notes.txt": ("Ωmega\n".encode(), "text"),
    "empty": (b"", "an empty file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_file_is_called_what_it_is(tmp_path, name):
    content, words = WRONG[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        load_votes(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name} is {words}")
    assert str(error.value).endswith(", not votes: give a file that radii vote wrote")


def test_what_was_votes_is_damaged_and_what_nobody_knows_too(tmp_path):
    content = random_votes().encode()
    for harm in (content[:-1], content[: len(content) // 2], b"\x00\x01" + content, bytes(100), b"\x1b[2J"):
        (tmp_path / "v").write_bytes(harm)
        with pytest.raises(InputError, match="is damaged or was edited"):
            load_votes(tmp_path / "v")
    with pytest.raises(InputError, match=r"is a folder: give a file, for example .*votes\.parquet"):
        load_votes(tmp_path)


def test_every_kind_has_words():
    found = {kind_of(content) for content, _ in WRONG.values()}
    assert set(WORDS) - found == {"parquet", "onnx", "program", "zip", "pdf", "hdf5", "mat", "metrics"}
    rng = np.random.default_rng(0)
    for size in (1, 7, 9, 5000):
        for _ in range(200):
            assert kind_of(rng.bytes(size)) in {"", *WORDS}
    long = "ä".encode() * 3000
    assert kind_of(long) == kind_of(b"x" + long) == "text", "the last letter that is looked at may be cut"
