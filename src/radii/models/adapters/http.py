"""A model behind an HTTP address: batches of images are posted, and logits are returned (docs/models.md)."""

import random
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from io import BufferedReader, BytesIO, RawIOBase
from socket import socket
from typing import Any
from urllib.parse import SplitResult, urlsplit

import numpy as np
import torch
from torch import Tensor

from radii.errors import WEB, InputError, shown, without_keys
from radii.models.digest import Identified
from radii.storage.npy import read_array

TIMEOUT = 60.0
"""Seconds to connect, to send a batch, and from then on until the whole answer is there."""

TRIES = 6
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds between tries: doubled each time, times a random factor from 1/2 to 1, so that clients do not retry at
once."""

AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Statuses that may pass: timeouts, too many requests, and servers that are busy or restarting."""

LARGEST = 2**28
"""Upper limit on the bytes of a response, so that an endless one cannot fill memory; logits take far fewer."""

LONGEST_HEADERS = 2**20
"""Upper limit on the bytes before the body, informational responses included: a server may send any number of them."""

KIND = "application/x-npy"


class Endpoint(Identified):
    """The model at `url`, which answers POSTs of float32 arrays `(batch, *shape)` with arrays `(batch, classes)`.

    Both are NPY files, as numpy.save writes them. A busy or unreachable server is queried again after growing waits; a
    `Retry-After` of up to a minute is followed. Keys in the address are sent, and masked in messages and files.
    """

    def __init__(self, url: str) -> None:
        parts, self._shown = _parsed(url), shown(url)
        if parts is None or parts.scheme not in WEB or not parts.hostname:
            raise InputError(
                f"an endpoint is http://HOST:PORT/PATH or https://..., with other letters as %XX; got {self._shown!r}"
            )
        if parts.username or parts.password:
            raise InputError(
                "the address of an endpoint is written into its votes: leave user and password out"
            )
        self._url, self._parts = url, parts

    def __call__(self, images: Tensor) -> Tensor:
        """Compute logits `(batch, classes)` of images `(batch, *shape)`."""
        body = BytesIO()
        np.save(body, np.ascontiguousarray(images.float().cpu().numpy()))
        return torch.from_numpy(self._logits(self._response(body.getvalue()), len(images)))

    def __reduce__(self) -> tuple[Any, ...]:
        # other processes check and parse the address again
        return Endpoint, (self._url,)

    @property
    def identity(self) -> str:
        # the model behind an address can change without notice
        return f"unknown:{self._shown}"

    def _response(self, body: bytes) -> bytes:
        """Return the body of a response with status 200, after up to `TRIES` tries."""
        reason, retry_after = "", 0.0
        for wait in _waits():
            if reason:
                time.sleep(min(max(wait, retry_after), LONGEST_WAIT))
            try:
                response, content = self._post(body)
            except (OSError, HTTPException) as error:
                reason, retry_after = _message(error), 0.0
                continue
            if response.status == 200:
                return content
            reason, retry_after = f"it answered {response.status} {response.reason}", _retry_after(response)
            if response.status not in AGAIN:
                details = self._without_keys(f"{reason} {content[:200].decode(errors='replace')}")
                raise InputError(f"the endpoint {self._shown} rejects a batch of images: {details}")
        details = self._without_keys(reason)
        raise InputError(f"the endpoint {self._shown} gave no answer in {TRIES} tries: {details}; is it up?")

    def _without_keys(self, text: str) -> str:
        # servers and libraries may quote the address in their messages
        return without_keys(text, self._url)

    def _post(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        # a new connection costs little beside a batch of images, and cannot be one that the server has closed
        connect = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        with closing(connect(str(self._parts.hostname), self._parts.port, timeout=TIMEOUT)) as connection:
            connection.request("POST", target, body, {"Content-Type": KIND, "Accept": KIND})
            answer = Answer(connection.sock)
            response = HTTPResponse(answer, method="POST")  # type: ignore[arg-type]  # it calls makefile alone
            response.begin()
            answer.in_body = True
            content = response.read(LARGEST)
            if response.length and len(content) < LARGEST:  # http.client raises this for chunks alone
                raise IncompleteRead(content, response.length)
            return response, content

    def _logits(self, content: bytes, rows: int) -> np.ndarray:
        try:
            table = read_array(content)
            if table.dtype.kind not in "fiu" or table.ndim != 2 or len(table) != rows:
                raise ValueError(f"{table.dtype} {table.shape}")
        except ValueError as error:
            raise InputError(
                f"the endpoint {self._shown} must answer with logits ({rows}, classes), as numpy.save writes them; "
                f"got {len(content)} bytes that are none ({error})"
            ) from error
        return table.astype(np.float32)


class Answer(RawIOBase):
    """The bytes that a connected socket receives: all of them before one deadline, and not too many before the body.

    Timeouts of sockets are for single reads, so a byte per second would keep a client for ever.
    """

    def __init__(self, connected: socket) -> None:
        self._socket, self._end = connected, time.monotonic() + TIMEOUT
        self._received, self.in_body = 0, False

    def makefile(self, _: str) -> BufferedReader:
        """Return the bytes as a file."""
        return BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into the buffer; raise `TimeoutError` after the deadline."""
        if not self.in_body and self._received > LONGEST_HEADERS:
            raise HTTPException(
                f"its headers, with informational responses, are longer than {LONGEST_HEADERS} bytes"
            )
        if (left := self._end - time.monotonic()) <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        received = self._socket.recv_into(buffer)
        self._received += received
        return received


def _parsed(url: str) -> SplitResult | None:
    """Return the parts of an address, or None if it is malformed, has port 0, or cannot be sent."""
    try:
        parts = urlsplit(url)
        # http.client encodes them so, and raises UnicodeError, a ValueError, for all else
        (parts.path + parts.query).encode("ascii")
        (parts.hostname or "").encode("idna")
        # urlsplit raises ValueError for a malformed port only when the port is read
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None


def _waits() -> Iterator[float]:
    """Yield the seconds to wait before each try; the caller ignores the first."""
    for number in range(TRIES):
        yield FIRST_WAIT * 2 ** (number - 1) * random.uniform(0.5, 1)


def _retry_after(response: HTTPResponse) -> float:
    """Return the seconds in `Retry-After`, or 0 without one."""
    # a date is ignored: the clocks of client and server may differ
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else 0.0


def _message(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no whole answer within {TIMEOUT:g} seconds"
    return str(error) or repr(error)
