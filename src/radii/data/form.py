"""What every form of images of one's own is asked: is it this one, which splits has it, and what is in them?"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Found:
    """What a file or a folder holds, as it is there: `images` and `labels` `(n,)`, whole numbers; names of classes.

    `named`: whether the classes have names; if not, `classes` are the labels themselves, "0", "1", ...
    `turned`: `(n,)`, which of the images are turned as their EXIF orientation says; None if none has any.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    named: bool = True
    turned: np.ndarray | None = None


@dataclass(frozen=True)
class Form:
    """A way to keep images.

    `words`: what it is; `fits(path)`: whether this is it. `splits(path)`: those of "train" and "test" that it tells
    apart, none if it does not. `read(path, split)`: what is in one of them, or, if there are none, in all.
    `read_stored`: the same with pictures as they are stored, not turned upright, where that may differ.
    """

    words: str
    fits: Callable[[Path], bool]
    splits: Callable[[Path], tuple[str, ...]]
    read: Callable[[Path, str], Found]
    read_stored: Callable[[Path, str], Found] | None = None
