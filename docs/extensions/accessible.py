"""What the HTML of the theme lacks for screen readers and the keyboard: tests/docs/test_site.py finds what is left."""

from typing import Any

MENDED = {
    # captions of the menu are headings without a level
    'role="heading">': 'role="heading" aria-level="2">',
    # parameters on lines of their own are marked up as definitions without terms
    '<dl>\n<dd><em class="sig-param': '<dl role="presentation">\n<dd><em class="sig-param',
    # a list of modules within a package belongs into the item of the package
    "</li>\n<ul><li>": "\n<ul><li>",
    "</ul><li>": "</ul></li><li>",
    # what scrolls must be reached by the keyboard
    "<pre>": '<pre tabindex="0">',
    '<div class="table-wrapper ': '<div tabindex="0" class="table-wrapper ',
}


def mend(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    for part in ("body", "furo_navigation_tree"):
        for given, better in MENDED.items():
            context[part] = context.get(part, "").replace(given, better)


def setup(app: Any) -> dict[str, bool]:
    app.connect("html-page-context", mend, priority=900)  # after the theme
    return {"parallel_read_safe": True}
