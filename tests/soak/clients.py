"""Hostile clients of a service: after each strike it answers as before, with the memory, threads and files it had."""

import random
import re
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from driven import Command, read
from patience import HANG, wait_until
from radii.serving.decode import largest_body
from service_client import (
    HALF,
    IMAGES,
    NPY,
    REFUSED,
    answered,
    ask,
    connected,
    half_asked,
    is_closed,
    packed,
    picture,
    post,
    spellings,
)
from soak.trials import Trial, expect

TOKEN = "secret-7"
KNOWN = {"Authorization": f"Bearer {TOKEN}"}
QUEUE, SECONDS = 8, 5
GROWTH = 2**27
"""Bytes by which the memory may stay larger than after the first requests: buffers that are used again."""
REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


class Target:
    """A service in a process of its own, and what it answers and takes without any fault."""

    def __init__(self, trial: Trial) -> None:
        self.rng = trial.rng
        trial.folder.mkdir()
        (trial.folder / "token").write_text(TOKEN)
        self.command: Command = trial.soak.call(
            *("serve", trial.soak.run, "--port", 0, "--n", 1000, "--seed", 7, "--norm", "l2"),
            *("--queue", QUEUE, "--timeout", SECONDS, "--token-file", trial.folder / "token"),
        )
        wait_until(lambda: "Listening on" in self.command.printed() or not self.command.alive)
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.command.printed())
        expect(found, f"it does not listen: {self.command.said()}")
        self.port = int(found[1])  # type: ignore[index]
        # before it is measured: threads and buffers that the first requests start
        for body, kind in (*((picture(image), "image/png") for image in IMAGES[:4]), (bytes(2**20), NPY)):
            post(self.port, body, kind, **KNOWN)
        self.image = max(IMAGES, key=lambda image: post(self.port, picture(image), **KNOWN).said["radius"])
        self.answer = self.ask_well()
        expect(self.answer["radius"] > 0, f"no image is certified: {self.answer}")
        self.descriptors, self.threads, self.memory = (
            self.descriptors_now(),
            self.status("Threads"),
            self.used(),
        )

    def ask_well(self) -> dict:
        """What a good client learns of an image."""
        found = post(self.port, picture(self.image), **KNOWN)
        expect(found.status == 200, f"a good client got {found.status}: {found.said}")
        return {name: found.said[name] for name in ("label", "radius", "abstained", "samples", "rounding")}

    def descriptors_now(self) -> int:
        return len(list(Path(f"/proc/{self.command.process.pid}/fd").iterdir()))

    def status(self, name: str) -> int:
        lines = read(self.command.process.pid, "status").decode().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def used(self) -> int:
        return 1024 * self.status("VmRSS")

    def check(self) -> None:
        """Raise `NotSurvived` unless it is as it was."""
        expect(self.command.alive, f"it has ended: {self.command.said()[-1000:]}")
        health = ask(self.port, "GET", "/health")
        expect((health.status, health.said) == (200, {"status": "ok"}), f"its health: {health.said}")
        expect(self.ask_well() == self.answer, f"another answer: {self.ask_well()}, not {self.answer}")
        wait_until(
            lambda: self.descriptors_now() <= self.descriptors and self.status("Threads") <= self.threads
        )
        expect(self.used() <= self.memory + GROWTH, f"{self.used()} bytes of memory, after {self.memory}")
        expect("Traceback" not in self.command.said(), f"its log: {self.command.said()[-1000:]}")


def hostile_clients(trial: Trial) -> None:
    """Each kind of client once, in a random order, and then the end of the service."""
    trial.whole = None
    target = Target(trial)
    for strike in trial.rng.sample(STRIKES, len(STRIKES)):
        with trial.strike(f"client: {strike.__name__.replace('_', ' ')}"):
            strike(target)
            target.check()
    target.command.process.terminate()
    ended = target.command.wait()
    expect(ended.status == 0, f"exit status {ended.status} after SIGTERM: {ended.err[-1000:]}")


def several(rng: random.Random) -> range:
    return range(rng.randint(2, 2 * QUEUE))


# strikes ------------------------------------------------------------------------------------------


def slow_headers(target: Target) -> None:
    """A byte now and then, until the service gives up."""
    clients = [connected(target.port, b"") for _ in several(target.rng)]
    rest = iter(HALF)

    def all_are_closed() -> bool:
        byte = bytes([next(rest, ord("x"))])
        for one in list(clients):
            one.settimeout(0.02)
            try:
                one.sendall(byte)
                with suppress(TimeoutError):
                    if not one.recv(1000):
                        raise ConnectionError
            except ConnectionError:
                one.close()
                clients.remove(one)
        return not clients

    wait_until(all_are_closed)


def silent_bodies(target: Target) -> None:
    """A body of which five bytes come: status 503 in the end, or 429 where too many are under way."""
    clients = [half_asked(target.port, 1000, **KNOWN) for _ in several(target.rng)]
    statuses = [status_of(one) for one in clients]
    expect(set(statuses) <= {0, 429, 503} and 503 in statuses, f"statuses {statuses}")


def bodies_that_end_early(target: Target) -> None:
    for _ in several(target.rng):
        half_asked(target.port, 1000, **KNOWN).close()


def half_open_connections(target: Target) -> None:
    """Half of the headers, then silence."""
    starts = [
        target.rng.choice((b"", HALF[: target.rng.randrange(len(HALF))], HALF)) for _ in several(target.rng)
    ]
    clients = [connected(target.port, start) for start in starts]
    expect(all(is_closed(one) for one in clients), "connections that stay open")


def garbage(target: Target) -> None:
    for _ in several(target.rng):
        with connected(
            target.port, target.rng.randbytes(target.rng.randrange(1, 2**16)) + b"\r\n\r\n"
        ) as one:
            expect(status_read(one) in ("", "400"), "garbage was answered")


def huge_headers(target: Target) -> None:
    """A line without end, or hundreds of lines: what comes in one piece may be answered."""
    for _ in several(target.rng):
        count = target.rng.randrange(70, 1000)
        lines = b"\r\n".join(b"X-%d: %s" % (number, b"y" * 1000) for number in range(count))
        for huge, statuses in ((b"x" * 2**20, ("", "400", "431")), (lines, ("", "200", "400", "431"))):
            with connected(target.port, REQUEST[:-2] + b"X: " + huge + b"\r\n\r\n") as one:
                expect((status := status_read(one)) in statuses, f"huge headers: status {status}")


def oversized_bodies(target: Target) -> None:
    for _ in several(target.rng):
        status = post(target.port, bytes(largest_body(64) + target.rng.randrange(1, 2**20)), **KNOWN).status
        expect(status == 413, f"status {status}")
        chunks = (bytes(2**16) for _ in range(largest_body(64) // 2**16 + 2))
        status = post(target.port, chunks, **KNOWN).status
        expect(status == 413, f"status {status} for a body in chunks")


def wrong_lengths(target: Target) -> None:
    """A length that is none, two of them, too short, or one beside chunks."""
    body = picture(target.image)
    for length in (b"-1", b"1e3", b"9" * 400, b"0x10", b"5, 6", b"%d" % (len(body) // 2), b""):
        for more in (b"", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n"):
            head = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: image/png\r\n"
            head += b"Authorization: Bearer %s\r\n" % TOKEN.encode()
            with connected(
                target.port, head + more + b"Content-Length: " + length + b"\r\n\r\n" + body
            ) as one:
                expect(
                    status_read(one) not in ("200", "500"), f"length {length!r} with {more!r} was answered"
                )


def pipelined_requests(target: Target) -> None:
    """Many requests at once in one connection, whose answers are read, or never."""
    for is_read in (True, False):
        count = target.rng.randint(2, 300)
        one = connected(target.port, count * REQUEST)
        answers = b""
        while is_read and answers.count(b"HTTP/1.1 200 OK") < count:
            part = one.recv(2**16)
            expect(part, f"{answers.count(b'HTTP/1.1 200 OK')} answers to {count} requests")
            answers += part
        # the connection ends with a reset, in the middle of what it is sent
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()


def flood_from_one_address(target: Target) -> None:
    """More requests than one address may have in progress: 429 for the rest, and none of them is lost."""
    clients = [half_asked(target.port, len(body), **KNOWN) for body in [picture(target.image)] * (4 * QUEUE)]
    for one in clients:
        with suppress(OSError):  # some have their answer already
            one.send(picture(target.image)[5:])
    statuses = {status_of(one) for one in clients}
    expect(statuses <= {0, 200, 429} and 200 in statuses, f"statuses {statuses}")


def flood_of_connections(target: Target) -> None:
    """Connections that come and go, and more of them than the service keeps."""
    clients = []
    for _ in range(200):
        with suppress(OSError):
            clients.append(connected(target.port, target.rng.choice((b"", HALF, REQUEST))))
    expect(ask(target.port, "GET", "/health").status == 200, "no answer beside the others")
    for one in clients:
        one.close()


def bodies_without_an_image(target: Target) -> None:
    for name in target.rng.sample(sorted(REFUSED), len(REFUSED)):
        body, kind, status, _ = REFUSED[name]
        found = post(target.port, body, kind, **KNOWN)
        expect(
            (found.status, list(found.said)) == (status, ["error"]), f"{name}: {found.status} {found.said}"
        )


def wrong_tokens(target: Target) -> None:
    for _ in several(target.rng):
        token = target.rng.choice(("", TOKEN[:-1], TOKEN + "7", TOKEN.upper(), "x" * 10_000, "\xe9"))
        scheme = target.rng.choice(("Bearer", "Basic", "", "Bearer Bearer"))
        for path, method in (("/predict", "POST"), ("/metrics", "GET"), ("/", "GET")):
            found = ask(target.port, method, path, Authorization=f"{scheme} {token}".strip())
            expect(found.status == 401, f"{scheme} {token[:99]}: status {found.status}")


def spelled_otherwise(target: Target) -> None:
    """One image, in numbers that differ by less than a grey level: one label, and no larger radius."""
    for image in spellings(target.image):
        found = post(target.port, packed(image), NPY, **KNOWN).said
        expect(found["label"] == target.answer["label"], f"another label: {found}")
        expect(found["radius"] <= target.answer["radius"], f"a larger radius: {found}")
        gap = target.answer["radius"] - found["radius"] - found["rounding"]
        expect(abs(gap) < 1e-12 or found["radius"] == 0, f"another radius: {found}")


def status_of(asked: HTTPConnection) -> int:
    """The status of an answer; 0 where the connection was closed while its body was sent."""
    try:
        return answered(asked).status
    except (ConnectionError, HTTPException):
        return 0


def status_read(one: socket.socket) -> str:
    """The status that a connection brings, "" if it is closed without any."""
    one.settimeout(HANG)
    try:
        words = one.recv(1000).split(b" ")
    except ConnectionError:
        return ""
    return words[1].decode() if len(words) > 1 else ""


STRIKES: list[Callable[[Target], None]] = [
    slow_headers,
    silent_bodies,
    bodies_that_end_early,
    half_open_connections,
    garbage,
    huge_headers,
    oversized_bodies,
    wrong_lengths,
    pipelined_requests,
    flood_from_one_address,
    flood_of_connections,
    bodies_without_an_image,
    wrong_tokens,
    spelled_otherwise,
]
