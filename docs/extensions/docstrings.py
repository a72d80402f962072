"""Docstrings for the site: Markdown becomes reStructuredText, and then napoleon reads the sections of numpydoc."""

import re
from typing import Any

from docutils import nodes
from sphinx.ext.napoleon import Config, NumpyDocstring

# types are phrases, which stand behind the name; where there is none, the signature has it
NUMPYDOC = Config(napoleon_use_param=False, napoleon_attr_annotations=False)

TOKEN = re.compile(
    r"(?P<kept>^ *>>> .*?(?=\n *\n|\Z)|:[\w:]+:`[^`]+`)"  # examples, and roles
    r"|(?P<ticks>`+)(?P<code>.+?)(?P=ticks)(?!`)"
    r"|\$(?P<formula>[^\s$](?:[^$]*[^\s$])?)\$",
    re.DOTALL | re.MULTILINE,
)
NAME = re.compile(r"radii\.[\w.]+")
"""A public object, which is linked."""
SPECIAL = re.compile(r"([\\*|]|_(?![A-Za-z0-9]))")
"""What would mark something up, outside of code."""
PROMISE = re.compile(r"^( *)(Guarantee:)", re.MULTILINE)
PAGE = re.compile(r"\bdocs/([\w/-]+)\.md")


def restructured(markdown: str) -> str:
    """Return the same words as reStructuredText: code and formulas stay such, pages and names become links."""
    parts, end = [], 0
    for found in TOKEN.finditer(markdown):
        parts += [SPECIAL.sub(r"\\\1", markdown[end : found.start()]), token(found, markdown)]
        end = found.end()
    text = "".join([*parts, SPECIAL.sub(r"\\\1", markdown[end:])])
    text = PAGE.sub(r":doc:`docs/\1.md </docs/\1>`", text)
    return PROMISE.sub(r"\1**\2**", text)


def token(found: re.Match[str], markdown: str) -> str:
    """Return an example or a role as it is, a formula as a role, and code in double backticks."""
    if found["kept"]:
        return found["kept"]
    if found["formula"]:
        return f":math:`{found['formula']}`"
    if NAME.fullmatch(found["code"]):
        return f":py:obj:`{found['code']}`"
    # letters may follow, as in the plural of a name
    return f"``{found['code']}``" + ("\\ " if markdown[found.end() : found.end() + 1].isalnum() else "")


def process(app: Any, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    text = restructured("\n".join(lines))
    # of a property, napoleon would take the words before a colon for a type
    if what in ("class", "exception", "function", "method"):
        text = str(NumpyDocstring(text, NUMPYDOC, app, what, name, found, options))
    lines[:] = text.split("\n")


def show_factories(
    app: Any, what: str, name: str, found: Any, options: Any, signature: str, returned: str
) -> Any:
    """Return a signature that Sphinx can parse: a default that is made for each object has no value to show."""
    return signature and signature.replace("<factory>", "..."), returned


def set_dashes(app: Any, doctree: nodes.document) -> None:
    """Set the two hyphens before a description as a dash; hyphens elsewhere may begin an option."""
    for field in doctree.findall(nodes.field_body):
        for paragraph in field.findall(nodes.paragraph):
            if found := next(
                (text for text in paragraph if isinstance(text, nodes.Text) and " -- " in text), None
            ):
                paragraph.replace(found, nodes.Text(found.replace(" -- ", " – ", 1)))


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", show_factories)
    app.connect("doctree-read", set_dashes)
    return {"parallel_read_safe": True}
