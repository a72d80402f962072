"""A model server on the loopback interface that answers as it is told: soon, late, wrong or never."""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import torch

from given_models import plain
from patience import HANG

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def packed(table: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, table)
    return content.getvalue()


class Server(ThreadingHTTPServer):
    """Serves the nearest mean; before that, once each, the answers in `plan`: a status, a body, or a deed.

    A deed is a word that `Handler` knows, or a function of the handler and the images.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: list = []
        self.quotes = False
        self.headers: dict[str, str] = {}
        self.over = threading.Event()
        self.seen: list[tuple[str, str, tuple[int, ...], str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/predict?version=2"

    def handle_error(self, *_: object) -> None:
        """Clients that leave early are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Server = self.server  # type: ignore[assignment]
        images = np.load(io.BytesIO(self.rfile.read(int(self.headers["Content-Length"]))), allow_pickle=False)
        server.seen.append((self.path, self.headers["Content-Type"], images.shape, images.dtype.name))
        step = server.plan.pop(0) if server.plan else 200
        if callable(step):
            step(self, images)
            return
        if step == "hang up":
            self.close_connection = True
            return
        if step == "break off":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n\x93NUMPY")
            return
        if step == "wait":
            server.over.wait(HANG)
        if step in ("drip", "continue"):
            # without an end: a whole answer never comes
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n" * (step == "drip"))
            while not server.over.is_set():
                self.wfile.write(b"x" if step == "drip" else CONTINUE)
        if step == "patience":
            self.wfile.write(3 * CONTINUE)
        status = step if isinstance(step, int) else 200
        body = step if isinstance(step, bytes) else packed(plain(torch.from_numpy(images)).detach().numpy())
        self.send_response(status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        if status != 200:
            body = self.path.encode() if server.quotes else b"x" * len(body)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
