"""Hostile model servers: a vote ends in a sentence and keeps its parts; a good server then completes the same votes."""

import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np

from model_server import CONTINUE, Handler, Server, packed
from soak.files import in_a_sentence
from soak.forked import Forked
from soak.trials import Trial, expect

LINE = ("--data", "digits", "--noise", "gaussian", "--sigma", 0.25, "--limit", 8, "--n", 300, "--n0", 20)
RUNNING = ("--batch-size", 50, "--part-size", 50, "--out", "votes.parquet")
LATE = 2.0
"""Seconds within which a whole answer must come."""
HTTP = "radii.models.adapters.http"
SETTINGS: dict[str, object] = {f"{HTTP}.TIMEOUT": LATE, f"{HTTP}.TRIES": 2, f"{HTTP}.FIRST_WAIT": 0.05}

CHECKS = 5
"""Requests before the first noise samples."""

Deed = Callable[[Handler, np.ndarray], object]


def hostile_endpoints(trial: Trial) -> None:
    """Each kind of server once, in a random order, over votes that each of them leaves unfinished."""
    trial.folder.mkdir()
    with running() as server:
        expect(vote(trial, server).wait() == 0, "votes by a good server")
        trial.whole = trial.out.read_bytes()
        trial.out.unlink()
        for name in trial.rng.sample(sorted(DEEDS), len(DEEDS)):
            with trial.strike(f"model server: {name}"):
                strike(trial, server, DEEDS[name])
        server.plan = []
        command = vote(trial, server)
        expect(command.wait() == 0, f"resumed by a good server: {command.said}")
        trial.finish()


@contextmanager
def running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def vote(trial: Trial, server: Server) -> Forked:
    words = ("vote", server.url, *LINE, *RUNNING)
    return Forked(*words, folder=trial.folder, log=trial.folder / "log", settings=SETTINGS)


def strike(trial: Trial, server: Server, deed: Deed) -> None:
    """Answer some requests well, and all later ones by the deed."""
    before = set(trial.drawn())
    server.plan = [200] * trial.rng.randrange(CHECKS + 4) + [deed] * 1000
    command = vote(trial, server)
    status = command.wait()
    expect(status == 2, f"exit status {status}: {command.said[-1000:]}")
    in_a_sentence(status, command.said)
    expect(set(trial.drawn()) >= before, "parts are gone")


# deeds --------------------------------------------------------------------------------------------


def start(handler: Handler, length: object = 10**12, status: int = 200) -> None:
    handler.wfile.write(f"HTTP/1.1 {status} Fine\r\nContent-Length: {length}\r\n\r\n".encode())


def drip(handler: Handler, images: np.ndarray) -> None:
    """Send a byte now and then: each comes in time, and the answer never ends."""
    start(handler)
    while not handler.server.over.wait(0.05):  # type: ignore[attr-defined]
        handler.wfile.write(b"x")


def drip_headers(handler: Handler, images: np.ndarray) -> None:
    handler.wfile.write(b"HTTP/1.1 200 Fine\r\nX: ")
    while not handler.server.over.wait(0.05):  # type: ignore[attr-defined]
        handler.wfile.write(b"x")


def continue_without_end(handler: Handler, images: np.ndarray) -> None:
    while not handler.server.over.is_set():  # type: ignore[attr-defined]
        handler.wfile.write(CONTINUE)


def headers_without_end(handler: Handler, images: np.ndarray) -> None:
    handler.wfile.write(b"HTTP/1.1 200 Fine\r\n")
    for number in count():
        handler.wfile.write(b"X-%d: y\r\n" % number)


def body_without_end(handler: Handler, images: np.ndarray) -> None:
    start(handler)
    while not handler.server.over.is_set():  # type: ignore[attr-defined]
        handler.wfile.write(bytes(2**20))


def silent(handler: Handler, images: np.ndarray) -> None:
    handler.server.over.wait()  # type: ignore[attr-defined]


def hang_up(handler: Handler, images: np.ndarray) -> None:
    handler.close_connection = True


def half(handler: Handler, images: np.ndarray) -> None:
    start(handler, 1000)
    handler.wfile.write(b"\x93NUMPY")
    handler.close_connection = True


def redirect(handler: Handler, images: np.ndarray) -> None:
    """Send clients to this server again, where one request would be answered well."""
    handler.server.plan.insert(0, 200)  # type: ignore[attr-defined]
    handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")


def answers(table: Callable[[int], np.ndarray | bytes]) -> Deed:
    """The deed that answers with a table for so many images, or with bytes."""

    def deed(handler: Handler, images: np.ndarray) -> None:
        made = table(len(images))
        body = made if isinstance(made, bytes) else packed(made)
        start(handler, len(body))
        handler.wfile.write(body)

    return deed


def fails(status: int) -> Deed:
    return lambda handler, images: start(handler, 0, status)


def filled(value: float, classes: int = 10, kind: str = "f4") -> Deed:
    return answers(lambda rows: np.full((rows, classes), value, kind))


HEADER = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"
DEEDS: dict[str, Deed] = {
    "byte by byte": drip,
    "headers byte by byte": drip_headers,
    "100 Continue without end": continue_without_end,
    "headers without end": headers_without_end,
    "a body without end": body_without_end,
    "silence": silent,
    "hangs up": hang_up,
    "half an answer": half,
    "redirects": redirect,
    "three classes": filled(0.0, 3),
    "twelve classes": filled(0.0, 12),
    "no classes": filled(0.0, 0),
    "NaN": filled(float("nan")),
    "infinity": filled(float("inf")),
    "too large for float32": filled(1e300, kind="f8"),
    "a row too few": answers(lambda rows: np.zeros((rows - 1, 10), "f4")),
    "an array without end": answers(lambda rows: HEADER.ljust(127) + b"\n" + bytes(1000)),
    "a pickle": answers(lambda rows: pickle.dumps([0.0] * rows)),
    "text": answers(lambda rows: b"<html>"),
    "404": fails(404),
    "503": fails(503),
    "a status of its own": fails(999),
}
