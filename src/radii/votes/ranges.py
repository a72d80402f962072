"""Which draws votes hold, as ranges of their numbers."""

from collections.abc import Iterable
from operator import index

from radii.errors import InputError

Ranges = tuple[tuple[int, int], ...]


def join_ranges(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges `[first, stop)` in order, touching ones joined; overlapping or empty ones are an error."""
    joined: list[tuple[int, int]] = []
    try:
        spans = sorted((index(first), index(stop)) for first, stop in ranges)
    except (TypeError, ValueError) as error:
        raise InputError(f"draws must be ranges [first, stop) of whole numbers; got {ranges!r}") from error
    for first, stop in spans:
        if not 0 <= first < stop:
            raise InputError(
                f"draws must be ranges [first, stop) with 0 <= first < stop; got [{first}, {stop})"
            )
        if joined and first < joined[-1][1]:
            raise InputError(f"draws [{first}, {min(stop, joined[-1][1])}) are counted twice")
        if joined and first == joined[-1][1]:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((first, stop))
    return tuple(joined)
