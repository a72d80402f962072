"""What all tests share."""

import logging
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from patience import HANG

# Tests that are run side by side have a core each. Threads that share cores with those of other processes wait for one
# another after every layer; the variable is read when torch is imported, here and in all processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# a shell starts what runs in the background without Ctrl-C, which some tests send to what they start
signal.signal(signal.SIGINT, signal.default_int_handler)
# a slow machine is no failure: neither of an example, nor of drawing it
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
# a warning that fonts take more than 5 seconds to be found, the first time, would be something that a command said
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


@pytest.fixture(autouse=True, scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test remembers anything on this machine, nor do the processes that it starts."""
    os.environ["RADII_CACHE_DIR"] = str(tmp_path_factory.mktemp("caches"))


@pytest.fixture(autouse=True)
def own_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test finds a module of the same name that another test wrote and imported."""
    yield
    written = tmp_path_factory.getbasetemp()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and written in Path(file).parents:
            del sys.modules[name]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser of the system, for tests with the mark `browser`."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"], timeout=1000 * HANG
        )
        yield browser
        browser.close()
