"""What all tests share."""

import os

import pytest

# Tests that are run side by side have a core each. Threads that share cores with those of other processes wait for one
# another after every layer; the variable is read when torch is imported, here and in all processes that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True, scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test remembers anything on this machine, nor do the processes that it starts."""
    os.environ["RADII_CACHE_DIR"] = str(tmp_path_factory.mktemp("caches"))
