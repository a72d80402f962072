"""Test images for a report: as they are, and as the model of each run was first shown them under noise."""

from collections.abc import Mapping

import numpy as np

from radii.copies import Law, first_copies
from radii.data.base import DataSet
from radii.examples import examples_of
from radii.report import Examples
from radii.votes import Votes


def shown_examples(data: DataSet, files: Mapping[str, Votes]) -> Examples:
    """The images of `data`, with the first noisy copy of each that bounded the probabilities in each of the votes.

    Classes have the names in the votes, by which their labels are counted.
    """
    images = examples_of(data)
    noisy = {}
    for name, votes in files.items():
        copies = first_copies(images, Law(votes.noise, votes.seed, exact=votes.exact))
        noisy[name] = np.round(255 * votes.noise.pictures(copies)).astype(np.uint8)
    classes = next((votes.classes for votes in files.values()), data.classes)
    return Examples(data.pictures(), data.index.numpy(), classes, noisy)
