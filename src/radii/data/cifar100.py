"""CIFAR-100 (Krizhevsky 2009), with its fine labels: a hundred kinds of things, six hundred photographs of each."""

from radii.data.cifar import Layout

LAYOUT = Layout(
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
load = LAYOUT.load
