"""Votes from wherever they were drawn, put together: folders of parts, and votes files."""

from collections.abc import Sequence
from pathlib import Path

from radii.engine.parts import Parts
from radii.errors import InputError
from radii.stores import Where, open_folder
from radii.votes import Votes, load_votes, merge


def gather(places: Sequence[Where]) -> Votes:
    """All votes in some folders of parts, which together must hold every part of one run, and in some votes files.

    Guarantee: that of `merge`.
    """
    found = {str(place): Parts(open_folder(place)) for place in places}
    laws = {place: law for place, parts in found.items() if (law := parts.stored())}
    files = [_votes_in(place) for place in found if place not in laws]
    if not laws:
        return merge(files)
    first, law = next(iter(laws.items()))
    held: dict[int, Votes] = {}
    for place, other in laws.items():
        if difference := other.difference(law):
            raise InputError(
                f"{place} is of another run than {first}, with {difference}: merge one run at a time"
            )
        found[place].law = law
        held |= found[place].held(law.units())
    units = law.units()
    if missing := [unit for unit in units if unit.number not in held]:
        raise InputError(
            f"{len(missing)} of {len(units)} parts are missing, the first is {missing[0].name}: draw them with the "
            "command that drew the others, or name the folder they are in"
        )
    return merge([*held.values(), *files])


def _votes_in(place: str) -> Votes:
    if Path(place).is_dir():
        raise InputError(
            f"{place} holds no parts: name a folder in which radii vote keeps them, or a votes file"
        )
    return load_votes(place)
