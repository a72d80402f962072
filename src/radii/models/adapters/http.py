"""A model behind an HTTP address: batches of images are posted, logits come back (docs/models.md)."""

import random
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BytesIO
from typing import Any
from urllib.parse import SplitResult, urlsplit

import numpy as np
import torch
from torch import Tensor

from radii.errors import WEB, InputError, shown, without_keys
from radii.models.digest import Identified

TIMEOUT = 60.0
"""Seconds without a sign of the server."""

TRIES = 6
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds between tries: doubled each time, times a random number from 1/2 to 1: clients must not come all at once."""

AGAIN = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which the same question is worth another try."""
LARGEST = 2**28
"""Bytes of an answer; logits have far fewer."""

KIND = "application/x-npy"


class Endpoint(Identified):
    """The model that answers at `url`: to POST of a float32 array `(batch, *shape)`, with an array `(batch, classes)`.

    Both are NPY files, as numpy.save writes them. A server that is busy or away is asked again, later and later; a
    `Retry-After` is kept to, up to a minute. Keys in the address are sent, and masked in whatever is said or written.
    """

    def __init__(self, url: str) -> None:
        parts, self._shown = _parsed(url), shown(url)
        if parts is None or parts.scheme not in WEB or not parts.hostname:
            raise InputError(f"an endpoint is http://HOST:PORT/PATH or https://...; got {self._shown!r}")
        if parts.username or parts.password:
            raise InputError(
                "the address of an endpoint is written into its votes: leave user and password out"
            )
        self._url, self._parts = url, parts

    def __call__(self, images: Tensor) -> Tensor:
        """Logits `(batch, classes)` of images `(batch, *shape)`."""
        body = BytesIO()
        np.save(body, np.ascontiguousarray(images.float().cpu().numpy()))
        return torch.from_numpy(self._table(self._answer(body.getvalue()), len(images)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes connect anew."""
        return Endpoint, (self._url,)

    @property
    def identity(self) -> str:
        """Whatever answers there may change unseen."""
        return f"unknown:{self._shown}"

    def _answer(self, body: bytes) -> bytes:
        """The body of the answer, after as many tries as it takes."""
        reason, asked = "", 0.0
        for wait in waits():
            if reason:
                time.sleep(min(max(wait, asked), LONGEST_WAIT))
            try:
                response, content = self._post(body)
            except (OSError, HTTPException) as error:
                reason, asked = _words(error), 0.0
                continue
            if response.status == 200:
                return content
            reason, asked = f"it answered {response.status} {response.reason}", _seconds(response)
            if response.status not in AGAIN:
                said = self._without_keys(f"{reason} {content[:200].decode(errors='replace')}")
                raise InputError(f"the endpoint {self._shown} refuses a batch of images: {said}")
        said = self._without_keys(reason)
        raise InputError(f"the endpoint {self._shown} gave no answer in {TRIES} tries: {said}; is it up?")

    def _without_keys(self, words: str) -> str:
        """What a server or a library says: it may quote the address."""
        return without_keys(words, self._url)

    def _post(self, body: bytes) -> tuple[HTTPResponse, bytes]:
        """One try; a connection of its own costs little beside a batch of images, and is never a stale one."""
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        with closing(kind(str(self._parts.hostname), self._parts.port, timeout=TIMEOUT)) as connection:
            connection.request("POST", target, body, {"Content-Type": KIND, "Accept": KIND})
            response = connection.getresponse()
            return response, response.read(LARGEST)

    def _table(self, content: bytes, rows: int) -> np.ndarray:
        try:
            table = np.load(BytesIO(content), allow_pickle=False)
            if table.dtype.kind not in "fiu" or table.ndim != 2 or len(table) != rows:
                raise ValueError(f"{table.dtype} {table.shape}")
        except (ValueError, EOFError, AttributeError) as error:
            raise InputError(
                f"the endpoint {self._shown} must answer with logits ({rows}, classes), as numpy.save writes them; "
                f"got {len(content)} bytes that are none ({error})"
            ) from error
        return table.astype(np.float32)


def _parsed(url: str) -> SplitResult | None:
    """The parts of an address, or None if it has a port that is no number, or is none at all."""
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port else None
    except ValueError:
        return None


def waits() -> Iterator[float]:
    """Seconds before each try; the first is not waited for."""
    for number in range(TRIES):
        yield FIRST_WAIT * 2 ** (number - 1) * random.uniform(0.5, 1)


def _seconds(response: HTTPResponse) -> float:
    """What the server asks to wait for; a date is not worth a clock that may differ."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else 0.0


def _words(error: Exception) -> str:
    return (
        f"no answer within {TIMEOUT:g} seconds"
        if isinstance(error, TimeoutError)
        else (str(error) or repr(error))
    )
