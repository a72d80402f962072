"""CIFAR-10 (Krizhevsky 2009), in its official binary layout: a local folder, or downloaded once."""

import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np

from radii.data.base import DataSet, make_data
from radii.errors import InputError, missing_extra

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FOLDER = "cifar-10-batches-bin"
FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
RECORDS = 10_000


def load(split: str, data_dir: Path | None = None) -> DataSet:
    """50000 training or 10000 test images, 32x32 in colour.

    `data_dir`: the folder `cifar-10-batches-bin` or the one that holds it. A local copy is checked for its
    form, not for official hashes; without `data_dir` the official archive is downloaded and its hash checked.
    """
    folder = _download() if data_dir is None else _inside(data_dir)
    classes = _read_classes(folder / "batches.meta.txt")
    records = np.concatenate([_read_batch(folder / name) for name in FILES[split]])
    return make_data("cifar10", split, records[:, 1:].reshape(-1, *SHAPE), records[:, 0], classes)


def _inside(data_dir: Path) -> Path:
    nested = data_dir / FOLDER
    folder = nested if nested.is_dir() else data_dir
    if not (folder / FILES["test"][0]).is_file() and not (folder / FILES["train"][0]).is_file():
        raise InputError(
            f"no CIFAR-10 in {data_dir}: expected {FOLDER} with data_batch_1.bin to data_batch_5.bin, "
            "test_batch.bin and batches.meta.txt (the binary version of the data set)"
        )
    return folder


def _read_classes(path: Path) -> tuple[str, ...]:
    _check(path)
    names = tuple(path.read_bytes().decode("utf-8", errors="replace").split())
    if len(names) != 10:
        raise InputError(f"{path} must name 10 classes; found {len(names)}")
    return names


def _read_batch(path: Path) -> np.ndarray:
    """Records `(10000, 3073)`: a label, then the red, green and blue planes."""
    _check(path)
    if (size := path.stat().st_size) != RECORDS * RECORD:
        raise InputError(f"{path} must have {RECORDS} x {RECORD} = {RECORDS * RECORD} bytes; it has {size}")
    records = np.fromfile(path, dtype=np.uint8).reshape(RECORDS, RECORD)
    wrong = np.flatnonzero(records[:, 0] > 9)
    if len(wrong):
        raise InputError(
            f"{path}: record {wrong[0]} has the label {records[wrong[0], 0]}, not 0 to 9: copy it again"
        )
    return records


def _check(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"CIFAR-10 is not complete: {path} is missing")


def _download() -> Path:
    try:
        import pooch
    except ImportError as error:
        raise missing_extra("downloading CIFAR-10 (or give --data-dir)", "data", error) from error
    cache = Path(pooch.os_cache("radii"))
    if not (cache / FOLDER).is_dir():
        try:
            archive = pooch.retrieve(URL, f"md5:{MD5}", fname=Path(URL).name, path=cache)
        except (OSError, ValueError) as error:
            raise InputError(
                f"CIFAR-10 could not be downloaded ({error}): unpack {URL} yourself and give --data-dir"
            ) from error
        extract(Path(archive), cache)
    return cache / FOLDER


def extract(archive: Path, folder: Path) -> None:
    """Unpack the archive within `folder`, all or nothing; members that would land elsewhere are refused."""
    with tempfile.TemporaryDirectory(dir=folder) as part:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(part, filter="data")
            (Path(part) / FOLDER).rename(folder / FOLDER)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise InputError(f"{archive} cannot be unpacked ({error}): delete it and try again") from error
