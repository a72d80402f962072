"""How tests wait: for an event, never for a time; one limit says what hangs."""

import time
from collections.abc import Callable

HANG = 900.0
"""Seconds without the event after which a test is taken to hang: a quarter of an hour.

The events come within seconds on a quiet machine. A busy one may need twenty times as long, and must not fail for that.
Time limits of the product, where a test does not measure them, are set to the same.
"""


class Hangs(AssertionError):
    """What a test waited for did not happen."""


def wait_until(happened: Callable[[], object]) -> None:
    """Return as soon as `happened()` is true; raise `Hangs` if that takes longer than `HANG`."""
    end = time.monotonic() + HANG
    while not happened():
        if time.monotonic() > end:
            raise Hangs(f"nothing happened in {HANG:g} seconds")
        time.sleep(0.005)
