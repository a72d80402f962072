"""NPY files: what numpy.save writes is read as numpy reads it, and nothing else is."""

import io
from contextlib import suppress

import numpy as np
import pytest

from radii.storage.npy import read_array


def saved(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


@pytest.mark.parametrize(
    "kind", ["|u1", "<f2", "<f4", ">f8", "<f16", "<i8", ">u2", "|b1", "<c8", "<U3", "|S2"]
)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 1, 3, 4)])
def test_what_numpy_writes_is_read(kind: str, shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(kind)
    for one in (array, np.asfortranarray(array)):
        found = read_array(saved(one))
        np.testing.assert_array_equal(found, one)
        assert found.dtype == one.dtype and not found.flags.writeable


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions(version: tuple[int, int]) -> None:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.arange(6.0), version)
    np.testing.assert_array_equal(read_array(content.getvalue()), np.arange(6.0))


def headed(words: str, rest: bytes = bytes(48)) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(words).to_bytes(2, "little") + words.encode() + rest


@pytest.mark.parametrize(
    "words",
    [
        "{'shape': (6,), 'descr': '<f8', 'fortran_order': False}",
        '{"descr":"<f8","fortran_order":True,"shape":(2,3,),}',
        "{ 'descr' : '<f8' , 'fortran_order' : False , 'shape' : ( 2 , 3 ) }  \n",
    ],
)
def test_other_writers(words: str) -> None:
    assert read_array(headed(words)).size == 6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "words",
    [
        "",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (5,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (6, 4294967296, 4294967296)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1 2)}",
        "{'descr': '<f8', 'descr': '<f8', 'shape': (6,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (6,), 'more': (6,)}",
        "{'descr': '<f9', 'fortran_order': False, 'shape': (6,)}",
        "{'descr': '|S0', 'fortran_order': False, 'shape': (6,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (6,)}",
        "{'descr': (6,), 'fortran_order': False, 'shape': (6,)}",
        "{'descr': '<f8', 'fortran_order': 'f8', 'shape': True}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (6,)}" + " " * 10_000,
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 70 + "6)}",
    ],
)
def test_anything_else_is_rejected(words: str) -> None:
    with pytest.raises(ValueError) as error:
        read_array(headed(words))
    assert len(str(error.value)) < 200


def test_cut_and_changed_files_are_read_or_rejected() -> None:
    content = saved(np.arange(6.0))
    for end in range(len(content)):
        with pytest.raises(ValueError):
            read_array(content[:end])
    rng = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] = rng.integers(256)
        with suppress(ValueError):
            assert read_array(bytes(damaged)).nbytes == 48
