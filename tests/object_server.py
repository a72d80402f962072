"""A real S3 server on the loopback interface, and a line to it that can be cut."""

import socket
import subprocess
import sys
from contextlib import suppress
from urllib.request import urlopen

import pytest
from pyarrow.fs import FileSystem

from patience import HANG, wait_until
from radii.storage import folders

STORE = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

app = DomainDispatcherApplication(create_backend_app)
how = {"threaded": True, "request_handler": MotoRequestHandler, "fd": int(sys.argv[1])}
make_server("127.0.0.1", int(sys.argv[2]), app, **how).serve_forever()
"""
"""A store in the memory of a process, at a socket that is open."""

LINE = """
import asyncio, socket, sys

async def pass_on(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def connect(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer), return_exceptions=True)

async def main():
    server = await asyncio.start_server(connect, sock=socket.socket(fileno=int(sys.argv[1])))
    await server.serve_forever()

asyncio.run(main())
"""
"""A line between a store and those who use it, which can be cut."""


RESETTING = """
import socket, struct, sys, threading

def reset(*ends):
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close()

def pass_on(here, there, cuts):
    try:
        while data := here.recv(65536):
            if cuts and (b"PUT /" in data or b"DELETE /" in data or b"uploadId" in data):
                return reset(here, there)
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        pass

place = socket.socket(fileno=int(sys.argv[1]))
while True:
    here, _ = place.accept()
    there = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    for ends in ((here, there, True), (there, here, False)):
        threading.Thread(target=pass_on, args=ends, daemon=True).start()
"""
"""A line that resets the connection where content is sent, or an upload is ended."""


def listening(port: int) -> socket.socket:
    """A socket at a port, any that is free for 0, at which connections wait until somebody takes them."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    place.bind(("127.0.0.1", port))
    place.listen(128)
    return place


def start(code: str, place: socket.socket, port: int) -> subprocess.Popen:
    """A process that takes over a socket; `port`: that of the store."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    line = [sys.executable, "-c", code, str(place.fileno()), str(port)]
    with place:
        return subprocess.Popen(line, pass_fds=[place.fileno()], **quiet)


class Server:
    """A store in the memory of a process, and the line to it."""

    def __init__(self) -> None:
        place = listening(0)
        self.behind = place.getsockname()[1]
        self.store = start(STORE, place, self.behind)
        # nobody else gets the port while the line is cut: it is taken, although nobody listens here
        self.taken = socket.socket()
        self.taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.taken.bind(("127.0.0.1", 0))
        self.port = self.taken.getsockname()[1]
        self.connect()

    def connect(self, line: str = LINE) -> None:
        """Let users reach the store."""
        self.line = start(line, listening(self.port), self.behind)

    def unfinished(self, bucket: str) -> int:
        """The number of uploads in a bucket that were begun and not ended."""
        with urlopen(f"http://127.0.0.1:{self.behind}/{bucket}?uploads") as answer:
            return answer.read().count(b"<Upload>")

    def cut(self) -> None:
        """Let nobody reach the store any more."""
        self.line.kill()
        self.line.wait()

    def stop(self) -> None:
        """End all of it."""
        self.cut()
        self.store.kill()
        self.store.wait()
        self.taken.close()

    def address(self, path: str, keys: str = "") -> str:
        """Of a file or a folder."""
        where = f"endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"
        return f"s3://{keys}{path}?{where}&allow_bucket_creation=true"


@pytest.fixture(scope="module")
def server():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        # the client of pyarrow takes a store for lost that says nothing for 3 seconds
        patch.setattr(folders, "PAUSES", (1,) * int(HANG))
        one = Server()
        system, _ = FileSystem.from_uri(one.address("votes"))
        wait_until(lambda: made(system, "votes") or one.store.poll() is not None)
        yield one
        one.stop()


def made(system: FileSystem, bucket: str) -> bool:
    """Whether a bucket is there; one try to make it."""
    with suppress(OSError):
        system.create_dir(bucket)
        return True
    return False
