"""Docstrings for the site: they are Markdown with code in single backticks, autodoc wants reStructuredText."""

import re
from typing import Any

CODE = re.compile(r"(`+)(.+?)\1(?!`)", re.DOTALL)
SPECIAL = re.compile(r"([\\*|]|_(?![A-Za-z0-9]))")
"""What would mark something up, outside of code."""
INDENTED = re.compile(r":\n(?=\n+ {4})")
"""The end of a line before an indented block, which is a program."""
PROMISE = re.compile(r"^(Guarantee:)", re.MULTILINE)
PAGE = re.compile(r"\bdocs/([\w/-]+)\.md")


def restructured(markdown: str) -> str:
    """The same words as reStructuredText: spans of code stay code, pages become links, nothing else is marked up."""
    parts, end = [], 0
    for span in CODE.finditer(markdown):
        parts.append(SPECIAL.sub(r"\\\1", markdown[end : span.start()]))
        # letters may follow, as in the plural of a name
        parts.append(
            f"``{span[2]}``\\ " if markdown[span.end() : span.end() + 1].isalnum() else f"``{span[2]}``"
        )
        end = span.end()
    text = "".join([*parts, SPECIAL.sub(r"\\\1", markdown[end:])])
    text = PAGE.sub(r":doc:`docs/\1.md </docs/\1>`", text)
    return PROMISE.sub(r"**\1**", INDENTED.sub("::\n", text))


def process(app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    lines[:] = restructured("\n".join(lines)).split("\n")


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
