"""What all tests share."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test remembers anything on this machine, nor do the processes that it starts."""
    os.environ["RADII_CACHE_DIR"] = str(tmp_path_factory.mktemp("caches"))
