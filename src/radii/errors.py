"""Errors that a user can mend: one sentence with what was expected, what came, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches

from radii.addresses import without_keys


class InputError(ValueError):
    """Something given to radii is wrong; the message is one sentence for the person who gave it.

    Keys in addresses are masked: messages end up in logs.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(without_keys(sentence))


class UnknownName(InputError, LookupError):
    """A name that is not in a list of known ones."""


class MissingExtra(InputError, ImportError):
    """A feature whose optional packages are not installed."""


class Notice(UserWarning):
    """Something that is not wrong, and that the user may want to know; keys in addresses are masked."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(without_keys(sentence))


def check_name(kind: str, name: object, known: Iterable[str]) -> str:
    """Return `name` if it is one of `known`; otherwise raise, naming the near ones."""
    names = list(known)
    if isinstance(name, str) and name in names:
        return name
    near = get_close_matches(str(name).lower(), names, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"known: {', '.join(names)}."
    raise UnknownName(f"unknown {kind} {name!r}; {hint}")


def missing_extra(feature: str, extra: str, cause: ImportError) -> MissingExtra:
    """The error for an optional package that is not there, with the command that installs it."""
    return MissingExtra(f"{feature} needs {cause.name}: run pip install 'radii[{extra}]'")
