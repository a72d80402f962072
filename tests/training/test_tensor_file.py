"""Files of tensors: equal content gives equal bytes, and what is damaged or complex is rejected."""

import json

import pytest
import torch
from safetensors.torch import load, save

from radii.errors import InputError
from radii.training import tensor_file
from radii.training.tensor_file import encode_tensors, read_tensors

WORDS = {name: f"{name}é" for name in ("radii", "model", "shape", "classes")}
TENSORS = {
    "b": torch.arange(6.0).reshape(2, 3).t(),
    "a": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 2),
}


def test_equal_content_gives_equal_bytes(tmp_path):
    # safetensors itself gave 19 different files out of 50
    contents = {encode_tensors(TENSORS, dict(words)) for words in (sorted(WORDS.items()), WORDS.items()) * 20}
    assert len(contents) == 1
    content = contents.pop()
    assert int.from_bytes(content[:8], "little") % 8 == 0
    (tmp_path / "file").write_bytes(content)
    metadata, tensors = read_tensors(tmp_path / "file", "")
    assert metadata == WORDS and tensors.keys() == TENSORS.keys() == load(content).keys()
    assert all(
        torch.equal(tensors[name], value) and tensors[name].dtype == value.dtype
        for name, value in TENSORS.items()
    )


def test_files_of_other_programs_are_read(tmp_path):
    (tmp_path / "file").write_bytes(save({"count": TENSORS["count"]}))
    assert read_tensors(tmp_path / "file", "") == ({}, {"count": TENSORS["count"]})


def test_complex_numbers_are_rejected(tmp_path):
    numbers = torch.ones(2, dtype=torch.complex64)
    (tmp_path / "file").write_bytes(encode_tensors(TENSORS | {"z": numbers}, WORDS))
    with pytest.raises(InputError, match=r"holds complex numbers in z, .*: train again"):
        read_tensors(tmp_path / "file", "train again")


@pytest.mark.parametrize("damage", [b"", b"short", bytes(8), b"\xff" * 50, b"<html>not found</html>"])
def test_damaged_files(damage, tmp_path):
    (tmp_path / "file").write_bytes(damage)
    with pytest.raises(InputError, match=r"file is .*: train again"):
        read_tensors(tmp_path / "file", "train again")


@pytest.mark.parametrize("shape", [[0, 2**63], [0, 2**40, 2**40]])
def test_sizes_beside_a_size_of_0(shape, tmp_path):
    # safetensors compares their product, 0, with the bytes, and torch fails on the sizes
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    (tmp_path / "file").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match=r"file is damaged \(.*: train again"):
        read_tensors(tmp_path / "file", "train again")


def test_exhausted_memory_is_no_damage(tmp_path, monkeypatch):
    def full(content):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    (tmp_path / "file").write_bytes(encode_tensors(TENSORS, WORDS))
    monkeypatch.setattr(tensor_file, "load", full)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        read_tensors(tmp_path / "file", "train again")


def test_an_unknown_type(tmp_path):
    content = encode_tensors({"a": torch.ones(3)}, WORDS).replace(b"F32", b"F33")
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        read_tensors(tmp_path / "file", "train again")
