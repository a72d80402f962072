"""Drawings of the differences of two runs with their bands, for the comparisons of a norm."""

from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 190, 44, 12, 10, 30


def difference_pictures(section: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a comparison section with a drawing for each pair that has common images: paths in a box of `view`."""
    if section is None:
        return None
    # runs that share no image have no curve, and two that certify nothing no difference
    shown = [pair for pair in section["pairs"] if pair["images"] and pair["rows"]]
    return {
        **section,
        "pairs": [{**pair, "drawing": _drawing(pair["curve"], section["norm"])} for pair in shown],
        "left": section["left"] + len(section["pairs"]) - len(shown),
        "view": f"0 0 {WIDTH} {HEIGHT}",
        "left_edge": LEFT,
        "right_edge": WIDTH - RIGHT,
    }


def _drawing(curve: dict[str, list[float]], norm: str) -> dict[str, Any]:
    """Return the band, the line and the axes of a difference curve."""
    last = curve["radius"][-1] or 1.0
    # the same above and below 0, in steps of 10 points
    most = max(0.1, max(map(abs, curve["lower"] + curve["upper"])))
    reach = -(-round(100 * most) // 10) / 10

    def x(radius: float) -> float:
        return round(LEFT + radius / last * (WIDTH - LEFT - RIGHT), 1)

    def y(difference: float) -> float:
        return round(TOP + (1 - difference / reach) / 2 * (HEIGHT - TOP - BOTTOM), 1)

    def points(name: str) -> list[str]:
        return [f"{x(at)} {y(value)}" for at, value in zip(curve["radius"], curve[name], strict=True)]

    scale = 255 if norm == "linf" else 1
    ends = f"{last * scale:.3g}" + "/255" * (norm == "linf")
    return {
        "band": f"M{'L'.join(points('upper'))}L{'L'.join(reversed(points('lower')))}Z",
        "line": f"M{'L'.join(points('difference'))}",
        "ticks": [
            {"y": y(value), "text": f"{100 * value:+.0f}" if value else "0"} for value in (reach, 0.0, -reach)
        ],
        "end": ends,
        "base": HEIGHT - BOTTOM + 16,
    }
