"""Sheets of small pictures on a page, from which its program cuts each."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from radii.report.plots.sheet import MOST_PICTURES, grid, tiled


def sprite_sheet(
    pictures: Sequence[np.ndarray], index: Sequence[int], lossless: bool = False
) -> dict[str, Any] | None:
    """Return pictures of one shape as one data URI, with the place of each by its position in the data set.

    Those beyond `MOST_PICTURES` are left out; None without any. Grey ones are PNG, and those in colour JPEG, which is
    three times shorter, unless `lossless`.
    """
    shown = pictures[:MOST_PICTURES]
    if not shown:
        return None
    height, width = shown[0].shape[:2]
    rows, columns = grid(len(shown))
    return {
        "uri": _uri(tiled(shown), lossless),
        "columns": columns,
        "rows": rows,
        "width": width,
        "height": height,
        "places": {str(position): place for place, position in enumerate(index[:MOST_PICTURES])},
    }


def _uri(sheet: np.ndarray, lossless: bool) -> str:
    # Pillow comes with matplotlib; imported late, since a report without pictures does not need it
    from PIL import Image

    kind, content = "png" if sheet.ndim == 2 or lossless else "jpeg", io.BytesIO()
    Image.fromarray(sheet).save(content, kind, optimize=True, **({"quality": 80} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64," + base64.b64encode(content.getvalue()).decode()
