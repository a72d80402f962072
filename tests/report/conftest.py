"""Pages in a browser: opened without a network, and everything that goes wrong is noticed."""

import pytest

from patience import HANG


@pytest.fixture
def visit(chromium):
    """Open a page at a width and in a colour scheme; at the end, check that nothing was logged or loaded."""
    logged, requested, contexts, visited = [], [], [], set()

    def visit(address, width=1200, height=900, state="", **settings):
        context = chromium.new_context(viewport={"width": width, "height": height}, offline=True, **settings)
        context.set_default_timeout(1000 * HANG)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        visited.add(address)
        page.goto(address + state)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert logged == [], "the console is empty"
    loaded = {url.partition("#")[0] for url in requested if not url.startswith(("data:", "blob:"))}
    assert loaded == visited, "one file is read"
