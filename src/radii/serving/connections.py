"""Connections: how many there are at a time, how long a client may keep one waiting, and what is logged of it.

uvicorn has no deadline for headers: a connection whose client sends half of them stays open for ever.
"""

import asyncio
import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

LOGGERS = ("asyncio", "uvicorn.error", "radii.serving.batcher")
"""Loggers to which clients can cause messages."""

LINES, WINDOW = 20, 60.0
"""Messages of a logger in so many seconds; more are left out, so that clients cannot fill a disk with tracebacks."""

TURN = 2**14
"""Bytes that are read from a connection before others have their turn: also the longest headers that h11 waits for."""

CHUNKS, CHUNK = 256, 512
"""Chunks of any size that a body may have, and bytes that each other one has on average. h11 takes as long for a chunk
of one byte as for a long one, so six bytes of a client would cost 10 microseconds and more."""

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


def network_of(host: str) -> str:
    """Return the address of a client; of IPv6, the network of 64 bits, of which a client has all addresses."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a proxy may forward anything
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    # all of IPv4 is one network there, ::ffff:0:0/96
    return str(address.ipv4_mapped or ipaddress.IPv6Network((int(address), 64), strict=False))


class Parser(h11.Connection):
    """What a client sends, as events; a body of many small chunks is an error."""

    chunks = size = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.chunks = self.size = 0
        elif isinstance(event, h11.Data):
            self.chunks += event.chunk_start
            self.size += len(event.data)
            if self.chunks > CHUNKS + self.size // CHUNK:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
        return event


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """A connection that is closed if its client keeps it waiting, and that keeps others waiting for a short turn only.

    Parameters
    ----------
    most : connections at a time; with one more, one of those is closed that wait for their clients
    headers : seconds for the headers of each request, from the connection or the last response on
    whole : seconds for a request, its body, and the reading of its response
    """

    def __init__(self, most: int, headers: float, whole: float, **how: Any) -> None:
        super().__init__(**how)
        self.conn = Parser(h11.SERVER)
        self._most, self._headers, self._whole = most, headers, whole
        self._watched: tuple[RequestResponseCycle | None, bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._read, self.network = bytearray(TURN), ""
        self.since, self.dropped = 0.0, False

    @property
    def idle(self) -> bool:
        """Whether no request is in progress."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn: to send a request or the rest of a body, or to read a response."""
        return self.idle or self.cycle.more_body or self.flow.write_paused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection; close one that waits for its client if they are too many."""
        super().connection_made(transport)
        self.network = network_of(self.client[0] if self.client else "")
        self._watch()
        # all that the server knows are of this class; with those that are closing, as they may be slow to read the rest
        others: list[Connection] = [one for one in self.connections if one is not self and not one.dropped]  # type: ignore
        if len(others) < self._most:
            return
        if waiting := [one for one in others if one.waits]:
            # of the client that has most, so that none drives others out; idle ones first, as no request is lost
            counts = Counter(one.network for one in others)
            min(waiting, key=lambda one: (-counts[one.network], not one.idle, one.since)).drop()
            return
        self.drop()
        for one in others:  # of which a client that sends request after request makes room for the next one
            one.cycle.keep_alive = False

    def drop(self) -> None:
        """Close the connection without waiting for its client."""
        self.dropped = True
        self.transport.abort()

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where to put the next bytes."""
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        """Receive some bytes, from the buffer."""
        self.data_received(bytes(self._read[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Receive some bytes."""
        super().data_received(data)
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; if that comes after a response to the same request, close the connection."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.drop()

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
        if self._watched == (state := (self.cycle, self.idle)):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._watched, self.since = state, self.loop.time()
        if not self.idle and {name for name, _ in self.headers} >= {b"content-length", b"transfer-encoding"}:
            # a proxy may see the end of this request elsewhere: what follows is not read (RFC 9112, 6.1)
            self.cycle.keep_alive = False
        self._timer = self.loop.call_later(self._headers if self.idle else self._whole, self.drop)


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
