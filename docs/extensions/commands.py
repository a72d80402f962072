"""The reference of all commands, written by the program itself when the site is built, so that it cannot be stale."""

import re
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from radii.cli import app as program

PAGE = "docs/commands"


def reference() -> str:
    """Every command as a section in Markdown: what it does, how it is called, its arguments and options, an example."""
    group: Any = get_command(program)
    root = typer.Context(group, info_name="radii")
    return "\n".join(line for name in group.commands for line in section(group.commands[name], root))


def section(command: Any, root: Any) -> Iterator[str]:
    """The lines about one command."""
    context = typer.Context(command, info_name=command.name, parent=root)
    yield f"## radii {command.name}\n"
    yield f"{command.help}\n"
    yield f"```text\nradii {command.name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    for parameter in command.params:
        if record := parameter.get_help_record(context):
            names, words = record
            yield f"`{names}`\n: {escaped(words)}\n"
    example = command.epilog.removeprefix("Example: ")
    yield f"For example:\n\n```text\n{example}\n```\n"


def escaped(words: str) -> str:
    """Words of the terminal as Markdown: what stands there, and no markup."""
    return re.sub(r"([*_<>\[\]|`])", r"\\\1", " ".join(words.split()))


def read(app: Any, page: str, source: list[str]) -> None:
    if page == PAGE:
        source[0] += "\n" + reference()


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
