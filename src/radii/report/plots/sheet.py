"""Sheets: small pictures of many images, side by side in one picture."""

from collections.abc import Sequence

import numpy as np

from radii.report.plots.strip import as_picture

MOST_PICTURES = 500
"""Pictures of one sheet; more would make a page too long."""

LARGEST = 64
"""Pixels along the longer side of a small picture."""

COLUMNS = 25


def small_picture(image: np.ndarray) -> np.ndarray:
    """Return an image `(channels, height, width)` as a small picture, `(height, width)` or `(height, width, 3)`.

    Of large images it holds every few pixels: these pictures only tell images apart.
    """
    step = max(1, -(-max(image.shape[1:]) // LARGEST))
    return as_picture(image[:, ::step, ::step])


def grid(count: int) -> tuple[int, int]:
    """Return the rows and columns in which a sheet holds `count` pictures."""
    columns = min(COLUMNS, count)
    return -(-count // columns), columns


def tiled(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures of one shape, uint8, in rows of `COLUMNS`; fewer stand in one row."""
    height, width = pictures[0].shape[:2]
    rows, columns = grid(len(pictures))
    sheet = np.zeros((rows * height, columns * width, *pictures[0].shape[2:]), np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = picture
    return sheet


def cut(sheet: np.ndarray, count: int, shape: tuple[int, ...]) -> list[np.ndarray] | None:
    """Return the `count` pictures of this shape on a sheet, in order; None if the sheet is not one of theirs."""
    height, width = shape[:2]
    rows, columns = grid(count)
    if sheet.shape != (rows * height, columns * width, *shape[2:]):
        return None
    corners = [(number // columns * height, number % columns * width) for number in range(count)]
    return [sheet[top : top + height, left : left + width] for top, left in corners]
