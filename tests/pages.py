"""What stands in pages of Markdown: blocks of code, with why one is not run, spans of code, links and headings."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

FENCED = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SPAN = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^()\s]+)\)")


class Block(NamedTuple):
    """A fenced block: what follows the backticks, as `python file=zoo.py`; its lines; why it is not run, if so."""

    kind: str
    text: str
    reason: str


def found(pattern: str) -> list[str]:
    """Files of the repository."""
    return sorted(
        path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if "_build" not in path.parts
    )


PAGES = ["README.md", *found("docs/**/*.md")]


def read(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(text: str) -> list[Block]:
    """All fenced blocks, in order."""
    return [Block(one["kind"], one["text"], one["reason"] or "") for one in FENCED.finditer(text)]


def spans(text: str) -> list[str]:
    """Code among words; where it goes over the end of a line, with a space there."""
    return [" ".join(span.split()) for span in SPAN.findall(FENCED.sub("", text))]


def links(text: str) -> list[str]:
    """Where links lead, but for those to other hosts."""
    return [link for link in LINK.findall(SPAN.sub("", FENCED.sub("", text))) if "://" not in link]


def anchors(text: str) -> set[str]:
    """What a code host calls the headings."""
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
