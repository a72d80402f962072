"""Mistakes in a command line, which the parser finds before a command runs, as sentences of this package."""

from typing import Any

from radii.cli.options import RENAMED
from radii.errors import InputError

KINDS = {"float": "a number", "int": "a whole number"}
"""What an option must be, by the beginning of the parser's code for the error."""


def usage_error(error: Any) -> InputError:
    """Return the error of the parser, a `typer.TyperException`, as one sentence that names the help to read."""
    command = getattr(getattr(error, "ctx", None), "command_path", "radii")
    return InputError(f"{_number_sentence(error) or _option_sentence(error)}; see {command} --help")


def _number_sentence(error: Any) -> str:
    """Return what a number must be and what came instead; empty for other errors."""
    # the parser reads numbers by pydantic, whose errors carry a code such as int_parsing, and the input
    details: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    # other kinds of errors are sentences already
    kind = KINDS.get(details[0]["type"].partition("_")[0]) if details else None
    if kind is None or getattr(error, "param", None) is None:
        return ""
    return f"{error.param.opts[0]} must be {kind}; got {str(details[0]['input'])!r}"


def _option_sentence(error: Any) -> str:
    """Return the parser's sentence about an option, an argument or a command, with the new name of a renamed option."""
    option, near = getattr(error, "option_name", None), getattr(error, "possibilities", None)
    # before the similar names, of which none may be the new one
    if option in RENAMED:
        return f"no such option: {option} is called {RENAMED[option]} now"
    if near:
        return f"no such option: {option}; did you mean {' or '.join(sorted(near))}?"
    # a second sentence, as in "No such command 'certfy'. Did you mean 'certify'?", becomes a part of the first
    message = error.format_message().rstrip(".").replace(". Did you", "; did you")
    return f"{message[:1].lower()}{message[1:]}"
