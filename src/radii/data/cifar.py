"""CIFAR-10 and CIFAR-100 in their official binary layout (Krizhevsky 2009), from a local folder or downloaded once."""

import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radii.data.dataset import DataSet, make_data
from radii.errors import InputError, missing_extra
from radii.storage import atomic

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """Files of one of the data sets: records of `label_bytes` bytes, of which the last is the label, and pixels.

    `files`: the files of each split, with the number of records of each. `names`: the file of class names.
    """

    name: str
    title: str
    url: str
    md5: str
    folder: str
    files: Mapping[str, Mapping[str, int]]
    names: str
    classes: int
    label_bytes: int = 1

    def load(self, split: str, data_dir: Path | None = None) -> DataSet:
        """Return 50000 training or 10000 test images, 32x32 in colour.

        `data_dir`: the folder that the official archive unpacks to, or its parent. Of local files, sizes and labels
        are checked, not hashes. Without `data_dir` the archive is downloaded, and its hash is checked.
        """
        folder = self._download() if data_dir is None else self._find(data_dir)
        classes = self._read_classes(folder / self.names)
        # in the order of the files: positions in the official order determine the noise of each image
        records = np.concatenate(
            [self._read_records(folder / name, count) for name, count in self.files[split].items()]
        )
        labels, pixels = records[:, self.label_bytes - 1], records[:, self.label_bytes :]
        return make_data(self.name, split, pixels.reshape(-1, *SHAPE), labels, classes)

    def _find(self, data_dir: Path) -> Path:
        nested = data_dir / self.folder
        folder = nested if nested.is_dir() else data_dir
        names = [name for files in self.files.values() for name in files]
        if not any((folder / name).is_file() for name in names):
            raise InputError(
                f"no {self.title} in {data_dir}: expected {self.folder} with {', '.join(names)} and {self.names} "
                "(the binary version of the data set)"
            )
        return folder

    def _read_classes(self, path: Path) -> tuple[str, ...]:
        self._check(path)
        # one word per line; a damaged file is to fail at the count below, not at its encoding
        names = tuple(atomic.read(path).decode("utf-8", errors="replace").split())
        if len(names) != self.classes:
            raise InputError(f"{path} must name {self.classes} classes; found {len(names)}: copy it again")
        return names

    def _read_records(self, path: Path, count: int) -> np.ndarray:
        """Return records `(count, label_bytes + 3072)`: labels, then the red, green and blue planes."""
        self._check(path)
        record = self.label_bytes + PIXELS
        # exactly: a file with records missing would shift the positions of all images after it
        if (size := path.stat().st_size) != count * record:
            raise InputError(
                f"{path} must have {count} x {record} = {count * record} bytes; it has {size}: copy it again"
            )
        records = np.fromfile(atomic.openable(path), dtype=np.uint8).reshape(count, record)
        # a file of the right size may still be in another layout, with pixels where labels should be
        labels = records[:, self.label_bytes - 1]
        wrong = np.flatnonzero(labels >= self.classes)
        if len(wrong):
            raise InputError(
                f"{path}: record {wrong[0]} has the label {labels[wrong[0]]}, not 0 to {self.classes - 1}: "
                "copy it again"
            )
        return records

    def _check(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(f"{self.title} is incomplete: {path} is missing; copy it again")

    def _download(self) -> Path:
        try:
            import pooch
        except ImportError as error:
            raise missing_extra(f"downloading {self.title} (or give --data-dir)", "data", error) from error
        cache = download_folder()
        # a folder that exists is whole, because `extract` renames it into place
        if not (cache / self.folder).is_dir():
            try:
                archive = pooch.retrieve(
                    self.url, f"md5:{self.md5}", fname=self.url.rpartition("/")[2], path=cache
                )
            # pooch raises ValueError for another hash; errors of requests are OSErrors
            except (OSError, ValueError) as error:
                raise InputError(
                    f"{self.title} could not be downloaded ({error}): unpack {self.url} yourself and give --data-dir"
                ) from error
            extract(Path(archive), cache, self.folder)
        return cache / self.folder


def download_folder() -> Path:
    """Return the folder of this user for downloaded data sets; needs the extra `data`."""
    import pooch

    return Path(pooch.os_cache("radii"))


def extract(archive: Path, folder: Path, inner: str) -> None:
    """Unpack the folder `inner` of the archive into `folder`, whole or not at all; keep one that is there already.

    Raises `InputError` for a damaged archive, or one with members that would be written elsewhere.
    """
    # on the same file system, so that renaming is atomic
    with tempfile.TemporaryDirectory(dir=folder) as part:
        try:
            with tarfile.open(archive) as tar:
                # the filter rejects members outside the folder, links to the outside, and devices
                tar.extractall(part, filter="data")
            _keep_first(Path(part) / inner, folder / inner)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise InputError(f"{archive} cannot be unpacked ({error}): delete it and try again") from error


def _keep_first(part: Path, folder: Path) -> None:
    """Rename `part` to `folder`, unless another process has done that meanwhile."""
    try:
        part.rename(folder)
    except OSError:
        # a folder of that name was renamed from one that was whole
        if not folder.is_dir():
            raise


CIFAR10 = Layout(
    name="cifar10",
    title="CIFAR-10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
    folder="cifar-10-batches-bin",
    files={
        "train": {f"data_batch_{number}.bin": 10_000 for number in range(1, 6)},
        "test": {"test_batch.bin": 10_000},
    },
    names="batches.meta.txt",
    classes=10,
)

load_cifar10 = CIFAR10.load

CIFAR100 = Layout(
    name="cifar100",
    title="CIFAR-100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
    folder="cifar-100-binary",
    files={"train": {"train.bin": 50_000}, "test": {"test.bin": 10_000}},
    names="fine_label_names.txt",
    classes=100,
    label_bytes=2,  # the coarse label, then the fine one
)

load_cifar100 = CIFAR100.load
