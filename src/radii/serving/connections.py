"""Connections: how many there are at a time, how long a client may keep one waiting, and what is logged of it.

uvicorn has no deadline for headers: a connection whose client sends half of them stays open for ever.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

LOGGERS = ("asyncio", "uvicorn.error", "radii.serving.batcher")
"""Loggers to which clients can cause messages."""

LINES, WINDOW = 20, 60.0
"""Messages of a logger in so many seconds; more are left out, so that clients cannot fill a disk with tracebacks."""

try:
    import resource
except ImportError:  # Windows has no such limit
    DESCRIPTORS = 2**10
else:
    DESCRIPTORS = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 2**16)


def most_connections(requests: int) -> int:
    """Return the most connections at a time, for so many requests in progress.

    Idle connections and bodies under way come on top of the requests. Half of the descriptors are left for files.
    """
    return min(2 * requests + 64, DESCRIPTORS // 2)


def backlog() -> int:
    """Return how many connections are accepted at once.

    The event loop closes those above the limit a few steps after it has accepted them, each step accepts as many
    again, and all of them need descriptors.
    """
    return max(1, min(DESCRIPTORS // 16, 128))


class Connection(H11Protocol):
    """A connection that is closed if its client keeps it waiting.

    Parameters
    ----------
    most : connections at a time; with one more, the one is closed that has waited longest for its client
    headers : seconds for the headers of each request, from the connection or the last response on
    whole : seconds for a request, its body, and the reading of its response
    """

    def __init__(self, most: int, headers: float, whole: float, **how: Any) -> None:
        super().__init__(**how)
        self._most, self._headers, self._whole = most, headers, whole
        self._watched: tuple[RequestResponseCycle | None, bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.since = 0.0

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn: no request is in progress."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection; close one if they are too many."""
        super().connection_made(transport)
        self._watch()
        # each of them is one of these, which the server makes
        present: list[Connection] = [one for one in self.connections if not one.transport.is_closing()]  # type: ignore
        if len(present) > self._most:
            # this one waits, too, and is the last to be chosen
            min((one for one in present if one.waits), key=lambda one: one.since).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Receive some bytes."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Set the timer when a request begins or ends; bytes that change neither do not postpone it."""
        if self._watched == (state := (self.cycle, self.waits)):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._watched, self.since = state, self.loop.time()
        self._timer = self.loop.call_later(self._headers if self.waits else self._whole, self.transport.abort)


class AtMost(logging.Filter):
    """Passes `LINES` messages in `WINDOW` seconds; the first one after that tells how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._count, self._end = 0, 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a message."""
        if (now := time.monotonic()) >= self._end:
            if (more := self._count - LINES) > 0:
                record.msg, record.args = f"{record.getMessage()} ({more} messages were left out before)", ()
            self._count, self._end = 0, now + WINDOW
        self._count += 1
        return self._count <= LINES


@contextmanager
def limited_logs() -> Iterator[None]:
    """Limit the messages of `LOGGERS` within the block."""
    filters = {name: AtMost() for name in LOGGERS}
    for name, one in filters.items():
        logging.getLogger(name).addFilter(one)
    try:
        yield
    finally:
        for name, one in filters.items():
            logging.getLogger(name).removeFilter(one)
