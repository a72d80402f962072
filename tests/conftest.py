"""What all tests share."""

import logging
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

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
