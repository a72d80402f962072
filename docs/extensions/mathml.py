"""Formulas as MathML Core, converted when the site is built: pages need neither a script nor the network for them."""

from html import escape
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging

CONVERTER = LatexToMathML(fancy_error=False)
logger = logging.getLogger(__name__)


def mathml(node: nodes.Element, displaystyle: bool) -> str:
    """Return a formula as a `math` element, or warn where it stands: `make docs` makes every warning an error."""
    formula = node.astext()
    try:
        return CONVERTER.convert_with_local_state(formula, displaystyle=displaystyle)
    except LatexError as error:
        # the message begins with the position of the fault in the formula
        logger.warning("no MathML for the formula %r, at character %s", formula, error, location=node)
        return f"<code>{escape(formula)}</code>"


def visit_inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(mathml(node, displaystyle=False))
    raise nodes.SkipNode


def visit_block(writer: Any, node: nodes.math_block) -> None:
    # a wide formula scrolls by itself, for which the keyboard must reach it
    writer.body.append(f'<div class="math" tabindex="0">{mathml(node, displaystyle=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
