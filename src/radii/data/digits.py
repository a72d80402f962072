"""1797 digits of 8x8 pixels (Alpaydin and Kaynak 1998), that scikit-learn carries: the tiniest real data."""

from pathlib import Path

import numpy as np

from radii.data.base import DataSet, make_data, read_packaged, split_evenly

FILE = "datasets/data/digits.csv.gz"
SHA256 = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"


def load(split: str, data_dir: Path | None = None) -> DataSet:
    """1442 training or 355 test images, 8x8; `data_dir` is not used."""
    table = read_packaged("sklearn", FILE, SHA256, "digits")
    labels = table[:, -1]
    rows = split_evenly(labels, split)
    pixels = np.round(table[rows, :-1] * (255 / 16)).astype(np.uint8)  # stored as 0 to 16
    return make_data("digits", split, pixels.reshape(-1, 1, 8, 8), labels[rows], tuple("0123456789"))
