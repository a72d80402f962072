"""Small pictures of many images as one picture, from which the program of the page cuts each."""

import base64
import io
from typing import Any

import numpy as np

from radii.report.html.examples import Examples
from radii.report.plots.strip import as_picture

MOST_PICTURES = 500
"""Images of which a page holds small pictures; more would make it too long."""

LARGEST = 64
"""Pixels along the longer side of a small picture."""

COLUMNS = 25


def sprite_sheet(examples: Examples | None) -> dict[str, Any] | None:
    """Return the pictures side by side as a data URI, with the place of each by its position in the data set."""
    if examples is None or not len(examples.images):
        return None
    step = max(1, -(-max(examples.images.shape[2:]) // LARGEST))
    # every few pixels: these pictures only tell images apart
    pictures = [as_picture(image[:, ::step, ::step]) for image in examples.images[:MOST_PICTURES]]
    height, width = pictures[0].shape[:2]
    columns = min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * height, columns * width, *pictures[0].shape[2:]), np.uint8)
    for number, picture in enumerate(pictures):
        top, left = number // columns * height, number % columns * width
        sheet[top : top + height, left : left + width] = picture
    return {
        "uri": _uri(sheet),
        "columns": columns,
        "rows": rows,
        "width": width,
        "height": height,
        "places": {str(index): place for place, index in enumerate(examples.index[:MOST_PICTURES].tolist())},
    }


def _uri(sheet: np.ndarray) -> str:
    """Return a grey picture as PNG, and one in colour as JPEG, which is three times shorter."""
    # Pillow comes with matplotlib; imported late, since a report without pictures does not need it
    from PIL import Image

    kind, content = "png" if sheet.ndim == 2 else "jpeg", io.BytesIO()
    Image.fromarray(sheet).save(content, kind, optimize=True, **({} if sheet.ndim == 2 else {"quality": 80}))
    return f"data:image/{kind};base64," + base64.b64encode(content.getvalue()).decode()
