"""Data sets: images in [0, 1], their labels, and which images they are."""

from radii.data.array_files import read_positions
from radii.data.dataset import ALL, SPLITS, DataSet, from_arrays
from radii.data.loading import DATASETS, from_dataset, load_data, load_identified, splits_of

__all__ = [
    "ALL",
    "DATASETS",
    "SPLITS",
    "DataSet",
    "from_arrays",
    "from_dataset",
    "load_data",
    "load_identified",
    "read_positions",
    "splits_of",
]
