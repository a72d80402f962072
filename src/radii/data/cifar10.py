"""CIFAR-10 (Krizhevsky 2009): photographs of ten kinds of things."""

from radii.data.cifar import Layout

LAYOUT = Layout(
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
load = LAYOUT.load
